// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/test/hosts"
)

// The commands of a load balancer run on the host as ssh.user, and their words are no shell's.
func TestLoadBalancerCommands(t *testing.T) {
	for name, options := range map[string]hosts.Options{"dash": {}, "busybox": {Busybox: true}, "bash": {Shell: "/bin/bash", Tools: map[string]string{"sh": "-> /bin/bash"}}} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, options)
			run := func(step string, hook v1alpha1.HostHook) error {
				return s.pool.Command(t.Context(), s.reach, s.deploy, step, hook)
			}
			s.Expect(run(v1alpha1.StepDrain, v1alpha1.HostHook{Command: []string{"sh", "-c", `printf '%s|' "$(id -un)" "$@" >/tmp/out`, "x", "$(id)", "a b", "'"}})).To(Succeed())
			s.Expect(s.shell("cat /tmp/out")).To(Equal("deploy|$(id)|a b|'|"))
			s.Expect(run(v1alpha1.StepReturn, v1alpha1.HostHook{Script: "set -- 1 2\nprintf '%s\\n' \"$#\" '$(id)' >/tmp/out\n"})).To(Succeed())
			s.Expect(s.shell("cat /tmp/out")).To(Equal("2\n$(id)\n"))

			s.Expect(run(v1alpha1.StepDrain, v1alpha1.HostHook{Script: "echo no such server\nfalse\ntrue"})).To(
				And(HaveField("Step", "Drain"), HaveField("Reason", v1alpha1.ReasonDrainFailed), HaveField("Message", "the command ended with exit code 1: no such server")))
			s.Expect(run(v1alpha1.StepReturn, v1alpha1.HostHook{Command: []string{"/no/such/program"}})).To(
				And(HaveField("Step", "Return"), HaveField("Reason", v1alpha1.ReasonReturnFailed), HaveField("Message", ContainSubstring("exit code 12"))))
			s.Expect(run(v1alpha1.StepDrain, v1alpha1.HostHook{Command: []string{"sleep", "300"}, Timeout: metav1.Duration{Duration: time.Second}})).To(
				HaveField("Message", "the command did not end within 1s and was killed"))
			s.Eventually(func() string { return s.shell("ls /dev/shm") }).Should(BeEmpty(), "nothing is left behind")
		})
	}
}
