// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery_test

import (
	"context"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/test/hosts"
)

func TestInPlace(t *testing.T) {
	s := newSite(t, hosts.Options{})
	s.deploy.Path, s.deploy.StateDir, s.deploy.Layout = "/var/www/html", "/srv/slipway/blog", v1alpha1.LayoutInPlace
	s.deploy.Shared = append(s.deploy.Shared, v1alpha1.SharedPath{Path: "odd[1]*", Type: v1alpha1.SharedDir})
	s.shell("mkdir -p /var/www/html/wp-content/uploads '/var/www/html/odd[1]*'; cd /var/www/html; echo old >index.php; echo old >gone.php; echo photo >wp-content/uploads/1.jpg; echo secret >wp-config.php; echo o >'odd[1]*/x'")
	one := s.depot.publish(t, first)
	s.refuse(s.order(one), v1alpha1.ReasonExistingContent)
	s.deploy.Adopt = &v1alpha1.AdoptDocroot{Existing: true}
	s.deliver(s.order(one))
	s.Expect(s.shell("cd /var/www/html; cat index.php wp-content/uploads/1.jpg wp-config.php odd*/x; ls gone.php 2>&1 || :")).
		To(And(HavePrefix("onephoto\nsecret\no\n"), ContainSubstring("No such file")))
	s.Expect(s.shell("cat /srv/slipway/blog/releases/pre-slipway/gone.php")).To(Equal("old\n"))
	s.Expect(s.probe().Drift).To(BeNil())

	s.shell("cd /var/www/html; touch -r index.php /tmp/r; printf eno >index.php; touch -r /tmp/r index.php; echo more >wp-content/uploads/2.jpg")
	seen := s.probe()
	s.Expect(seen.Drift).NotTo(BeNil())
	s.Expect(seen.Drift.Message).To(And(ContainSubstring("index.php"), Not(ContainSubstring("uploads"))))
	order := s.order(one)
	order.Repair = true
	s.deliver(order)
	s.Expect(s.shell("cat /var/www/html/index.php")).To(Equal("one"))
	two := s.depot.publish(t, map[string]string{"index.php": "two"})
	s.deliver(s.order(two))
	s.Expect(s.shell("ls -A /var/www/html")).To(Equal("index.php\nodd[1]*\nwp-config.php\nwp-content\n"))
	back := s.order(one)
	back.Depot.Host = ""
	s.deliver(back)
	s.Expect(s.shell("cat /var/www/html/index.php /var/www/html/wp-content/uploads/2.jpg")).To(Equal("onemore\n"))
}

// A sync into the document root that fails half-way leaves files of both: the host says so, and the next one ends it.
func TestInPlaceHalfWay(t *testing.T) {
	s := newSite(t, hosts.Options{})
	s.deploy.Path, s.deploy.StateDir, s.deploy.Layout = "/var/www/html", "/srv/slipway/blog", v1alpha1.LayoutInPlace
	s.deliver(s.order(s.depot.publish(t, first)))
	_, err := s.host.Shell(context.Background(), "root", "mkdir /var/www/html/rooted && touch /var/www/html/rooted/file")
	s.Expect(err).NotTo(HaveOccurred())
	two := s.depot.publish(t, map[string]string{"index.php": "two"})
	failure := s.refuse(s.order(two), v1alpha1.ReasonDeliveryFailed)
	s.Expect(failure.Step).To(Equal("Switch"))
	s.Expect(failure.Switched).To(BeTrue())
	s.Expect(s.probe().Drift).NotTo(BeNil())
	_, err = s.host.Shell(context.Background(), "root", "rm -r /var/www/html/rooted")
	s.Expect(err).NotTo(HaveOccurred())
	s.deliver(s.order(two))
	s.Expect(s.probe().Drift).To(BeNil())
}

