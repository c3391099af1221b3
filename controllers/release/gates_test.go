// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/build"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/test/env"
)

func TestGates(t *testing.T) {
	monday := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC) // noon in Tokyo
	until := func(hour int) *metav1.Time {
		return &metav1.Time{Time: time.Date(2026, 11, 23, hour, 0, 0, 0, time.UTC)}
	}
	mornings := &v1alpha1.Windows{TimeZone: "Asia/Tokyo", Allow: []v1alpha1.Window{{Schedule: "0 9 * * MON-FRI", Duration: metav1.Duration{Duration: time.Hour}}}}
	for name, c := range map[string]struct {
		lock        *v1alpha1.Lock
		annotations map[string]string
		windows     *v1alpha1.Windows
		override    []v1alpha1.Gate
		reason      string // empty: it may begin
		says        string
		until       *metav1.Time
	}{
		"nothing holds it": {},
		"locked":           {lock: &v1alpha1.Lock{Reason: "incident 42", Owner: "alice"}, reason: v1alpha1.ReasonLocked, says: "the Service is locked by alice: incident 42"},
		"locked for a while": {
			lock: &v1alpha1.Lock{Reason: "inventory", Until: until(5)}, reason: v1alpha1.ReasonLocked,
			says: "the Service is locked until 2026-11-23 05:00 UTC: inventory", until: until(5),
		},
		"the lock is over": {lock: &v1alpha1.Lock{Reason: "inventory", Until: until(3)}},
		"its namespace is locked": {
			annotations: map[string]string{v1alpha1.AnnotationLock: "sale", v1alpha1.AnnotationLockOwner: "bob", v1alpha1.AnnotationLockUntil: "2026-11-23T14:00:00+09:00"},
			reason:      v1alpha1.ReasonLocked, says: "namespace web is locked by bob until 2026-11-23 05:00 UTC: sale", until: until(5),
		},
		"that is over too":           {annotations: map[string]string{v1alpha1.AnnotationLock: "sale", v1alpha1.AnnotationLockUntil: "2026-11-23T11:00:00+09:00"}},
		"until when nobody can read": {annotations: map[string]string{v1alpha1.AnnotationLock: "sale", v1alpha1.AnnotationLockUntil: "tomorrow"}, reason: v1alpha1.ReasonLocked, says: `is no time like`},
		"out of its window": {
			windows: mornings, reason: v1alpha1.ReasonWindowClosed, says: "no window is open now; it begins at Tue 2026-11-24 09:00 JST",
			until: &metav1.Time{Time: time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)},
		},
		"a window that nobody can read": {windows: &v1alpha1.Windows{TimeZone: "Asia/Tokio"}, reason: v1alpha1.ReasonWindowClosed, says: `no time zone "Asia/Tokio"`},
		"overridden":                    {windows: mornings, override: []v1alpha1.Gate{v1alpha1.GateWindow}},
		"another gate is overridden": {
			windows: mornings, override: []v1alpha1.Gate{v1alpha1.GateLock}, reason: v1alpha1.ReasonWindowClosed,
			until: &metav1.Time{Time: time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)},
		},
		"one of two is overridden": {
			lock: &v1alpha1.Lock{Reason: "incident"}, windows: mornings, override: []v1alpha1.Gate{v1alpha1.GateWindow}, reason: v1alpha1.ReasonLocked,
		},
		"both are": {
			lock: &v1alpha1.Lock{Reason: "incident"}, windows: mornings, override: []v1alpha1.Gate{v1alpha1.GateWindow, v1alpha1.GateLock},
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "web"}, Spec: v1alpha1.ServiceSpec{Lock: c.lock, Windows: c.windows}}
			release := &v1alpha1.Release{}
			if c.override != nil {
				release.Spec.Override = &v1alpha1.Override{By: "carol", Reason: "hotfix", Gates: c.override}
			}
			h := gatesAt(service, c.annotations, monday).holding(release)
			if c.reason == "" {
				g.Expect(h).To(BeNil())
				return
			}
			g.Expect(h).NotTo(BeNil())
			g.Expect(h.reason).To(Equal(c.reason))
			g.Expect(h.message).To(ContainSubstring(c.says))
			if c.until == nil {
				g.Expect(h.until).To(BeNil())
			} else {
				g.Expect(h.until.Time).To(BeTemporally("==", c.until.Time))
			}
			g.Expect(h.after(monday)).To(And(BeNumerically(">", 0), BeNumerically("<=", time.Minute)))
		})
	}
}

