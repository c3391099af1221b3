// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package hosts_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/awstest"
	"github.com/slipway-dev/slipway/internal/boot"
	"github.com/slipway-dev/slipway/internal/depot"
	testhosts "github.com/slipway-dev/slipway/test/hosts"
)

// machine is a host in a network namespace that is an instance, without systemd.
type machine struct {
	*desk
	host *testhosts.Host
	id   string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	if err := testhosts.Available(); err != nil {
		if os.Getenv("SLIPWAY_REQUIRE_ALL") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	fleet, err := testhosts.Start(t.Context(), testhosts.Options{Dir: filepath.Join(t.TempDir(), "hosts"), Count: 1})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { NewWithT(t).Expect(fleet.Stop()).To(Succeed()) })
	m := &machine{desk: newDeskAt(t, fleet.Gateway), host: fleet.Hosts[0]}
	m.id = m.cloud.Add(awstest.Instance{Tags: map[string]string{"Role": "blog", "Also": "shop"}, PrivateIP: m.host.Address, LaunchTime: m.clock.Now()})
	m.metadata(fleet.Gateway)
	// What the user-data writes stays in this host.
	m.root("for d in /usr/local/lib /var/lib /var/log /etc/ssh; do mount -t tmpfs tmpfs $d; done; " +
		"ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key; mkdir /srv/www; chown deploy: /srv/www")
	return m
}

// metadata serves the instance's identity where instances look for it: version 2, which demands a token.
func (m *machine) metadata(gateway string) {
	handler := http.NewServeMux()
	handler.HandleFunc("PUT /latest/api/token", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "token") })
	handler.HandleFunc("GET /latest/dynamic/instance-identity/rsa2048", func(w http.ResponseWriter, r *http.Request) {
		document, err := m.cloud.IdentityDocument(m.id)
		if r.Header.Get("X-aws-ec2-metadata-token") != "token" || err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write(document)
	})
	listener, err := net.Listen("tcp", net.JoinHostPort(gateway, "0"))
	m.Expect(err).NotTo(HaveOccurred())
	s := httptest.NewUnstartedServer(handler)
	_ = s.Listener.Close()
	s.Listener = listener
	s.Start()
	m.t.Cleanup(s.Close)
	m.root("iptables -t nat -A OUTPUT -d 169.254.169.254 -p tcp --dport 80 -j DNAT --to-destination " + listener.Addr().String())
}

func (m *machine) root(script string) string {
	m.t.Helper()
	out, err := m.host.Shell(m.t.Context(), "root", script)
	m.Expect(err).NotTo(HaveOccurred())
	return out
}

// log is what cloud-init's log says.
func (m *machine) log() string { return m.root("cat /var/log/cloud-init-output.log 2>/dev/null || :") }

// install runs the user-data, as cloud-init does at each boot.
func (m *machine) install() {
	m.t.Helper()
	text, err := boot.UserData(m.endpoint)
	m.Expect(err).NotTo(HaveOccurred())
	m.Expect(text).To(HavePrefix("#cloud-boothook\n#!/bin/sh\n"))
	m.Expect(os.WriteFile(m.host.Path("/run/user-data"), []byte(text), 0o700)).To(Succeed())
	m.root("sh /run/user-data")
}

// perBoot is what cloud-init runs late at each boot where there is no systemd. It returns when the wait is over.
const perBoot = "rm -f /run/slipway.done; /var/lib/cloud/scripts/per-boot/slipway"

// published puts an artifact into the depot, and says that it is current.
func (m *machine) published(name, content string, sequence int64, change func(*depot.Word)) string {
	m.t.Helper()
	grant := depot.BuildGrant{Service: v1alpha1.UID("uid-" + name), BuildKey: "key-" + content, Commit: content, AllowShrink: true}
	staging, err := m.store.Staging(grant)
	m.Expect(err).NotTo(HaveOccurred())
	m.Expect(os.WriteFile(filepath.Join(staging, "index.html"), []byte(content), 0o644)).To(Succeed())
	artifact, err := m.store.Finish(grant)
	m.Expect(err).NotTo(HaveOccurred())
	m.word(name, func(w *depot.Word) {
		w.Current = &v1alpha1.ReleaseRecord{Release: content, Commit: content, Digest: artifact.Digest, Frozen: "f1", Sequence: sequence}
		w.Deploy["f1"] = v1alpha1.DeploySpec{Path: "/srv/www/" + v1alpha1.AbsolutePath(name)}
		if change != nil {
			change(w)
		}
	})
	return artifact.Digest
}

func (m *machine) live(name string) string {
	content, _ := os.ReadFile(m.host.Path("/srv/www/" + name + "/current/index.html"))
	return string(content)
}

