// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery_test

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/test/hosts"
)

var first = map[string]string{"index.php": "one", "wp-content/theme/a b.css": "x", "bin/link": "-> ../index.php", "odd/$(touch x)`'\"\\ü": "odd"}

func TestDeliver(t *testing.T) {
	s := newSite(t, hosts.Options{})
	seen := s.probe()
	s.Expect(seen.Owner).To(BeNil())
	s.Expect(seen.Digest).To(BeEmpty())
	s.Expect(s.shell("ls -A /var/www /dev/shm")).To(Equal("/dev/shm:\n\n/var/www:\n"), "a probe changes nothing")

	one := s.depot.publish(t, first)
	result := s.deliver(s.order(one))
	s.Expect(result.BytesReceived).To(BeNumerically(">", 0))
	t.Log(result.Steps)
	s.Expect(s.shell("cat /var/www/blog/current/index.php")).To(Equal("one"))
	s.shell("echo photo >/var/www/blog/current/wp-content/uploads/1.jpg; echo secret >/var/www/blog/current/wp-config.php")

	seen = s.probe()
	s.Expect(seen.Drift).To(BeNil())
	s.Expect(seen.Digest).To(Equal(one))
	s.Expect(seen.Commit).To(Equal("c0ffee"))
	s.Expect(seen.Held).To(ConsistOf(one))
	s.Expect(seen.Owner.ServiceUID).To(Equal(service))
	s.Expect(seen.Since.IsZero()).To(BeFalse())

	two := s.depot.publish(t, map[string]string{"index.php": "two", "new.php": "n"})
	s.deliver(s.order(two))
	s.Expect(s.shell("cd /var/www/blog/current; ls; cat index.php wp-content/uploads/1.jpg wp-config.php")).
		To(Equal("index.php\nnew.php\nwp-config.php\nwp-content\ntwophoto\nsecret\n"))

	pulls := s.depot.pulls.Load()
	back := s.order(one)
	back.Depot.Host = ""
	s.deliver(back)
	s.Expect(s.depot.pulls.Load()).To(Equal(pulls), "a rollback to a release that is here needs no depot")
	s.Expect(s.shell("cat /var/www/blog/current/index.php")).To(Equal("one"))
	s.Expect(s.shell("ls /dev/shm")).To(BeEmpty(), "nothing is left behind")
}
