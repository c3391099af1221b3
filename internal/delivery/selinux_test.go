// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery_test

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/test/hosts"
)

// Where SELinux enforces, a directory with another label than the policy's is refused before anything is pulled into it.
// The tools are stand-ins, which read what they say from files.
func TestSELinuxLabel(t *testing.T) {
	stat := "#!/bin/sh\n[ \"$1 $2\" = '-c %C' ] || exec /usr/bin/stat \"$@\"\nexec cat /tmp/is\n"
	s := newSite(t, hosts.Options{Tools: map[string]string{
		"getenforce": "#!/bin/sh\nexec cat /tmp/mode\n", "matchpathcon": "#!/bin/sh\nexec cat /tmp/due\n", "stat": stat,
	}})
	one := s.depot.publish(t, first)
	for _, test := range []struct{ mode, is, due string }{
		{"Disabled", "?", "x"},
		{"Permissive", "unconfined_u:object_r:user_home_t:s0", "system_u:object_r:httpd_sys_content_t:s0"},
		{"Enforcing", "unconfined_u:object_r:httpd_sys_content_t:s0", "system_u:object_r:httpd_sys_content_t:s0"},
		{"Enforcing", "unconfined_u:object_r:httpd_sys_rw_content_t:s0", "system_u:object_r:var_t:s0"},
		{"Enforcing", "unconfined_u:object_r:var_t:s0", "system_u:object_r:var_t:s0"},
		{"Enforcing", "", "system_u:object_r:var_t:s0"},
		{"Enforcing", "unconfined_u:object_r:user_home_t:s0", ""},
	} {
		s.shell("echo '" + test.mode + "' >/tmp/mode; echo '" + test.is + "' >/tmp/is; echo '" + test.due + "' >/tmp/due")
		s.deliver(s.order(one))
	}
	s.shell("echo Enforcing >/tmp/mode; echo unconfined_u:object_r:user_home_t:s0 >/tmp/is; echo system_u:object_r:httpd_sys_content_t:s0 >/tmp/due")
	two := s.depot.publish(t, map[string]string{"index.php": "two"})
	failure := s.refuse(s.order(two), v1alpha1.ReasonPathRefused)
	s.Expect(failure.Step).To(Equal("Preflight"))
	s.Expect(failure.Message).To(And(ContainSubstring("user_home_t"), ContainSubstring("httpd_sys_content_t"), ContainSubstring("restorecon -RF /var/www/blog/releases")))
	s.Expect(s.probe().Digest).To(Equal(one))
}
