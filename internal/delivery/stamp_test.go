// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery_test

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/test/hosts"
)

// A look at a host reads no file whose size, ctime and inode are what they were: also not with layout InPlace, where what
// is shared lies within and changes. What was changed since it was verified is found by the next look, whatever its times.
func TestStamp(t *testing.T) {
	// The host counts whom it asked for checksums.
	counted := hosts.Options{Tools: map[string]string{"sha256sum": "#!/bin/sh\n[ $# = 0 ] || echo \"$@\" >>/tmp/sums\nexec /usr/bin/sha256sum \"$@\"\n"}}
	for _, layout := range []v1alpha1.Layout{v1alpha1.LayoutAtomic, v1alpha1.LayoutInPlace} {
		t.Run(string(layout), func(t *testing.T) {
			s := newSite(t, counted)
			live := "/var/www/blog/current"
			if layout == v1alpha1.LayoutInPlace {
				live = "/var/www/html"
				s.deploy.Path, s.deploy.StateDir, s.deploy.Layout = "/var/www/html", "/srv/slipway/blog", layout
				s.deploy.Shared = append(s.deploy.Shared, v1alpha1.SharedPath{Path: "odd[1]*", Type: v1alpha1.SharedDir})
				s.shell("mkdir -p /var/www/html/wp-content/uploads '/var/www/html/odd[1]*'; echo secret >/var/www/html/wp-config.php")
				s.deploy.Adopt = &v1alpha1.AdoptDocroot{Existing: true}
			}
			read := func() string { return s.shell("cat /tmp/sums 2>/dev/null; rm -f /tmp/sums") }
			one := s.depot.publish(t, first)
			s.deliver(s.order(one))
			s.Expect(read()).To(ContainSubstring("index.php"))
			s.shell("cd " + live + "; echo photo >wp-content/uploads/1.jpg; echo other >wp-config.php")
			if layout == v1alpha1.LayoutInPlace {
				s.shell("cd " + live + "; echo x >'odd[1]*/x'; mkdir wp-content/uploads/2; cp wp-config.php w && mv w wp-config.php")
			}
			s.Expect(s.probe().Drift).To(BeNil())
			s.Expect(read()).To(BeEmpty(), "nothing changed, so nothing is read")
			s.shell("cd " + live + " && " + edit)
			s.Expect(s.probe().Drift).To(HaveField("Message", ContainSubstring("index.php")))
			order := s.order(one)
			order.Repair = true
			s.deliver(order)
			read()
			s.Expect(s.probe().Drift).To(BeNil())
			s.Expect(read()).To(BeEmpty())

			// What changes after it was verified, and before the delivery ends, is drift as well.
			order = s.order(s.depot.publish(t, map[string]string{"index.php": "two", "wp-content/x": "x"}))
			order.Deploy.Hooks.AfterSwitch = &v1alpha1.HostHook{Script: "touch -r index.php /tmp/r && printf owt >index.php && touch -r /tmp/r index.php"}
			s.deliver(order)
			s.Expect(s.probe().Drift).To(HaveField("Message", ContainSubstring("index.php")))
		})
	}
}
