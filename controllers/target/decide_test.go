// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/delivery"
	"github.com/slipway-dev/slipway/internal/rollout"
)

var (
	self  = delivery.Owner{ID: "here", Service: "uid-1"}
	order = &v1alpha1.ReleaseRecord{Release: "blog-2", Revision: "v2", Commit: "abcdef0123", Digest: "sha256:two", Frozen: "blog-x"}
)

func reachable(status v1alpha1.TargetStatus) *v1alpha1.TargetStatus {
	conditions.True(&status.Conditions, 1, v1alpha1.ConditionReachable, v1alpha1.ReasonSucceeded, "")
	return &status
}

func delivered(outcome string, fence int64) *v1alpha1.DeliveryStatus {
	return &v1alpha1.DeliveryStatus{Fence: fence, Digest: order.Digest, Outcome: outcome}
}

func TestDecide(t *testing.T) {
	drift := &delivery.Drift{Reason: v1alpha1.ReasonContentChanged, Message: "index.php was changed"}
	tests := []struct {
		name   string
		facts  facts
		action action
		reason string
		state  conditions.State
		repair bool
	}{
		{name: "after a restart a host is looked at, not trusted",
			facts:  facts{order: order, fence: 5, status: reachable(v1alpha1.TargetStatus{})},
			action: look, reason: v1alpha1.ReasonProbing, state: conditions.InProgress},
		{name: "a host that is known is delivered to at once",
			facts:  facts{known: true, order: order, fence: 5, status: reachable(v1alpha1.TargetStatus{})},
			action: deliver, reason: v1alpha1.ReasonDelivering, state: conditions.InProgress},
		{name: "a host that did not answer is looked at",
			facts:  facts{known: true, order: order, fence: 5, status: &v1alpha1.TargetStatus{}},
			action: look, reason: v1alpha1.ReasonProbing, state: conditions.InProgress},
		{name: "a host whose order is complete is looked at",
			facts:  facts{known: true, order: order, fence: 5, status: reachable(v1alpha1.TargetStatus{Delivery: delivered(rollout.Succeeded, 5)})},
			action: look, reason: v1alpha1.ReasonProbing, state: conditions.InProgress},
		{name: "a path of somebody else is left alone",
			facts: facts{order: order, fence: 5, status: &v1alpha1.TargetStatus{},
				seen: &delivery.Observation{Owner: &v1alpha1.PathOwner{OwnerID: "there", ServiceUID: "uid-0"}}},
			action: rest, reason: v1alpha1.ReasonForeignOwner, state: conditions.Stalled},
		{name: "the same Service's path of another installation is somebody else's",
			facts: facts{order: order, fence: 5, status: &v1alpha1.TargetStatus{},
				seen: &delivery.Observation{Owner: &v1alpha1.PathOwner{OwnerID: "there", ServiceUID: "uid-1"}}},
			action: rest, reason: v1alpha1.ReasonForeignOwner, state: conditions.Stalled},
		{name: "with consent it is taken over",
			facts: facts{order: order, fence: 5, status: &v1alpha1.TargetStatus{}, owner: delivery.Owner{ID: "here", Service: "uid-1", AdoptFrom: "uid-0"},
				seen: &delivery.Observation{Owner: &v1alpha1.PathOwner{OwnerID: "there", ServiceUID: "uid-0"}}},
			action: deliver, reason: v1alpha1.ReasonDelivering, state: conditions.InProgress},
		{name: "without an order nothing is delivered",
			facts:  facts{status: &v1alpha1.TargetStatus{}, seen: &delivery.Observation{}},
			action: rest, reason: v1alpha1.ReasonNothingDelivered, state: conditions.Waiting},
		{name: "without an order a host that runs something waits",
			facts:  facts{status: &v1alpha1.TargetStatus{}, seen: &delivery.Observation{Digest: "sha256:one"}},
			action: rest, reason: v1alpha1.ReasonWaitingForWave, state: conditions.Waiting},
		{name: "an order whose Release ended, with none to follow, is not carried out any more",
			facts:  facts{known: true, withdrawn: true, order: order, fence: 5, status: reachable(v1alpha1.TargetStatus{Delivery: delivered(rollout.Failed, 5)}), seen: &delivery.Observation{Fence: 5}},
			action: rest, reason: v1alpha1.ReasonNothingDelivered, state: conditions.Waiting},
		{name: "before the first Release a host waits",
			facts:  facts{withdrawn: true, status: &v1alpha1.TargetStatus{}, seen: &delivery.Observation{}},
			action: rest, reason: v1alpha1.ReasonNothingDelivered, state: conditions.Waiting},
		{name: "nor without a look",
			facts:  facts{known: true, withdrawn: true, order: order, fence: 5, status: reachable(v1alpha1.TargetStatus{})},
			action: look, reason: v1alpha1.ReasonProbing, state: conditions.InProgress},
		{name: "a host that a Release reached before it ended is well",
			facts: facts{withdrawn: true, order: order, fence: 5, status: &v1alpha1.TargetStatus{Delivery: delivered(rollout.Succeeded, 5)},
				seen: &delivery.Observation{Digest: order.Digest, Fence: 5}},
			action: rest, reason: v1alpha1.ReasonUpToDate, state: conditions.Current},
		{name: "a host that has seen a higher fence waits for one",
			facts:  facts{order: order, fence: 5, status: &v1alpha1.TargetStatus{}, seen: &delivery.Observation{Fence: 6}},
			action: rest, reason: v1alpha1.ReasonFencedOff, state: conditions.Waiting},
		{name: "an order that was not carried out is",
			facts:  facts{order: order, fence: 5, status: &v1alpha1.TargetStatus{Delivery: delivered(rollout.Failed, 5)}, seen: &delivery.Observation{Fence: 5}},
			action: deliver, reason: v1alpha1.ReasonDelivering, state: conditions.InProgress},
		{name: "a new fence for what runs is delivered again",
			facts:  facts{order: order, fence: 6, status: &v1alpha1.TargetStatus{Delivery: delivered(rollout.Succeeded, 5)}, seen: &delivery.Observation{Fence: 5, Digest: order.Digest}},
			action: deliver, reason: v1alpha1.ReasonDelivering, state: conditions.InProgress},
		{name: "a new fence for what was changed repairs it",
			facts:  facts{order: order, fence: 6, status: &v1alpha1.TargetStatus{Delivery: delivered(rollout.Succeeded, 5)}, seen: &delivery.Observation{Fence: 5, Digest: order.Digest, Drift: drift}},
			action: deliver, reason: v1alpha1.ReasonDelivering, state: conditions.InProgress, repair: true},
		{name: "drift waits for a permit",
			facts:  facts{order: order, fence: 5, status: &v1alpha1.TargetStatus{Delivery: delivered(rollout.Succeeded, 5)}, seen: &delivery.Observation{Fence: 5, Digest: order.Digest, Drift: drift}},
			action: rest, reason: v1alpha1.ReasonContentChanged, state: conditions.Waiting},
		{name: "drift is only reported where that is the policy",
			facts: facts{order: order, fence: 5, drift: v1alpha1.DriftReport, status: &v1alpha1.TargetStatus{Delivery: delivered(rollout.Succeeded, 5)},
				seen: &delivery.Observation{Fence: 5, Digest: order.Digest, Drift: drift}},
			action: rest, reason: v1alpha1.ReasonContentChanged, state: conditions.Stalled},
		{name: "a link that was moved waits for a permit",
			facts:  facts{order: order, fence: 5, status: &v1alpha1.TargetStatus{Delivery: delivered(rollout.Succeeded, 5)}, seen: &delivery.Observation{Fence: 5, Digest: "sha256:one"}},
			action: rest, reason: v1alpha1.ReasonLinkMoved, state: conditions.Waiting},
		{name: "a host that runs what it should is well",
			facts:  facts{order: order, fence: 5, status: &v1alpha1.TargetStatus{Delivery: delivered(rollout.Succeeded, 5)}, seen: &delivery.Observation{Fence: 5, Digest: order.Digest}},
			action: rest, reason: v1alpha1.ReasonUpToDate, state: conditions.Current},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := NewWithT(t)
			if test.facts.owner == (delivery.Owner{}) {
				test.facts.owner = self
			}
			v := decide(test.facts)
			g.Expect(v.action).To(Equal(test.action))
			g.Expect(v.reason).To(Equal(test.reason))
			g.Expect(v.state).To(Equal(test.state))
			g.Expect(v.repair).To(Equal(test.repair))
			g.Expect(v.message).NotTo(BeEmpty())
		})
	}
}