// An application that writes into a file of its release must not write into the releases kept beside it.
func TestNoSharedInodes(t *testing.T) {
	s := newSite(t, hosts.Options{})
	one := s.depot.publish(t, map[string]string{"index.php": "one", "same.php": "same"})
	two := s.depot.publish(t, map[string]string{"index.php": "two", "same.php": "same"})
	links := func() string { return s.shell("stat -c %h /var/www/blog/current/same.php") }
	s.deliver(s.order(one))
	s.deliver(s.order(two))
	s.Expect(links()).To(Equal("1\n"))
	s.shell("printf evil >/var/www/blog/current/same.php")
	s.deliver(s.order(one))
	s.Expect(s.shell("cat /var/www/blog/current/same.php")).To(Equal("same"))

	// A web server's user of its own can't write release files: then they share inodes, and a damaged source is noticed.
	s.deploy.WebUser = "www-data"
	three := s.depot.publish(t, map[string]string{"index.php": "three", "same.php": "same"})
	s.deliver(s.order(three))
	s.Expect(links()).To(Equal("2\n"))
	s.Expect(s.probe().Drift).To(BeNil())
	s.shell("cd /var/www/blog/current; touch -r same.php /tmp/r; printf evil >same.php; touch -r /tmp/r same.php")
	four := s.depot.publish(t, map[string]string{"index.php": "four", "same.php": "same"})
	s.deliver(s.order(four))
	s.Expect(s.shell("cat /var/www/blog/current/same.php")).To(Equal("same"))

	s.shell("chmod 700 /var/www/blog/releases")
	s.Expect(s.refuse(s.order(one), v1alpha1.ReasonPathRefused).Message).To(ContainSubstring("www-data"))
}

func TestSharedPaths(t *testing.T) {
	s := newSite(t, hosts.Options{})
	s.shell("mkdir -p /srv/nfs/uploads; echo photo >/srv/nfs/uploads/1.jpg")
	_, err := s.host.Shell(context.Background(), "root", "mount --bind /srv/nfs/uploads /srv/nfs/uploads")
	s.Expect(err).NotTo(HaveOccurred())
	s.deploy.Shared = []v1alpha1.SharedPath{
		{Path: "wp-content/uploads", Source: "/srv/nfs/uploads"}, {Path: "wp-config.php", Type: v1alpha1.SharedFile}, {Path: "a/b c/d"},
	}
	for _, content := range []string{"one", "two", "three", "four", "five"} {
		s.deliver(s.order(s.depot.publish(t, map[string]string{"index.php": content})))
	}
	s.Expect(s.shell("cd /var/www/blog/current; cat wp-content/uploads/1.jpg; echo s >wp-config.php; echo x >'a/b c/d/e'; cat /var/www/blog/shared/wp-config.php /var/www/blog/shared/a/b*/d/e")).To(Equal("photo\ns\nx\n"))
	s.Expect(s.probe().Drift).To(BeNil())
	shipped := s.depot.publish(t, map[string]string{"index.php": "six", "wp-config.php": "shipped"})
	s.Expect(s.refuse(s.order(shipped), v1alpha1.ReasonVerifyFailed).Message).To(ContainSubstring("shared path"))
	s.deploy.Shared[1].Type = v1alpha1.SharedDir
	s.refuse(s.order(s.depot.publish(t, map[string]string{"index.php": "seven"})), v1alpha1.ReasonPathRefused)
}

// Nothing that a user wrote is read as code.
func TestHostileValues(t *testing.T) {
	s := newSite(t, hosts.Options{})
	hostile := "$(touch /tmp/pwned) `touch /tmp/pwned` ';touch /tmp/pwned;' \" \\ %s -e\nend 0\nx"
	order := s.order(s.depot.publish(t, first))
	order.Revision, order.Release, order.Commit = hostile, hostile, strings.ReplaceAll(hostile, "\n", "")
	order.Deploy.Path = "/var/www/a 'b' $(touch pwned) \"c\""
	s.deploy = order.Deploy
	s.deliver(order)
	s.Expect(s.shell("ls /tmp")).NotTo(ContainSubstring("pwned"))
	seen := s.probe()
	s.Expect(seen.Drift).To(BeNil())
	s.Expect(seen.Commit).To(Equal(order.Commit))
	s.Expect(seen.Revision).To(Equal(strings.ReplaceAll(hostile, "\n", " ")))
	order = s.order(order.Digest)
	order.Revision = "a\x00b"
	s.deliver(order)
}
