// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
)

// hooked has the Service's Releases run hooks once, and its hosts answer.
func (w *world) hooked(hooks v1alpha1.Hooks) {
	service := w.blog()
	before := service.DeepCopy()
	service.Spec.Deploy.Hooks = hooks
	w.g.Expect(w.client.Patch(w.t.Context(), service, client.MergeFrom(before))).To(Succeed())
	for i := range w.targets() {
		target := &w.targets()[i]
		conditions.True(&target.Status.Conditions, target.Generation, v1alpha1.ConditionReachable, v1alpha1.ReasonUpToDate, "")
		w.g.Expect(w.client.Status().Update(w.t.Context(), target)).To(Succeed())
	}
}

func (w *world) targets() []v1alpha1.Target {
	var targets v1alpha1.TargetList
	w.g.Expect(w.client.List(w.t.Context(), &targets, client.InNamespace(w.namespace))).To(Succeed())
	return targets.Items
}

// before says whether a Release has not come through the hook that comes before its hosts.
func (w *world) before(record *v1alpha1.ReleaseRecord) bool {
	if w.blog().Spec.Deploy.Hooks.BeforeRollout == nil || w.blog().Status.Stopping != "" {
		return false
	}
	hook := w.get2(record.Release).Status.Hook(v1alpha1.HookBeforeRollout)
	return hook == nil || hook.State != v1alpha1.HookSucceeded && hook.State != v1alpha1.HookSkipped
}

// runHooks does what the target controller and the hosts do: a hook is begun once, and its end is told however often it is
// asked for. What comes of it is in results, by the Release's name; Pending holds it up.
func (w *world) runHooks() {
	for _, target := range w.targets() {
		order := target.Spec.Hook
		if order == nil {
			if seen := target.Status.ObservedGeneration; seen != 0 && seen != target.Generation { // the host is looked at again
				target.Status.ObservedGeneration = target.Generation
				w.g.Expect(w.client.Status().Update(w.t.Context(), &target)).To(Succeed())
			}
			continue
		}
		id := order.Release.Release + "/" + string(order.Name)
		result, known := w.results[id]
		if !known {
			result = v1alpha1.HookResult{State: v1alpha1.HookSucceeded, Message: "ended well"}
		}
		release := w.get2(order.Release.Release)
		if stopped := release.Spec.Abort || release.Spec.RollBack || !release.DeletionTimestamp.IsZero(); stopped && result.State == v1alpha1.HookPending {
			result = v1alpha1.HookResult{State: v1alpha1.HookCanceled, Message: "it was not begun"}
		} else if !target.Status.Hook.Answers(order) {
			w.ran = append(w.ran, id)
		}
		target.Status.ObservedGeneration = target.Generation
		target.Status.Hook = &v1alpha1.TargetHookStatus{Name: order.Name, Release: order.Release.UID, HookResult: result}
		w.g.Expect(w.client.Status().Update(w.t.Context(), &target)).To(Succeed())
	}
}

func once(irreversible bool) *v1alpha1.ReleaseHook {
	return &v1alpha1.ReleaseHook{Command: []string{"bin/migrate"}, Irreversible: irreversible, Timeout: metav1.Duration{Duration: time.Minute}}
}

