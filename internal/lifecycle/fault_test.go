// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/lifecycle"
)

// failing is a Target whose delivery failed three times on a full disk.
func failing(name string) v1alpha1.Target {
	target := v1alpha1.Target{
		ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: name, Generation: 4},
		Spec:       v1alpha1.TargetSpec{Service: "blog", Fence: 7, Artifact: &v1alpha1.ReleaseRecord{Digest: "sha256:b"}},
		Status: v1alpha1.TargetStatus{
			ObservedGeneration: 4,
			Delivery:           &v1alpha1.DeliveryStatus{Fence: 7, Digest: "sha256:b", Failures: 3, Reason: v1alpha1.ReasonDiskFull},
		},
	}
	says(&target, v1alpha1.ConditionReady, "False", v1alpha1.ReasonDiskFull, time.Minute)
	says(&target, v1alpha1.ConditionReachable, "True", v1alpha1.ReasonSucceeded, time.Hour)
	return target
}

func says(target *v1alpha1.Target, kind string, status metav1.ConditionStatus, reason string, since time.Duration) {
	for i := range target.Status.Conditions {
		if target.Status.Conditions[i].Type == kind {
			target.Status.Conditions = append(target.Status.Conditions[:i:i], target.Status.Conditions[i+1:]...)
			break
		}
	}
	target.Status.Conditions = append(target.Status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, LastTransitionTime: metav1.NewTime(ago(since)),
	})
}

func TestStands(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*v1alpha1.Target)
		ready  bool
		reason string
		fault  bool
	}{
		"failed three times": {func(*v1alpha1.Target) {}, false, v1alpha1.ReasonDiskFull, true},
		"failed twice":       {func(t *v1alpha1.Target) { t.Status.Delivery.Failures = 2 }, false, v1alpha1.ReasonDiskFull, false},
		"failed once, and is not tried again": {func(t *v1alpha1.Target) {
			t.Status.Delivery.Failures = 1
			says(t, v1alpha1.ConditionStalled, "True", v1alpha1.ReasonDiskFull, time.Minute)
		}, false, v1alpha1.ReasonDiskFull, true},
		"is tried again": {func(t *v1alpha1.Target) {
			says(t, v1alpha1.ConditionReady, "False", v1alpha1.ReasonDelivering, 0)
		}, false, v1alpha1.ReasonDiskFull, true},
		"failed with an earlier order": {func(t *v1alpha1.Target) { t.Spec.Fence = 8 }, false, v1alpha1.ReasonDiskFull, false},
		"failed with another artifact": {
			func(t *v1alpha1.Target) { t.Spec.Artifact.Digest = "sha256:a" }, false, v1alpha1.ReasonDiskFull, false,
		},
		"has an order that nobody looked at yet": {func(t *v1alpha1.Target) { t.Generation++ }, false, v1alpha1.ReasonDiskFull, false},
		"the depot does not answer": {func(t *v1alpha1.Target) {
			says(t, v1alpha1.ConditionReady, "False", v1alpha1.ReasonDepotUnavailable, time.Hour)
		}, false, v1alpha1.ReasonDepotUnavailable, false},
		"does not answer, since just now": {func(t *v1alpha1.Target) {
			says(t, v1alpha1.ConditionReady, "False", v1alpha1.ReasonUnreachable, 0)
			says(t, v1alpha1.ConditionReachable, "False", v1alpha1.ReasonUnreachable, 4*time.Minute)
		}, false, v1alpha1.ReasonUnreachable, false},
		"has not answered for long": {func(t *v1alpha1.Target) {
			says(t, v1alpha1.ConditionReady, "False", v1alpha1.ReasonUnreachable, 0)
			says(t, v1alpha1.ConditionReachable, "False", v1alpha1.ReasonUnreachable, 5*time.Minute)
		}, false, v1alpha1.ReasonUnreachable, true},
		"is who nobody knows": {func(t *v1alpha1.Target) {
			says(t, v1alpha1.ConditionReady, "False", v1alpha1.ReasonHostKeyUnknown, time.Hour)
		}, false, v1alpha1.ReasonHostKeyUnknown, false},
		"was just made": {func(t *v1alpha1.Target) {
			t.Spec.Artifact, t.Status = nil, v1alpha1.TargetStatus{}
		}, false, v1alpha1.ReasonProbing, false},
		"runs it": {func(t *v1alpha1.Target) {
			says(t, v1alpha1.ConditionReady, "True", v1alpha1.ReasonUpToDate, 0)
		}, true, v1alpha1.ReasonUpToDate, false},
		"ran what was ordered before": {func(t *v1alpha1.Target) {
			says(t, v1alpha1.ConditionReady, "True", v1alpha1.ReasonUpToDate, 0)
			t.Generation++
		}, false, v1alpha1.ReasonUpToDate, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			target := failing("a")
			c.change(&target)
			s := lifecycle.Stands(&target, []v1alpha1.Target{target}, now)
			g.Expect(s.Name).To(Equal("web/blog"))
			g.Expect(s.Ready).To(Equal(c.ready))
			g.Expect(s.Reason).To(Equal(c.reason))
			g.Expect(s.Fault).To(Equal(c.fault))
		})
	}
}

// Only hosts that run the same artifact speak for it.
func TestSiblings(t *testing.T) {
	g := NewWithT(t)
	well, old := failing("well"), failing("old")
	for _, target := range []*v1alpha1.Target{&well, &old} {
		says(target, v1alpha1.ConditionReady, "True", v1alpha1.ReasonUpToDate, 0)
	}
	old.Spec.Artifact = &v1alpha1.ReleaseRecord{Digest: "sha256:a"}
	alike, other := failing("alike"), failing("other")
	says(&other, v1alpha1.ConditionReady, "False", v1alpha1.ReasonHookFailed, 0)
	target := failing("a")
	s := lifecycle.Stands(&target, []v1alpha1.Target{well, old, alike, other, target}, now)
	g.Expect(s.Well).To(Equal(1))
	g.Expect(s.Alike).To(Equal(1))
}