// The user-data brings all Services of a host to what is current, at each boot, as the user who owns their paths.
func TestUserDataBringsAHostToItsReleases(t *testing.T) {
	m := newMachine(t)
	one := m.published("blog", "one", 1, nil)
	m.published("shop", "cart", 1, func(w *depot.Word) {
		w.Sources[0].Tags = map[string]v1alpha1.TagValue{"Also": "shop"}
	})
	m.install()
	m.root(perBoot)
	m.Expect(m.live("blog")).To(Equal("one"), m.log())
	m.Expect(m.live("shop")).To(Equal("cart"), m.log())
	m.Expect(m.root("stat -c %U /srv/www/blog/current/index.html")).To(Equal("deploy\n"))
	m.Eventually(func() map[v1alpha1.UID]depot.BootReport {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		return m.store.Bindings(ended, 0)[0].Boots
	}, 10*time.Second).Should(And(HaveKeyWithValue(v1alpha1.UID("uid-blog"), HaveField("Digest", one)), HaveKey(v1alpha1.UID("uid-shop"))))
	m.Eventually(func() string { return m.root("ls -d /dev/shm/slipway.* /run/slipway.?????? 2>/dev/null || :") }, 10*time.Second).Should(BeEmpty(), "no key is left behind")

	// A Release completes while the host is down: it comes up with that one.
	m.published("blog", "two", 2, func(w *depot.Word) {
		w.Hosts = []depot.HostWord{{ID: m.id, Digest: w.Current.Digest, Frozen: "f1", Fence: 2}}
	})
	m.install()
	m.root(perBoot)
	m.Expect(m.live("blog")).To(Equal("two"), m.log())

	// What somebody changed meanwhile is mended.
	m.root("echo changed > /srv/www/blog/current/index.html")
	m.root(perBoot)
	m.Expect(m.live("blog")).To(Equal("two"), m.log())

	// The manager reached the host after the depot's last word: the host knows better, and nobody waits.
	m.root("sed -i 's/^fence 2$/fence 9/' /srv/www/blog/.slipway/fence")
	m.root(perBoot)
	m.Expect(m.live("blog")).To(Equal("two"))
	m.Expect(m.log()).To(ContainSubstring("FencedOff"))
}

// A depot that is down leaves the last release, and the host goes on asking.
func TestADepotThatIsDownLeavesTheLastRelease(t *testing.T) {
	m := newMachine(t)
	m.published("blog", "one", 1, nil)
	m.install()
	m.root(perBoot)
	m.Expect(m.live("blog")).To(Equal("one"), m.log())
	m.stop()
	m.root("rm -f /run/slipway.done; setsid /usr/local/lib/slipway/boot run </dev/null >/dev/null 2>&1 & echo $! >/run/boot.pid")
	m.Eventually(m.log, 30*time.Second).Should(And(ContainSubstring("again in 2 s"), ContainSubstring("again in 4 s")))
	m.Expect(m.live("blog")).To(Equal("one"))
	m.Expect(m.root("ls /run/slipway.done 2>/dev/null || :")).To(BeEmpty(), "who waits waits on")
	m.root("kill $(cat /run/boot.pid)")
}

// What a host refuses, whatever the depot says.
func TestAHostRunsNothingAsRoot(t *testing.T) {
	m := newMachine(t)
	m.published("blog", "one", 1, func(w *depot.Word) {
		w.SSHUser = "root"
		w.Policies[0].SSHUsers = []string{"root"}
	})
	m.install()
	m.root(perBoot)
	m.Expect(m.log()).To(ContainSubstring("web/blog: not as user root"))
	m.Expect(m.live("blog")).To(BeEmpty())
}

func TestUserDataIsSmallAndHoldsNoSecret(t *testing.T) {
	g := NewWithT(t)
	key := "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGVrbVZyY2R0aHVtYm5haWxzYW5kb3RoZXJ0aGluZ3M"
	endpoint := depot.Endpoint{Host: "slipway-depot.internal.ap-northeast-1.example.com", Port: 2222, HostCAs: []string{key, key}}
	text, err := boot.UserData(endpoint)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(len(text)).To(BeNumerically("<", boot.Limit))
	g.Expect(text).NotTo(ContainSubstring("PRIVATE KEY"))
	g.Expect(strings.Count(text, "@cert-authority * ssh-ed25519 ")).To(Equal(2))
	endpoint.Host = strings.Repeat("a", 250) + ".example.com"
	_, err = boot.UserData(endpoint)
	g.Expect(err).To(MatchError(ContainSubstring("too long")))
	endpoint.Host = "x\nEVIL"
	_, err = boot.UserData(endpoint)
	g.Expect(err).To(MatchError(ContainSubstring("no host name")))
}
