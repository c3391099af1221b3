// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package podrunner

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
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
		"sizeLimit": {func(s *corev1.PodSpec) {
			limit := resource.MustParse("1Gi")
			s.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &limit}}}}
		}, "sizeLimit of the volume \"v\" is not supported"},
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

// FuzzExpand: nothing panics, text without a dollar sign stays, what is expanded is not expanded again, and names that
// nobody set stay as they are written.
func FuzzExpand(f *testing.F) {
	for _, s := range []string{"$(A)", "$$(A)", "$(B)", "$(", "$", "a$b", "é$(A)$$", "$(A", "$()", "$($(A))", "$$$(A)"} {
		f.Add(s, "x$(A)")
	}
	f.Fuzz(func(t *testing.T, s, value string) {
		g := NewWithT(t)
		if !strings.Contains(s, "$") {
			g.Expect(expand(s, nil)).To(Equal(s))
		}
		g.Expect(expand(strings.ReplaceAll(s, "$", "$$"), map[string]string{"A": value})).To(Equal(s), "a doubled sign is one sign")
		name := strings.NewReplacer("$", "", ")", "").Replace(s)
		g.Expect(expand("$("+name+")", map[string]string{"A" + name: value})).To(Equal("$(" + name + ")"))
		g.Expect(expand("$(A)"+strings.ReplaceAll(s, "$", ""), map[string]string{"A": value})).To(Equal(value + strings.ReplaceAll(s, "$", "")))
	})
}
