// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
)

// breaks has the Targets fail at a revision: the host switched, and its hook failed three times.
func (w *world) breaks(revision string) { w.broken = revision }

// edit changes the Service's rollout spec.
func (w *world) edit(change func(*v1alpha1.RolloutSpec)) {
	service := w.blog()
	before := service.DeepCopy()
	change(&service.Spec.Rollout)
	w.g.Expect(w.client.Patch(w.t.Context(), service, client.MergeFrom(before))).To(Succeed())
}

// running maps the Targets to the revisions that they run.
func (w *world) running() map[string]int {
	var targets v1alpha1.TargetList
	w.g.Expect(w.client.List(w.t.Context(), &targets, client.InNamespace(w.namespace))).To(Succeed())
	revisions := map[string]int{}
	for i := range targets.Items {
		revisions[targets.Items[i].Spec.Artifact.Revision]++
	}
	return revisions
}

func TestAReleaseThatFailsOnHostsIsRolledBack(t *testing.T) {
	w := newWorld(t)
	w.service(3)
	w.release("blog-1", "v1")
	w.until(w.finishedAll("blog-1"))
	w.breaks("v2")
	w.release("blog-2", "v2")
	w.until(w.finishedAll("blog-2"))
	release := w.get("blog-2")
	w.g.Expect(w.outcome("blog-2")).To(Equal(v1alpha1.ReasonRolledBack))
	succeeded := conditions.Get(release.Status.Conditions, v1alpha1.ConditionSucceeded)
	w.g.Expect(succeeded.Message).To(SatisfyAll(ContainSubstring("3 failed (web-"), ContainSubstring("HookFailed: broken"),
		ContainSubstring("0 of 3 may (rollout.maxFailed)"), ContainSubstring("3 of 3 Targets are back at v1")))
	w.g.Expect(release.Status.Rollback).To(SatisfyAll(HaveField("To", "blog-1"), HaveField("Reason", v1alpha1.ReasonTooManyFailed), HaveField("Targets", int32(3))))
	w.g.Expect(release.Status.Failures).To(HaveLen(3), "they say what went wrong, also when the hosts are well again")
	w.g.Expect(conditions.IsTrue(release.Status.Conditions, v1alpha1.ConditionStalled)).To(BeTrue())
	w.g.Expect(w.running()).To(Equal(map[string]int{"v1": 3}))
	status := w.blog().Status
	w.g.Expect(status.Current.Release).To(Equal("blog-1"))
	w.g.Expect(status.Rolling).To(BeNil())
	w.g.Expect(status.RollingBack).To(BeFalse())
	w.g.Expect(status.Stopping).To(BeEmpty())
	w.g.Expect(status.History[0]).To(SatisfyAll(HaveField("Release", "blog-2"), HaveField("Outcome", v1alpha1.ReasonRolledBack)))
	w.g.Expect(w.out.started).To(Equal(2), "going back builds nothing")
}

func TestAReleaseThatFailsStopsWhereThatIsThePolicy(t *testing.T) {
	w := newWorld(t)
	w.service(2)
	w.edit(func(s *v1alpha1.RolloutSpec) { s.OnFailure = v1alpha1.OnFailureStop })
	w.release("blog-1", "v1")
	w.until(w.finishedAll("blog-1"))
	w.breaks("v2")
	w.release("blog-2", "v2")
	w.until(w.finishedAll("blog-2"))
	w.g.Expect(w.outcome("blog-2")).To(Equal(v1alpha1.ReasonTooManyFailed))
	w.g.Expect(conditions.Get(w.get("blog-2").Status.Conditions, v1alpha1.ConditionFinished).Reason).To(Equal(v1alpha1.ReasonFailed))
	w.g.Expect(w.running()).To(Equal(map[string]int{"v2": 2}))
}

func TestTheFirstReleaseThatFailsHasNothingToGoBackTo(t *testing.T) {
	w := newWorld(t)
	w.service(2)
	w.breaks("v1")
	w.release("blog-1", "v1")
	w.until(w.finishedAll("blog-1"))
	w.g.Expect(w.outcome("blog-1")).To(Equal(v1alpha1.ReasonTooManyFailed))
	w.g.Expect(w.get("blog-1").Status.Rollback).To(BeNil())
}

// The manager dies at each of its writes while a Release fails and its hosts return.
func TestKilledAtEveryWriteOfARollback(t *testing.T) {
	for _, after := range []bool{false, true} {
		for at := 1; ; at++ {
			reached := false
			t.Run(fmt.Sprintf("write %d, took effect: %v", at, after), func(t *testing.T) {
				w := newWorld(t)
				w.service(2)
				w.release("blog-1", "v1")
				w.until(w.finishedAll("blog-1"))
				w.breaks("v2")
				w.release("blog-2", "v2")
				w.until(func() bool { return w.blog().Status.Rolling != nil })
				w.writes, w.crashAt, w.after = 0, at, after
				w.until(w.finishedAll("blog-2"))
				reached = w.crashAt == 0
				w.g.Expect(w.outcome("blog-2")).To(Equal(v1alpha1.ReasonRolledBack))
				w.g.Expect(w.running()).To(Equal(map[string]int{"v1": 2}))
				w.g.Expect(w.blog().Status.History).To(HaveLen(2))
			})
			if !reached || t.Failed() {
				break
			}
		}
	}
}

