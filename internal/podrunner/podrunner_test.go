// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package podrunner

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
)

func TestUnsupported(t *testing.T) {
	yes := true
	for name, c := range map[string]struct {
		change func(*corev1.PodSpec)
		want   string
	}{
		"plain":      {func(*corev1.PodSpec) {}, ""},
		"pid":        {func(s *corev1.PodSpec) { s.HostPID = true }, "hostPID"},
		"restart":    {func(s *corev1.PodSpec) { s.RestartPolicy = corev1.RestartPolicyOnFailure }, "restartPolicy OnFailure"},
		"privileged": {func(s *corev1.PodSpec) { s.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: &yes} }, "privileged"},
		"hostPath": {func(s *corev1.PodSpec) {
			s.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}}}
		}, "hostPath"},
		"projected": {func(s *corev1.PodSpec) {
			s.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}}}
		}, "use emptyDir"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			pod := &corev1.Pod{Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c"}}}}
			c.change(&pod.Spec)
			if c.want == "" {
				g.Expect(Unsupported(pod)).To(BeEmpty())
			} else {
				g.Expect(Unsupported(pod)).To(ContainSubstring(c.want))
			}
		})
	}
}

func TestExpand(t *testing.T) {
	g := NewWithT(t)
	values := map[string]string{"A": "x$(A)"}
	for in, want := range map[string]string{"$(A)": "x$(A)", "$$(A)": "$(A)", "$(B)": "$(B)", "$(": "$(", "$": "$", "a$b": "a$b", "é$(A)": "éx$(A)"} {
		g.Expect(expand(in, values)).To(Equal(want), in)
	}
}