func TestHooksRunOncePerRelease(t *testing.T) {
	w := newWorld(t)
	w.service(3)
	w.hooked(v1alpha1.Hooks{BeforeRollout: once(false), AfterRollout: once(false)})
	w.release("blog-1", "v1")
	w.until(w.finishedAll("blog-1"))
	w.release("blog-2", "v2")
	w.until(w.finishedAll("blog-2"))
	w.g.Expect(w.ran).To(Equal([]string{"blog-1/BeforeRollout", "blog-1/AfterRollout", "blog-2/BeforeRollout", "blog-2/AfterRollout"}))
	w.g.Expect(w.get("blog-2").Status.Hooks).To(HaveExactElements(
		SatisfyAll(HaveField("Name", v1alpha1.HookBeforeRollout), HaveField("Host", "web-0"), HaveField("State", v1alpha1.HookSucceeded), HaveField("CompletionTime", Not(BeNil()))),
		SatisfyAll(HaveField("Name", v1alpha1.HookAfterRollout), HaveField("Host", "web-0"), HaveField("State", v1alpha1.HookSucceeded))))
	for _, target := range w.targets() {
		w.g.Expect(target.Spec.Hook).To(BeNil(), "the order was taken back")
	}

	w.release("back", "v1")
	w.until(w.finishedAll("back"))
	w.g.Expect(w.outcome("back")).To(Equal(v1alpha1.ReasonSucceeded))
	w.g.Expect(w.ran).To(HaveLen(4), "no hook runs for a way back")
	w.g.Expect(w.get("back").Status.Hooks[0]).To(SatisfyAll(HaveField("State", v1alpha1.HookSkipped), HaveField("Message", ContainSubstring("released before"))))

	skips := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "skips"}}
	skips.Spec = v1alpha1.ReleaseSpec{Service: "blog", Revision: "v3", SkipHooks: []v1alpha1.ReleaseHookName{v1alpha1.HookBeforeRollout}}
	w.g.Expect(w.client.Create(t.Context(), skips)).To(Succeed())
	w.until(w.finishedAll("skips"))
	w.g.Expect(w.ran[4:]).To(Equal([]string{"skips/AfterRollout"}))
}

func TestAHookThatFailsStopsTheReleaseBeforeAnyHost(t *testing.T) {
	for state, reason := range map[v1alpha1.HookState]string{v1alpha1.HookFailed: v1alpha1.ReasonHookFailed, v1alpha1.HookUnknown: v1alpha1.ReasonHookUnknown} {
		t.Run(string(state), func(t *testing.T) {
			w := newWorld(t)
			w.service(2)
			w.release("blog-1", "v1")
			w.until(w.finishedAll("blog-1"))
			w.hooked(v1alpha1.Hooks{BeforeRollout: once(false)})
			w.results = map[string]v1alpha1.HookResult{"blog-2/BeforeRollout": {State: state, Message: "it ended with exit code 1", Output: "Migrating\nno such table: posts"}}
			w.release("blog-2", "v2")
			w.until(w.finishedAll("blog-2"))
			w.g.Expect(w.outcome("blog-2")).To(Equal(reason))
			w.g.Expect(w.running()).To(Equal(map[string]int{"v1": 2}))
			said := conditions.Get(w.get("blog-2").Status.Conditions, v1alpha1.ConditionSucceeded).Message
			w.g.Expect(said).To(SatisfyAll(ContainSubstring("beforeRollout"), ContainSubstring("web-0"), ContainSubstring("exit code 1")))
			if state == v1alpha1.HookUnknown {
				w.g.Expect(said).To(ContainSubstring("skipHooks: [BeforeRollout]"))
			} else {
				w.g.Expect(said).To(ContainSubstring(`"no such table: posts"`))
			}
			w.g.Expect(w.blog().Status.Rolling).To(BeNil())
			w.g.Expect(w.targets()[0].Spec.Hook).To(BeNil())
		})
	}
}

func TestAHookAfterTheRolloutThatFailsRollsBack(t *testing.T) {
	w := newWorld(t)
	w.service(2)
	w.release("blog-1", "v1")
	w.until(w.finishedAll("blog-1"))
	w.hooked(v1alpha1.Hooks{AfterRollout: once(false)})
	w.results = map[string]v1alpha1.HookResult{
		"blog-2/AfterRollout": {State: v1alpha1.HookFailed, Message: "it ended with exit code 1"}, "blog-3/AfterRollout": {State: v1alpha1.HookUnknown, Message: "lost"},
	}
	w.release("blog-2", "v2")
	w.until(w.finishedAll("blog-2"))
	w.g.Expect(w.outcome("blog-2")).To(Equal(v1alpha1.ReasonRolledBack))
	w.g.Expect(w.running()).To(Equal(map[string]int{"v1": 2}))

	w.release("blog-3", "v3")
	w.until(w.finishedAll("blog-3"))
	w.g.Expect(w.outcome("blog-3")).To(Equal(v1alpha1.ReasonHookUnknown))
	w.g.Expect(w.running()).To(Equal(map[string]int{"v3": 2}), "where nobody knows, a person looks first")
}