func TestBackoffGrowsToTenMinutes(t *testing.T) {
	g := NewWithT(t)
	g.Expect(backoff(1)).To(Equal(2 * time.Second))
	g.Expect(backoff(2)).To(Equal(4 * time.Second))
	g.Expect(backoff(9)).To(Equal(512 * time.Second))
	g.Expect(backoff(10)).To(Equal(10 * time.Minute))
	g.Expect(backoff(1 << 30)).To(Equal(10 * time.Minute))
}

func TestMemoryEndsAWaitWhenSomethingChanged(t *testing.T) {
	g := NewWithT(t)
	m, now := newMemory(), time.Unix(1000, 0)
	host := &v1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "blog-1"}}
	g.Expect(m.wait(host, "a", now)).To(BeZero(), "never seen")
	m.learn(host, "a", now, lesson{failures: 7, after: time.Minute})
	g.Expect(m.wait(host, "a", now.Add(time.Second))).To(Equal(59 * time.Second))
	g.Expect(m.recall(host).failures).To(Equal(7))
	g.Expect(m.wait(host, "b", now.Add(time.Second))).To(BeZero(), "the spec changed")
	g.Expect(m.recall(host).failures).To(BeZero(), "and with it the backoff")
	g.Expect(m.hasten(types.NamespacedName{Namespace: "web", Name: "blog-1"}, now.Add(time.Second))).To(BeFalse(), "looked at just now")
	g.Expect(m.hasten(types.NamespacedName{Namespace: "web", Name: "blog-1"}, now.Add(20*time.Second))).To(BeTrue())
	g.Expect(m.wait(host, "a", now.Add(20*time.Second))).To(BeZero())
	m.forget(host)
	g.Expect(m.recall(host)).To(Equal(lesson{}))
}