// as is a client of a person who may do everything.
func (w *world) as(person string) client.Client {
	config := rest.CopyConfig(env.Config(w.t))
	config.Impersonate = rest.ImpersonationConfig{UserName: person, Groups: []string{"system:masters"}}
	return env.ClientFor(w.t, config)
}

// lock locks the Service, or unlocks it with an empty reason.
func (w *world) lock(reason string) {
	w.g.Expect(w.write(func() error {
		service := w.blog()
		service.Spec.Lock = nil
		if reason != "" {
			service.Spec.Lock = &v1alpha1.Lock{Reason: reason, Owner: "alice"}
		}
		return w.client.Update(w.t.Context(), service)
	})).To(Succeed())
}

// A lock holds a Release up that is built already; when it is gone the Release begins by itself.
func TestALockHoldsARelease(t *testing.T) {
	w := newWorld(t)
	w.service(2)
	w.lock("incident 42")
	w.release("blog-1", "v1")
	w.until(func() bool { return w.get("blog-1").Status.Phase == "Held" })
	for range 5 {
		w.pass()
		w.moveTargets()
	}
	w.g.Expect(w.describe()).To(ContainSubstring("blog-1: Held: Locked: the Service is locked by alice: incident 42"))
	w.g.Expect(w.blog().Status.Rolling).To(BeNil())
	w.g.Expect(w.get("blog-1").Status.Artifact).NotTo(BeNil(), "it was built meanwhile")
	w.lock("")
	w.until(func() bool { return w.outcome("blog-1") == v1alpha1.ReasonSucceeded })
	w.g.Expect(w.get("blog-1").Status.HeldUntil).To(BeNil())
}

// A rollout that has begun goes on under a lock, and gives its slot to no Release that is held; of those that wait, the newest goes.
func TestAHeldReleaseTakesNobodysPlace(t *testing.T) {
	w := newWorld(t)
	w.service(3)
	w.release("blog-1", "v1")
	w.until(func() bool { return w.blog().Status.Rolling != nil })
	w.lock("incident 42")
	w.release("blog-2", "v2")
	w.until(func() bool {
		return w.outcome("blog-1") == v1alpha1.ReasonSucceeded && w.get("blog-2").Status.Phase == "Held"
	})
	w.release("blog-3", "v3")
	w.until(func() bool {
		return w.outcome("blog-2") == v1alpha1.ReasonSuperseded && w.get("blog-3").Status.Phase == "Held"
	})

	w.release("blog-4", "v4") // it may go through, and the others not
	w.g.Expect(w.write(func() error {
		release := w.get("blog-4")
		release.Spec.Override = &v1alpha1.Override{By: "carol", Reason: "hotfix", Gates: []v1alpha1.Gate{v1alpha1.GateLock}}
		return w.as("carol").Update(w.t.Context(), release)
	})).To(Succeed())
	w.until(func() bool { return w.outcome("blog-4") == v1alpha1.ReasonSucceeded })
	w.g.Expect(w.outcome("blog-3")).To(Equal(v1alpha1.ReasonSuperseded))
}

// A rollout waits at a step until people have approved, for as long as it takes, and says whose approval is missing.
func TestARolloutWaitsUntilItIsApproved(t *testing.T) {
	w := newWorld(t)
	service := w.service(3)
	service.Spec.Rollout.Steps = []v1alpha1.RolloutStep{{Pause: &v1alpha1.RolloutPause{UntilApproved: true}}}
	w.g.Expect(w.client.Update(t.Context(), service)).To(Succeed())
	w.release("blog-1", "v1")
	ready := func() metav1.Condition {
		return conditions.Get(w.get("blog-1").Status.Conditions, v1alpha1.ConditionReady)
	}
	w.until(func() bool { return ready().Reason == v1alpha1.ReasonAwaitingApproval })
	approve := func(by string) {
		w.g.Expect(w.write(func() error {
			release := w.get("blog-1")
			release.Spec.Approvals = append(release.Spec.Approvals, v1alpha1.Approval{Gate: "Step-1", By: by})
			return w.as(by).Update(w.t.Context(), release)
		})).To(Succeed())
	}
	w.g.Expect(ready().Message).To(ContainSubstring("pause until it is approved by two people"))
	approve("alice")
	w.until(func() bool { return strings.Contains(ready().Message, "one more person") })
	w.g.Expect(w.get("blog-1").Status.Step).To(HaveField("Index", int32(0)))
	approve("bob")
	w.until(func() bool { return w.outcome("blog-1") == v1alpha1.ReasonSucceeded })
}

