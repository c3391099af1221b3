// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/test/hosts"
)

func TestFence(t *testing.T) {
	s := newSite(t, hosts.Options{})
	one, two := s.depot.publish(t, first), s.depot.publish(t, map[string]string{"index.php": "two"})
	s.fence = 6
	seventh := s.order(one)
	s.deliver(seventh)

	lower := s.order(two)
	lower.Fence = 5
	s.Expect(s.refuse(lower, v1alpha1.ReasonFencedOff).HostFence).To(Equal(int64(7)))
	equal := s.order(two)
	equal.Fence = 7
	s.refuse(equal, v1alpha1.ReasonFencedOff)
	s.deliver(seventh) // a repeat
	s.Expect(s.probe().Digest).To(Equal(one))

	s.shell("sed -i 's/^machine .*/machine i-another/' /var/www/blog/.slipway/fence")
	s.Expect(s.probe().Fence).To(BeZero(), "a copied disk image starts anew")
	lower.Fence = 1
	s.deliver(lower)
}

func TestOwner(t *testing.T) {
	s := newSite(t, hosts.Options{})
	one := s.depot.publish(t, first)
	s.deliver(s.order(one))

	foreign := s.order(one)
	foreign.Owner.ID, foreign.Owner.Service = "installation-2", "5f6c1a5e-0000-4000-8000-000000000002"
	s.Expect(s.refuse(foreign, v1alpha1.ReasonForeignOwner).Terminal).To(BeTrue())
	s.Expect(s.probe().Fence).To(Equal(int64(1)), "who may not work here leaves no fence")

	foreign.Owner.AdoptFrom = service
	inode := s.shell("stat -c %i /var/www/blog/current/index.php")
	s.deliver(foreign)
	s.Expect(s.probe().Owner).To(Equal(&v1alpha1.PathOwner{OwnerID: "installation-2", ServiceUID: foreign.Owner.Service}))
	s.Expect(s.shell("stat -c %i /var/www/blog/current/index.php")).To(Equal(inode), "taking over changes no content")
}

func TestPathsRefused(t *testing.T) {
	s := newSite(t, hosts.Options{})
	one := s.depot.publish(t, first)
	s.shell("mkdir -p /srv/real/app; ln -s real /srv/link; echo >/srv/file")
	for _, path := range []string{"/", "/var", "/srv/../etc", "a/b", "/srv/link/app", "/srv/file/app", "//srv/x", "/usr/share/app"} {
		order := s.order(one)
		order.Deploy.Path = v1alpha1.AbsolutePath(path)
		t.Log(s.refuse(order, v1alpha1.ReasonPathRefused).Message)
	}
	s.deliver(s.order(one))
	for _, path := range []string{"/var/www", "/var/www/blog/shared"} {
		order := s.order(one)
		order.Owner.Service = "5f6c1a5e-0000-4000-8000-000000000003"
		order.Deploy.Path = v1alpha1.AbsolutePath(path)
		t.Log(s.refuse(order, v1alpha1.ReasonPathRefused).Message)
	}
}