// No Release goes back behind an irreversible hook by itself, and people say that they know.
func TestNobodyGoesBackBehindAnIrreversibleHookUnasked(t *testing.T) {
	w := newWorld(t)
	w.service(2)
	w.release("blog-1", "v1")
	w.until(w.finishedAll("blog-1"))
	w.hooked(v1alpha1.Hooks{BeforeRollout: once(true)})
	w.breaks("v2")
	w.release("blog-2", "v2")
	w.until(w.finishedAll("blog-2"))
	w.g.Expect(w.outcome("blog-2")).To(Equal(v1alpha1.ReasonTooManyFailed), "onFailure is Rollback")
	w.g.Expect(conditions.Get(w.get("blog-2").Status.Conditions, v1alpha1.ConditionSucceeded).Message).To(ContainSubstring("hook beforeRollout of Release blog-2 is irreversible"))
	w.g.Expect(w.running()).To(Equal(map[string]int{"v2": 2}))
	w.g.Expect(w.blog().Status.Irreversible).To(SatisfyAll(HaveField("Release", "blog-2"), HaveField("Sequence", int64(2))))

	w.release("back", "v1")
	w.until(w.waits("back", v1alpha1.ReasonAwaitingApproval))
	w.g.Expect(w.ready("back").Message).To(SatisfyAll(ContainSubstring("hook beforeRollout of Release blog-2"), ContainSubstring("gate Irreversible")))
	w.approve("back", "carol")
	w.until(w.finishedAll("back"))
	w.g.Expect(w.outcome("back")).To(Equal(v1alpha1.ReasonSucceeded))
	w.g.Expect(w.running()).To(Equal(map[string]int{"v1": 2}))

	// From here on v1 is what the others return to: somebody wanted it so.
	w.hooked(v1alpha1.Hooks{})
	w.breaks("v3")
	w.release("blog-3", "v3")
	w.until(w.finishedAll("blog-3"))
	w.g.Expect(w.outcome("blog-3")).To(Equal(v1alpha1.ReasonRolledBack))
}

// One that waits for its confirmation takes nobody's place; confirmed, it does.
func TestARollbackBehindAnIrreversibleHookIsConfirmed(t *testing.T) {
	w := newWorld(t)
	w.service(2)
	w.release("blog-1", "v1")
	w.until(w.finishedAll("blog-1"))
	w.hooked(v1alpha1.Hooks{BeforeRollout: once(true)})
	w.breaks("v2")
	w.brokenHost = "nobody"
	w.edit(func(s *v1alpha1.RolloutSpec) { s.BakeTime = metav1.Duration{Duration: time.Hour} })
	w.release("blog-2", "v2")
	w.until(w.waits("blog-2", v1alpha1.ReasonBaking))
	w.release("back", "v1")
	w.until(w.waits("back", v1alpha1.ReasonWaitingForSlot))
	w.g.Expect(w.blog().Status.Stopping).To(BeEmpty())
	w.change("blog-2", func(s *v1alpha1.ReleaseSpec) { s.RollBack = true })
	w.until(w.waits("blog-2", v1alpha1.ReasonAwaitingApproval))
	w.approve("blog-2", "carol")
	w.until(w.finishedAll("blog-2"))
	w.g.Expect(w.outcome("blog-2")).To(Equal(v1alpha1.ReasonRolledBack))
	w.g.Expect(w.running()).To(HaveKey("v1"))
}

// A Release that stops waits for a hook that runs; one that was not begun is not begun any more.
func TestAHookUnderWayIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.service(2)
	w.release("blog-1", "v1")
	w.until(w.finishedAll("blog-1"))
	w.hooked(v1alpha1.Hooks{BeforeRollout: once(false)})
	id := "blog-2/BeforeRollout"
	w.results = map[string]v1alpha1.HookResult{id: {State: v1alpha1.HookRunning, Message: "runs"}, "blog-3/BeforeRollout": {State: v1alpha1.HookPending}}
	w.release("blog-2", "v2")
	w.until(func() bool {
		h := w.get("blog-2").Status.Hook(v1alpha1.HookBeforeRollout)
		return h != nil && h.State == v1alpha1.HookRunning
	})
	w.change("blog-2", func(s *v1alpha1.ReleaseSpec) { s.Abort = true })
	w.until(func() bool { return w.blog().Status.Stopping != "" })
	for range 5 {
		w.pass()
		w.moveTargets()
	}
	w.g.Expect(w.get("blog-2").Status.CompletionTime).To(BeNil())
	w.results[id] = v1alpha1.HookResult{State: v1alpha1.HookSucceeded, Message: "ended well"}
	w.until(w.finishedAll("blog-2"))
	w.g.Expect(w.outcome("blog-2")).To(Equal(v1alpha1.ReasonAborted))
	w.g.Expect(w.get("blog-2").Status.Hooks[0].State).To(Equal(v1alpha1.HookSucceeded), "how it ended is on record")

	w.release("blog-3", "v3")
	w.until(func() bool { return w.targets()[0].Spec.Hook != nil })
	w.change("blog-3", func(s *v1alpha1.ReleaseSpec) { s.RollBack = true })
	w.until(w.finishedAll("blog-3"))
	w.g.Expect(w.get("blog-3").Status.Hooks[0].State).To(Equal(v1alpha1.HookCanceled))
	w.g.Expect(w.running()).To(Equal(map[string]int{"v1": 2}))
}