// A rollout goes through its steps, and the bake time, by the manager's clock.
func TestStepsAreGoneThrough(t *testing.T) {
	w := newWorld(t)
	w.service(4)
	w.release("blog-1", "v1")
	w.until(w.finishedAll("blog-1"))
	one := intstr.FromInt32(1)
	w.edit(func(s *v1alpha1.RolloutSpec) {
		s.Steps = []v1alpha1.RolloutStep{{Targets: &one}, {Pause: &v1alpha1.RolloutPause{Duration: metav1.Duration{Duration: 10 * time.Minute}}}}
		s.BakeTime = metav1.Duration{Duration: time.Minute}
	})
	w.atOnce = 1
	w.hurry()
	w.release("blog-2", "v2")
	w.until(func() bool {
		return conditions.Get(w.get("blog-2").Status.Conditions, v1alpha1.ConditionReady).Reason == v1alpha1.ReasonStepPause
	})
	step := w.get("blog-2").Status.Step
	w.g.Expect(step).To(SatisfyAll(HaveField("Index", int32(1)), HaveField("Message", HavePrefix("step 2 of 2: pause until "))))
	w.g.Expect(w.running()).To(Equal(map[string]int{"v1": 3, "v2": 1}))
	w.until(func() bool { return w.get("blog-2").Status.Step.Index == 2 })
	w.g.Expect(w.running()).To(Equal(map[string]int{"v1": 3, "v2": 1}))
	w.atOnce = 0
	w.until(w.finishedAll("blog-2"))
	w.g.Expect(w.outcome("blog-2")).To(Equal(v1alpha1.ReasonSucceeded))
	w.g.Expect(w.get("blog-2").Status.Step.Index).To(Equal(int32(2)))
}

// turnBack says that a Release is to be rolled back.
func (w *world) turnBack(name string) {
	w.g.Expect(w.write(func() error {
		release := w.get(name)
		release.Spec.RollBack = true
		return w.client.Update(w.t.Context(), release)
	})).To(Succeed())
}

// A person rolls a Release back while it is paused in the middle, where its own failures would only stop it.
func TestAPersonRollsAReleaseBack(t *testing.T) {
	w := newWorld(t)
	w.service(4)
	w.release("blog-1", "v1")
	w.until(w.finishedAll("blog-1"))
	one := intstr.FromInt32(1)
	w.edit(func(s *v1alpha1.RolloutSpec) {
		s.OnFailure = v1alpha1.OnFailureStop
		s.Steps = []v1alpha1.RolloutStep{{Targets: &one}, {Pause: &v1alpha1.RolloutPause{UntilApproved: true}}}
	})
	w.atOnce = 1
	w.release("blog-2", "v2")
	w.until(func() bool { return w.running()["v2"] == 1 })
	w.g.Expect(w.write(func() error {
		release := w.get("blog-2")
		release.Spec.Paused = true
		return w.client.Update(t.Context(), release)
	})).To(Succeed())
	w.turnBack("blog-2")
	w.until(w.finishedAll("blog-2"))
	w.g.Expect(w.outcome("blog-2")).To(Equal(v1alpha1.ReasonRolledBack))
	w.g.Expect(w.running()).To(Equal(map[string]int{"v1": 4}))
	release := w.get("blog-2")
	w.g.Expect(release.Status.Rollback).To(SatisfyAll(HaveField("To", "blog-1"), HaveField("Reason", v1alpha1.ReasonRollbackRequested)))
	w.g.Expect(conditions.Get(release.Status.Conditions, v1alpha1.ConditionSucceeded).Message).To(ContainSubstring("a person wants it rolled back"))
	w.g.Expect(w.blog().Status.Current.Release).To(Equal("blog-1"))
}

// Where there is nothing to return, or nothing to return to, to roll back is to abort.
func TestToRollBackNothingIsToAbort(t *testing.T) {
	w := newWorld(t)
	w.service(2)
	w.atOnce = 1
	w.release("blog-1", "v1")
	w.until(func() bool { return w.blog().Status.Rolling != nil })
	w.turnBack("blog-1")
	w.until(w.finishedAll("blog-1"))
	w.g.Expect(w.outcome("blog-1")).To(Equal(v1alpha1.ReasonAborted))
	w.lock("incident")
	w.release("blog-2", "v2")
	w.until(func() bool { return w.get("blog-2").Status.Phase == "Held" })
	w.turnBack("blog-2")
	w.until(w.finishedAll("blog-2"))
	w.g.Expect(w.outcome("blog-2")).To(Equal(v1alpha1.ReasonAborted))
	w.lock("")
	w.release("blog-3", "v3")
	w.atOnce = 0
	w.until(func() bool { return w.outcome("blog-3") == v1alpha1.ReasonSucceeded })
}

// What was left behind within maxFailed is named in the Release that succeeded.
func TestHostsLeftBehindAreNamed(t *testing.T) {
	w := newWorld(t)
	w.service(3)
	w.edit(func(s *v1alpha1.RolloutSpec) { s.MaxFailed = intstr.FromInt32(1) })
	w.release("blog-1", "v1")
	w.until(w.finishedAll("blog-1"))
	w.breaks("v2")
	w.brokenHost = "web-2"
	w.release("blog-2", "v2")
	w.until(w.finishedAll("blog-2"))
	w.g.Expect(w.outcome("blog-2")).To(Equal(v1alpha1.ReasonSucceeded))
	w.g.Expect(conditions.Get(w.get("blog-2").Status.Conditions, v1alpha1.ConditionSucceeded).Message).To(
		SatisfyAll(ContainSubstring("2 of 3 Targets run v2"), ContainSubstring("1 failed (web-2: HookFailed: broken)")))
}
