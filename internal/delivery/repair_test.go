// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery_test

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/test/hosts"
)

// edit changes a file without changing its size and time.
const edit = "touch -r index.php /tmp/r && printf eno >index.php && touch -r /tmp/r index.php"

// A repair takes nothing from the changed tree by size and time: one transfer is enough, into a directory of its own.
func TestRepairGoesByContent(t *testing.T) {
	s := newSite(t, hosts.Options{})
	one := s.depot.publish(t, first)
	s.deliver(s.order(one))
	s.shell("cd /var/www/blog/current && " + edit)
	order := s.order(one)
	order.Repair = true
	result := s.deliver(order)
	s.Expect(result.Steps).NotTo(ContainElement(HaveField("Message", ContainSubstring("mending"))))
	s.Expect(s.shell("cd /var/www/blog; readlink current; cat current/index.php releases/" + one[7:] + "/index.php")).
		To(Equal("releases/" + one[7:] + "-1\noneeno"))
	s.deliver(order)
	s.Expect(s.shell("readlink /var/www/blog/current")).To(Equal("releases/"+one[7:]+"-1\n"), "a repeat makes no further copy")
}

// An order to leave the host as it is switches nothing, whatever it finds.
func TestAnOrderAsIsSwitchesNothing(t *testing.T) {
	s := newSite(t, hosts.Options{})
	one := s.depot.publish(t, first)
	s.deliver(s.order(one))
	order := s.order(one)
	order.AsIs = true
	s.deliver(order)
	s.Expect(s.probe().SwitchedFence).To(Equal(order.Fence), "it stands for an order from now on")

	s.shell("cd /var/www/blog/current && " + edit)
	s.shell("ln -sfn /tmp /var/www/blog/current/wp-content/uploads")
	before := s.shell("readlink /var/www/blog/current; cat /var/www/blog/current/index.php; ls /var/www/blog/releases")
	order = s.order(one)
	order.AsIs = true
	s.refuse(order, v1alpha1.ReasonContentChanged)
	s.Expect(s.shell("readlink /var/www/blog/current; cat /var/www/blog/current/index.php; ls /var/www/blog/releases")).To(Equal(before))

	other := s.order(s.depot.publish(t, map[string]string{"index.php": "two"}))
	other.AsIs = true
	s.refuse(other, v1alpha1.ReasonContentChanged)
	s.Expect(s.shell("readlink /var/www/blog/current; cat /var/www/blog/current/index.php; ls /var/www/blog/releases")).To(Equal(before))
}

// A copy that is kept for a rollback and was changed is never switched to.
func TestEditedCopyIsNotSwitchedTo(t *testing.T) {
	s := newSite(t, hosts.Options{})
	one, two := s.depot.publish(t, first), s.depot.publish(t, map[string]string{"index.php": "two"})
	s.deliver(s.order(one))
	s.deliver(s.order(two))
	s.shell("cd /var/www/blog/releases/" + one[7:] + " && " + edit)
	back := s.order(one)
	back.Depot.Host = ""
	s.refuse(back, v1alpha1.ReasonDepotUnavailable)
	s.Expect(s.shell("cat /var/www/blog/current/index.php")).To(Equal("two"))
	s.deliver(s.order(one))
	s.Expect(s.shell("cat /var/www/blog/current/index.php")).To(Equal("one"))
	s.Expect(s.probe().Drift).To(BeNil())
}

// Somebody replaced the link to what is shared. What is live is not mended, for requests would see it without the link
// for a moment: another copy takes its place, and what was put there stays in the old one.
func TestSharedLinkReplaced(t *testing.T) {
	s := newSite(t, hosts.Options{})
	one := s.depot.publish(t, first)
	s.deliver(s.order(one))
	for name, change := range map[string]string{
		"another target": "ln -sfn /tmp uploads",
		"a directory":    "rm uploads && mkdir uploads && echo lost >uploads/2.jpg",
		"nothing":        "rm uploads",
		"a file":         "rm uploads && echo >uploads",
	} {
		t.Run(name, func(t *testing.T) {
			s.WithT = NewWithT(t)
			s.shell("echo photo >/var/www/blog/shared/wp-content/uploads/1.jpg; cd /var/www/blog/current/wp-content && " + change)
			s.Expect(s.probe().Drift).To(HaveField("Message", ContainSubstring("wp-content/uploads")))
			before := s.shell("readlink /var/www/blog/current; ls -l /var/www/blog/current/wp-content/")
			order := s.order(one)
			order.Repair = true
			order.Deploy.Hooks.BeforeSwitch = &v1alpha1.HostHook{Script: "readlink /var/www/blog/current >/tmp/seen; ls -l /var/www/blog/current/wp-content/ >>/tmp/seen"}
			s.deliver(order)
			s.Expect(s.shell("cat /tmp/seen")).To(Equal(before), "what is live is as it was up to the switch")
			s.Expect(before).NotTo(HavePrefix(s.shell("readlink /var/www/blog/current")), "another copy is live")
			s.Expect(s.shell("cat /var/www/blog/current/wp-content/uploads/1.jpg")).To(Equal("photo\n"))
			s.Expect(s.probe().Drift).To(BeNil())
		})
	}
}