// refuseShrunk does what a build Pod does whose artifact the depot does not take.
func (w *world) refuseShrunk(job *batchv1.Job) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: job.Name + "-pod", Labels: map[string]string{batchv1.JobNameLabel: job.Name}}}
	pod.Spec.Containers = []corev1.Container{{Name: build.PublishContainer, Image: "slipway:test"}}
	w.g.Expect(w.client.Create(w.t.Context(), pod)).To(Succeed())
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: build.PublishContainer, State: corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: `{"reason":"ArtifactShrunk","message":"the build left 2 files"}`}}}}
	w.g.Expect(w.client.Status().Update(w.t.Context(), pod)).To(Succeed())
	now := metav1.Now()
	job.Status.Failed, job.Status.StartTime = 1, &now
	job.Status.Conditions = []batchv1.JobCondition{
		{Type: batchv1.JobFailureTarget, Status: corev1.ConditionTrue, LastTransitionTime: now, Reason: "BackoffLimitExceeded"},
		{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, LastTransitionTime: now, Reason: "BackoffLimitExceeded", Message: "the Job failed"},
	}
	w.g.Expect(w.client.Status().Update(w.t.Context(), job)).To(Succeed())
}

// A build that lost half its files waits for people, also when its Pod is long gone, and is built again with their consent.
func TestAShrunkenArtifactWaitsForApproval(t *testing.T) {
	w := newWorld(t)
	w.service(1)
	w.g.Expect(w.client.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "default"}})).To(Succeed())
	w.shrinks = "v2"
	w.release("blog-1", "v1")
	w.until(w.finishedAll("blog-1"))
	w.release("blog-2", "v2")
	w.until(w.waits("blog-2", v1alpha1.ReasonAwaitingApproval))
	w.g.Expect(w.ready("blog-2").Message).To(Equal("the build left 2 files: it waits until that is approved by two people, " +
		"as nobody knows which person asked for the Release (gate ShrunkenArtifact of spec.approvals)"))
	w.g.Expect(w.client.DeleteAllOf(t.Context(), &corev1.Pod{}, client.InNamespace(w.namespace), client.GracePeriodSeconds(0))).To(Succeed())
	first := w.get("blog-2").Status.Build.Job
	for _, by := range []string{"alice", "bob"} {
		w.approveGate("blog-2", v1alpha1.GateShrunkenArtifact, by)
	}
	w.until(w.finishedAll("blog-2"))
	w.g.Expect(w.outcome("blog-2")).To(Equal(v1alpha1.ReasonSucceeded))
	w.g.Expect(w.get("blog-2").Status.Build).To(SatisfyAll(HaveField("Attempt", BeEquivalentTo(2)), HaveField("Shrunk", ""), HaveField("Job", Not(Equal(first)))))
	w.g.Expect(w.running()).To(Equal(map[string]int{"v2": 1}))

	w.shrinks = "v3"
	w.release("blog-3", "v3")
	w.until(w.waits("blog-3", v1alpha1.ReasonAwaitingApproval))
	w.r.Clock = clocktesting.NewFakePassiveClock(time.Now().Add(25 * time.Hour))
	w.until(w.finishedAll("blog-3"))
	w.g.Expect(w.outcome("blog-3")).To(Equal(v1alpha1.ReasonAwaitingApproval), "it does not wait for ever")
}

// A record that was applied again goes on when people say that they mean it.
func TestAnOldRecordGoesOnWhenItIsApproved(t *testing.T) {
	w := newWorld(t)
	w.service(1)
	w.release("blog-1", "v1")
	w.until(w.finishedAll("blog-1"))
	w.release("blog-2", "v2")
	w.until(w.finishedAll("blog-2"))
	w.g.Expect(w.client.Delete(t.Context(), w.get("blog-1"))).To(Succeed())
	w.release("blog-1", "v1")
	w.until(w.waits("blog-1", v1alpha1.ReasonAdoptionRequired))
	w.g.Expect(w.ready("blog-1").Message).To(ContainSubstring("gate Adoption"))
	w.approveGate("blog-1", v1alpha1.GateAdoption, "alice")
	w.approveGate("blog-1", v1alpha1.GateAdoption, "bob")
	w.until(w.finishedAll("blog-1"))
	w.g.Expect(w.running()).To(Equal(map[string]int{"v1": 1}))
}