func TestDrift(t *testing.T) {
	s := newSite(t, hosts.Options{})
	one := s.depot.publish(t, first)
	live := "/var/www/blog/current/"
	for name, test := range map[string]struct{ change, reason, names string }{
		"equal size and mtime": {"cd " + live + " && touch -r index.php /tmp/r && printf eno >index.php && touch -r /tmp/r index.php", v1alpha1.ReasonContentChanged, "index.php"},
		"deleted":              {"rm '" + live + "wp-content/theme/a b.css'", v1alpha1.ReasonContentChanged, "a b.css"},
		"added":                {"echo '<?php' >" + live + "shell.php", v1alpha1.ReasonContentChanged, "shell.php"},
		"mode":                 {"chmod 777 " + live + "index.php", v1alpha1.ReasonContentChanged, "index.php"},
		"link within":          {"ln -sfn /etc/passwd " + live + "bin/link", v1alpha1.ReasonContentChanged, "bin/link"},
		"shared link":          {"ln -sfn /tmp " + live + "wp-content/uploads", v1alpha1.ReasonContentChanged, "wp-content/uploads"},
		"newline in a name":    {"cd " + live + " && touch 'a\nb\tc'", v1alpha1.ReasonContentChanged, ""},
		"current moved":        {"ln -sfn /tmp /var/www/blog/current", v1alpha1.ReasonLinkMoved, "/tmp"},
		"current gone":         {"rm /var/www/blog/current", v1alpha1.ReasonLinkMoved, "nothing"},
		"current a directory":  {"rm /var/www/blog/current; mkdir /var/www/blog/current; touch " + live + "x", v1alpha1.ReasonLinkMoved, ""},
		"stamp lost":           {"rm /var/www/blog/.slipway/stamps/*; echo >>" + live + "index.php", v1alpha1.ReasonContentChanged, "index.php"},
	} {
		t.Run(name, func(t *testing.T) {
			s.WithT = NewWithT(t)
			s.deliver(s.order(one))
			s.Expect(s.probe().Drift).To(BeNil())
			s.shell(test.change)
			seen := s.probe()
			s.Expect(seen.Drift).NotTo(BeNil())
			s.Expect(seen.Drift.Reason).To(Equal(test.reason))
			s.Expect(seen.Drift.Message).To(ContainSubstring(test.names))
			order := s.order(one)
			order.Repair = true
			s.deliver(order)
			s.Expect(s.probe().Drift).To(BeNil())
			s.Expect(s.shell("cat " + live + "index.php")).To(Equal("one"))
			s.Expect(s.shell("ls /var/www/blog/current")).NotTo(ContainSubstring("shell.php"))
		})
	}
	s.shell("touch -d 2001-01-01 /var/www/blog/current/index.php")
	s.Expect(s.probe().Drift).To(BeNil(), "equal content is no drift")
}

func TestExistingContent(t *testing.T) {
	s := newSite(t, hosts.Options{})
	s.shell("mkdir -p /var/www/blog/wp-content/uploads; cd /var/www/blog; echo old >index.php; echo photo >wp-content/uploads/1.jpg; echo secret >wp-config.php; echo h >.htaccess")
	one := s.depot.publish(t, first)
	failure := s.refuse(s.order(one), v1alpha1.ReasonExistingContent)
	s.Expect(failure.Terminal).To(BeTrue())
	s.Expect(failure.Message).To(ContainSubstring(".htaccess"))
	s.Expect(s.shell("ls -A /var/www/blog")).To(Equal(".htaccess\nindex.php\nwp-config.php\nwp-content\n"), "without consent nothing changes")

	s.deploy.Adopt = &v1alpha1.AdoptDocroot{Existing: true}
	s.deliver(s.order(one))
	s.Expect(s.shell("cd /var/www/blog; cat releases/pre-slipway/index.php current/index.php current/wp-content/uploads/1.jpg current/wp-config.php index.php")).
		To(Equal("old\nonephoto\nsecret\nold\n"))
	s.Expect(s.probe().Drift).To(BeNil())
	s.deliver(s.order(s.depot.publish(t, map[string]string{"index.php": "two"})))
	s.Expect(s.shell("cat /var/www/blog/releases/pre-slipway/index.php")).To(Equal("old\n"))
}

func TestBadTransfers(t *testing.T) {
	s := newSite(t, hosts.Options{})
	one := s.depot.publish(t, first)
	spoilt := 0
	spoil := func(tree string) {
		if spoilt++; spoilt == 1 {
			_ = os.WriteFile(filepath.Join(tree, "index.php"), []byte("bad"), 0o644)
			_ = os.WriteFile(filepath.Join(tree, "extra.php"), []byte("bad"), 0o644)
		} else {
			_ = os.WriteFile(filepath.Join(tree, "index.php"), []byte("one"), 0o644)
			_ = os.Remove(filepath.Join(tree, "extra.php"))
		}
	}
	s.depot.spoil.Store(&spoil)
	result := s.deliver(s.order(one))
	s.Expect(result.Steps).To(ContainElement(HaveField("Message", ContainSubstring("mending: "))))

	always := func(tree string) { _ = os.WriteFile(filepath.Join(tree, "index.php"), []byte("bad"), 0o644) }
	s.depot.spoil.Store(&always)
	two := s.depot.publish(t, map[string]string{"index.php": "two"})
	s.refuse(s.order(two), v1alpha1.ReasonVerifyFailed)
	s.Expect(s.probe().Digest).To(Equal(one))
	s.depot.spoil.Store(nil)

	s.Expect(s.depot.listener.Close()).To(Succeed())
	three := s.depot.publish(t, map[string]string{"index.php": "three"})
	failure := s.refuse(s.order(three), v1alpha1.ReasonDepotUnavailable)
	s.Expect(failure.Message).To(ContainSubstring("refused"))
	s.deliver(s.order(one))
}