// A host that leaves, or is silent, while it runs the hook: nobody knows, and the Release ends.
func TestAHostThatIsLostWithItsHook(t *testing.T) {
	for _, leaves := range []bool{true, false} {
		t.Run(fmt.Sprintf("leaves: %v", leaves), func(t *testing.T) {
			w := newWorld(t)
			w.service(2)
			w.hooked(v1alpha1.Hooks{BeforeRollout: once(false)})
			w.results = map[string]v1alpha1.HookResult{"blog-1/BeforeRollout": {State: v1alpha1.HookRunning, Message: "runs"}}
			w.release("blog-1", "v1")
			w.until(func() bool { return w.targets()[0].Status.Hook != nil })
			if leaves {
				w.g.Expect(w.client.Delete(t.Context(), &w.targets()[0])).To(Succeed())
			} else {
				w.hurry()
			}
			w.until(w.finishedAll("blog-1"))
			w.g.Expect(w.outcome("blog-1")).To(Equal(v1alpha1.ReasonHookUnknown))
		})
	}
}

// The manager dies at each of its writes while a Release with both hooks goes its way.
func TestKilledAtEveryWriteAroundHooks(t *testing.T) {
	for _, after := range []bool{false, true} {
		for at := 1; ; at++ {
			reached := false
			t.Run(fmt.Sprintf("write %d took effect %v", at, after), func(t *testing.T) {
				w := newWorld(t)
				w.service(2)
				w.hooked(v1alpha1.Hooks{BeforeRollout: once(true), AfterRollout: once(false)})
				w.release("blog-1", "v1")
				w.until(func() bool { return w.blog().Status.Rolling != nil })
				w.writes, w.crashAt, w.after = 0, at, after
				w.until(w.finishedAll("blog-1"))
				reached = w.crashAt == 0
				w.g.Expect(w.outcome("blog-1")).To(Equal(v1alpha1.ReasonSucceeded))
				w.g.Expect(w.ran).To(Equal([]string{"blog-1/BeforeRollout", "blog-1/AfterRollout"}))
				w.g.Expect(w.running()).To(Equal(map[string]int{"v1": 2}))
			})
			if !reached || t.Failed() {
				break
			}
		}
	}
}

// ready is a Release's condition Ready.
func (w *world) ready(name string) metav1.Condition {
	return conditions.Get(w.get(name).Status.Conditions, v1alpha1.ConditionReady)
}

// waits says whether a Release waits for a reason.
func (w *world) waits(name, reason string) func() bool {
	return func() bool { return w.ready(name).Reason == reason }
}

// change changes a Release as a person does.
func (w *world) change(name string, change func(*v1alpha1.ReleaseSpec)) {
	release := w.get(name)
	before := release.DeepCopy()
	change(&release.Spec)
	w.g.Expect(w.client.Patch(w.t.Context(), release, client.MergeFrom(before))).To(Succeed())
}

// approve confirms a way back.
func (w *world) approve(name, by string) { w.approveGate(name, v1alpha1.GateIrreversible, by) }

// approveGate approves in a person's name.
func (w *world) approveGate(name, gate, by string) {
	release := w.get(name)
	before := release.DeepCopy()
	release.Spec.Approvals = append(release.Spec.Approvals, v1alpha1.Approval{Gate: gate, By: by})
	w.g.Expect(w.as(by).Patch(w.t.Context(), release, client.MergeFrom(before))).To(Succeed())
}