func TestAskingForARetryEndsTheRest(t *testing.T) {
	g := NewWithT(t)
	j := &job{target: &v1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "blog-1"}}, service: &v1alpha1.Service{}}
	m, now := newMemory(), time.Unix(1000, 0)
	m.learn(j.target, j.print(), now, lesson{failures: 9, after: 8 * time.Minute})
	g.Expect(m.wait(j.target, j.print(), now)).To(Equal(8 * time.Minute))
	j.target.Annotations = map[string]string{v1alpha1.AnnotationRetry: "2026-11-24T03:00:00Z"}
	g.Expect(m.wait(j.target, j.print(), now)).To(BeZero())
}

func TestAnErrorWithoutAVerdictLeavesTheOutcomeUnknown(t *testing.T) {
	g := NewWithT(t)
	g.Expect(asFailure(errors.New("boom"), "Deliver", v1alpha1.ReasonDeliveryFailed)).To(Equal(
		&delivery.Failure{Step: "Deliver", Reason: v1alpha1.ReasonDeliveryFailed, Message: "boom", Unknown: true}))
	g.Expect(asFailure(context.DeadlineExceeded, "Deliver", v1alpha1.ReasonDeliveryFailed).Reason).To(Equal(v1alpha1.ReasonTimedOut))
	verdict := &delivery.Failure{Step: "Pull", Reason: v1alpha1.ReasonDiskFull}
	g.Expect(asFailure(verdict, "Deliver", "")).To(BeIdenticalTo(verdict))
}

func TestKeepNamesAllThatTheHostMayNeedAgain(t *testing.T) {
	g := NewWithT(t)
	record := func(digest string) *v1alpha1.ReleaseRecord { return &v1alpha1.ReleaseRecord{Digest: digest} }
	j := &job{order: record("order"), target: &v1alpha1.Target{}, service: &v1alpha1.Service{}}
	j.deploy.KeepReleases = 2
	j.target.Status.Running = &v1alpha1.RunningArtifact{Digest: "running"}
	j.service.Status = v1alpha1.ServiceStatus{Current: record("current"), Previous: record("previous"), Rolling: record("order"),
		History: []v1alpha1.ReleaseOutcome{{Digest: "current", Outcome: "Succeeded"}, {Digest: "bad", Outcome: "Failed"},
			{Digest: "older", Outcome: "Succeeded"}, {Digest: "oldest", Outcome: "Succeeded"}}}
	g.Expect(keep(j)).To(Equal([]string{"current", "older", "order", "previous", "running"}))
}

func TestAHostThatSwitchedAndFailedIsNotAvailable(t *testing.T) {
	g := NewWithT(t)
	j := &job{target: &v1alpha1.Target{}, owner: self, fence: 5, order: order}
	seen := &delivery.Observation{Fence: 5, SwitchedFence: 5, Digest: order.Digest}
	status := v1alpha1.TargetStatus{Delivery: delivered(rollout.Failed, 5)}
	j.availability(&status, seen)
	g.Expect(conditions.IsTrue(status.Conditions, v1alpha1.ConditionAvailable)).To(BeFalse())
	status.Delivery = delivered(rollout.Succeeded, 5)
	j.availability(&status, seen)
	g.Expect(conditions.IsTrue(status.Conditions, v1alpha1.ConditionAvailable)).To(BeTrue())
}
