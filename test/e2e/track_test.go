// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
)

// What is pushed to a branch is released by itself, the newest alone, and after a rollback not before a person has acted.
func TestAPushIsReleased(t *testing.T) {
	w, g := shared, NewWithT(t)
	r := newRepository(t)
	r.commit("one", map[string]string{"index.html": "one\n"})
	branch := v1alpha1.Revision("main")
	tracked := w.service(t, "tracked", r, "", func(s *v1alpha1.Service) {
		s.Spec.Track = &v1alpha1.TrackSpec{Branch: branch, Interval: metav1.Duration{Duration: 15 * time.Second}}
		s.Spec.Deploy.Hooks.AfterSwitch = &v1alpha1.HostHook{Script: "! grep bad index.html"}
	})
	runs := func(want string) {
		t.Helper()
		g.Eventually(func() string {
			content, _ := os.ReadFile(w.onHost(0, "srv/www/tracked/current/index.html"))
			return string(content)
		}, 2*time.Minute, 200*time.Millisecond).Should(Equal(want))
	}
	tracking := func() metav1.Condition {
		g.Expect(w.client.Get(t.Context(), client.ObjectKeyFromObject(tracked), tracked)).To(Succeed())
		return conditions.Get(tracked.Status.Conditions, v1alpha1.ConditionTracking)
	}
	runs("one\n")
	w.succeeded(t, "tracked-1")

	before := tracked.DeepCopy()
	g.Expect(w.client.Get(t.Context(), client.ObjectKeyFromObject(tracked), before)).To(Succeed())
	locked := before.DeepCopy()
	locked.Spec.Lock = &v1alpha1.Lock{Reason: "incident"}
	g.Expect(w.client.Patch(t.Context(), locked, client.MergeFrom(before))).To(Succeed())
	r.commit("two", map[string]string{"index.html": "two\n"})
	r.commit("three", map[string]string{"index.html": "three\n"})
	g.Eventually(func() string { return tracking().Message }, time.Minute, time.Second).Should(ContainSubstring("incident"))
	open := locked.DeepCopy()
	open.Spec.Lock = nil
	g.Expect(w.client.Patch(t.Context(), open, client.MergeFrom(locked))).To(Succeed())
	runs("three\n")
	w.succeeded(t, "tracked-2")
	tracking()
	g.Expect(tracked.Status.History).To(HaveLen(2), "what was pushed in between is skipped")

	r.commit("bad", map[string]string{"index.html": "bad\n"})
	g.Expect(conditions.Get(w.appears(t, "tracked-3").Status.Conditions, "Succeeded").Reason).To(Equal(v1alpha1.ReasonRolledBack))
	r.commit("four", map[string]string{"index.html": "four\n"})
	g.Eventually(func() string { return tracking().Reason }, time.Minute, time.Second).Should(Equal(v1alpha1.ReasonTrackingPaused))
	runs("three\n")
	w.release(t, "by-hand", "tracked", "four")
	w.succeeded(t, "by-hand")
	r.commit("five", map[string]string{"index.html": "five\n"})
	runs("five\n")
}

// appears waits for a Release that is not there yet, and for its end.
func (w *world) appears(t *testing.T, name string) *v1alpha1.Release {
	t.Helper()
	NewWithT(t).Eventually(func() error {
		return w.client.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: name}, &v1alpha1.Release{})
	}, time.Minute, time.Second).Should(Succeed())
	return w.finished(t, name)
}
