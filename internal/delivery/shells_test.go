// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery_test

import (
	"os/exec"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/test/hosts"
)

// The script runs wherever there is a POSIX shell, whatever tools stand behind it, and whatever the login shell is. The
// oldest tools it is meant for are those of Debian 11 and Amazon Linux 2023: coreutils 8.32 (sync -f is of 8.24),
// findutils 4.8, util-linux 2.36, rsync 3.2.3, OpenSSH 8.4. Busybox stands for all that lack the GNU tools' options.
func TestShells(t *testing.T) {
	for name, options := range map[string]hosts.Options{
		"dash":                 {},
		"bash":                 {Shell: "/bin/bash", Tools: map[string]string{"sh": "-> /bin/bash"}}, // as on Amazon Linux
		"busybox":              {Busybox: true},
		"no agent forwarding":  {SSHD: []string{"AllowAgentForwarding no"}},
		"busybox and no agent": {Busybox: true, SSHD: []string{"AllowAgentForwarding no"}},
	} {
		t.Run(name, func(t *testing.T) {
			if options.Busybox {
				if _, err := exec.LookPath("busybox"); err != nil {
					t.Fatal("busybox is missing: apt-get install busybox-static")
				}
			}
			s := newSite(t, options)
			if options.Tools != nil {
				s.Expect(s.shell("sh -c 'readlink /proc/$$/exe; echo $POSIXLY_CORRECT'")).To(HaveSuffix("/bash\ny\n"))
			}
			if options.Busybox {
				s.Expect(s.shell("readlink /proc/$$/exe")).To(ContainSubstring("busybox"))
			}
			sleepers := func() string {
				return s.shell(`cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n' | grep -c '^sleep$' || :`)
			}
			one := s.depot.publish(t, first)
			hook := func(text string) *v1alpha1.HostHook {
				return &v1alpha1.HostHook{Script: text, Timeout: metav1.Duration{Duration: 2 * time.Second}}
			}
			s.deploy.Hooks = v1alpha1.Hooks{BeforeSwitch: hook("cat; echo fine"), AfterSwitch: hook("sleep 99 & echo $SLIPWAY_DIGEST")}
			result := s.deliver(s.order(one))
			s.Expect(result.Steps).To(ContainElement(HaveField("Message", HaveSuffix(one))))
			s.Expect(sleepers()).To(Equal("0\n"), "what a hook leaves in its process group ends")
			s.shell("cd /var/www/blog/current && touch -r index.php /tmp/r && printf eno >index.php && touch -r /tmp/r index.php; touch new")
			s.Expect(s.probe().Drift).NotTo(BeNil())
			s.deliver(s.order(one))
			two := s.depot.publish(t, map[string]string{"index.php": "two"})
			s.deploy.Hooks.BeforeSwitch = hook("sleep 77 & sleep 78")
			s.refuse(s.order(two), v1alpha1.ReasonHookFailed)
			s.Expect(sleepers()).To(Equal("0\n"))
			s.deploy.Hooks.BeforeSwitch = nil
			s.deliver(s.order(two))
			s.Expect(s.probe().Drift).To(BeNil())
			s.Expect(s.shell("ls /dev/shm")).To(BeEmpty(), "no key is left behind")
		})
	}
}