func TestLocksAndPrune(t *testing.T) {
	s := newSite(t, hosts.Options{})
	one := s.depot.publish(t, first)
	s.deliver(s.order(one))
	_, err := s.host.Shell(context.Background(), "root", `cd /var/www/blog/.slipway && rm -rf lock.* && (umask 077; echo 1 >lock.delivery; echo 1 >lock.fence)`)
	s.Expect(err).NotTo(HaveOccurred())
	var digests []string
	for _, content := range strings.Split("two three four five", " ") {
		digests = append(digests, s.depot.publish(t, map[string]string{"index.php": content}))
		order := s.order(digests[len(digests)-1])
		order.Keep = []string{one}
		s.deliver(order)
	}
	s.Expect(s.probe().Held).To(ConsistOf(one, digests[1], digests[2], digests[3]))

	// Whoever waits for the lock gives up at its limit, and says for what it waited.
	holder := s.host.Command(context.Background(), "flock", "/var/www/blog/.slipway/lock.delivery", "sleep", "60")
	s.Expect(holder.Start()).To(Succeed())
	t.Cleanup(func() { _ = holder.Process.Kill(); _ = holder.Wait() })
	s.Eventually(func() error {
		_, err := s.host.Shell(context.Background(), "root", "! flock -n /var/www/blog/.slipway/lock.delivery true")
		return err
	}).Should(Succeed())
	order := s.order(one)
	order.Deploy.Timeout.Duration = 2 * time.Second
	s.Expect(s.refuse(order, v1alpha1.ReasonTimedOut).Message).To(ContainSubstring("another delivery"))
}

func TestDiskFull(t *testing.T) {
	s := newSite(t, hosts.Options{Disk: "12m"})
	one := s.depot.publish(t, first)
	s.deliver(s.order(one))
	big := s.depot.publish(t, map[string]string{"big": strings.Repeat("x", 16<<20)})
	failure := s.refuse(s.order(big), v1alpha1.ReasonDiskFull)
	s.Expect(failure.Message).To(ContainSubstring("KiB"))
	// In mid-sync: the disk fills up after the check.
	half := s.depot.publish(t, map[string]string{"half": strings.Repeat("x", 8<<20)})
	fill := func(string) {
		_, _ = s.host.Shell(context.Background(), "deploy", "dd if=/dev/zero of=/var/www/fill bs=1M count=6 2>&1")
	}
	s.depot.spoil.Store(&fill)
	s.refuse(s.order(half), v1alpha1.ReasonDiskFull)
	s.depot.spoil.Store(nil)
	seen := s.probe()
	s.Expect(seen.Digest).To(Equal(one))
	s.Expect(seen.Drift).To(BeNil())
	s.shell("rm /var/www/fill")
	s.deliver(s.order(half))
	// When the fence is written: what can't be written replaces nothing, so an older order stays refused.
	before := s.probe().Fence
	s.shell("dd if=/dev/zero of=/var/www/fill bs=4k 2>/dev/null || :")
	s.refuse(s.order(half), v1alpha1.ReasonDiskFull)
	s.shell("rm /var/www/fill")
	s.Expect(s.probe().Fence).To(Equal(before))
	stale := s.order(one)
	stale.Fence = before - 1
	s.refuse(stale, v1alpha1.ReasonFencedOff)
}
