// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// A release whose hook fails goes back by itself, on the one host that had it, and nothing brings it in again; the same
// revision, mended by its hook's surroundings, goes through when a person asks for it.
func TestAReleaseThatBreaksHostsIsRolledBack(t *testing.T) {
	w, g := shared, NewWithT(t)
	r := newRepository(t)
	r.commit("v1", map[string]string{"index.html": "good\n"})
	r.commit("v2", map[string]string{"index.html": "bad\n"})
	w.service(t, "broken", r, "", func(s *v1alpha1.Service) {
		s.Spec.Deploy.Hooks.AfterSwitch = &v1alpha1.HostHook{Script: "[ -e /srv/www/pardon ] || ! grep bad index.html"}
		canary := intstr.FromInt32(1)
		s.Spec.Rollout.Steps = []v1alpha1.RolloutStep{{Targets: &canary}, {Pause: &v1alpha1.RolloutPause{Duration: metav1.Duration{Duration: 2 * time.Second}}}}
	})
	w.release(t, "broken-1", "broken", "v1")
	w.succeeded(t, "broken-1")

	w.release(t, "broken-2", "broken", "v2")
	release := w.finished(t, "broken-2")
	succeeded := meta.FindStatusCondition(release.Status.Conditions, "Succeeded")
	g.Expect(succeeded.Reason).To(Equal(v1alpha1.ReasonRolledBack), succeeded.Message)
	g.Expect(succeeded.Message).To(SatisfyAll(ContainSubstring("1 failed ("+w.hosts[0].Name+": HookFailed"), ContainSubstring("1 of 1 Targets are back at v1")))
	g.Expect(release.Status.Rollback.Targets).To(BeEquivalentTo(1), "the canary alone had it")
	w.live(t, "broken", "index.html", "good\n")
	service := &v1alpha1.Service{}
	g.Expect(w.client.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "broken"}, service)).To(Succeed())
	g.Expect(service.Status.Current.Release).To(Equal("broken-1"))

	for n := range w.hosts {
		g.Expect(os.WriteFile(w.onHost(n, "srv/www/pardon"), nil, 0o644)).To(Succeed())
	}
	w.release(t, "broken-3", "broken", "v2")
	w.succeeded(t, "broken-3")
	w.live(t, "broken", "index.html", "bad\n")
}
