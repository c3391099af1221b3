// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/gitsource"
	"github.com/slipway-dev/slipway/test/env"
)

// watching is a client that an interceptor can wrap.
func watching(t *testing.T, config *rest.Config) client.WithWatch {
	t.Helper()
	c, err := client.NewWithWatch(config, client.Options{Scheme: env.Scheme()})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return c
}

// finishedAll says whether the named Releases have ended.
func (w *world) finishedAll(names ...string) func() bool {
	return func() bool {
		for _, name := range names {
			if !finished(w.get(name)) {
				return false
			}
		}
		return true
	}
}

func TestAReleaseSucceeds(t *testing.T) {
	w := newWorld(t)
	w.service(3)
	w.release("blog-1", "v1")
	w.until(w.finishedAll("blog-1"))
	release := w.get("blog-1")
	w.g.Expect(w.outcome("blog-1")).To(Equal(v1alpha1.ReasonSucceeded))
	for _, condition := range []string{"Ready", "Resolved", "Built", "Published", "RolledOut", "Verified", "Finished", "Succeeded"} {
		w.g.Expect(conditions.IsTrue(release.Status.Conditions, condition)).To(BeTrue(), condition)
	}
	w.g.Expect(release.Status.TargetsUpdated).To(Equal("3/3"))
	w.g.Expect(release.Finalizers).To(BeEmpty())
	service := w.blog()
	w.g.Expect(service.Status.Current.Release).To(Equal("blog-1"))
	w.g.Expect(service.Status.Rolling).To(BeNil())
	w.g.Expect(service.Status.History).To(HaveLen(1))
}

// TestKilledAtEveryWrite holds law 13: the manager dies at each of its writes in turn, before or after it took effect.
func TestKilledAtEveryWrite(t *testing.T) {
	for _, after := range []bool{false, true} {
		for at := 1; ; at++ {
			reached := false
			t.Run(fmt.Sprintf("write %d, took effect: %v", at, after), func(t *testing.T) {
				w := newWorld(t)
				w.service(2)
				w.release("blog-1", "v1")
				w.crashAt, w.after = at, after
				w.until(w.finishedAll("blog-1"))
				reached = w.crashAt == 0
				w.g.Expect(w.outcome("blog-1")).To(Equal(v1alpha1.ReasonSucceeded))
				w.g.Expect(w.jobs()).To(HaveLen(1), "nothing is built twice")
				w.g.Expect(w.out.started).To(Equal(1))
				service := w.blog()
				w.g.Expect(service.Status.Current.Release).To(Equal("blog-1"))
				w.g.Expect(service.Status.Rolling).To(BeNil())
				w.g.Expect(service.Status.History).To(HaveLen(1))
			})
			if !reached || t.Failed() {
				break
			}
		}
	}
}

func TestRollingBackBuildsNothing(t *testing.T) {
	w := newWorld(t)
	w.service(2)
	w.release("blog-1", "v1")
	w.until(w.finishedAll("blog-1"))
	w.release("blog-2", "v2")
	w.until(w.finishedAll("blog-2"))
	w.release("back", "v1")
	w.until(w.finishedAll("back"))
	w.g.Expect(w.outcome("back")).To(Equal(v1alpha1.ReasonSucceeded))
	w.g.Expect(w.get("back").Status.Artifact.Reused).To(BeTrue())
	w.g.Expect(w.out.started).To(Equal(2))
	w.g.Expect(w.blog().Status.Current.Release).To(Equal("back"))
	w.g.Expect(w.blog().Status.Previous.Release).To(Equal("blog-2"))
}

func TestANewerBuildThatFailsLeavesTheOlderAlone(t *testing.T) {
	w := newWorld(t)
	w.service(2)
	w.release("blog-1", "v1")
	w.until(w.finishedAll("blog-1"))
	w.fail["v3"] = true
	w.release("blog-2", "v2")
	w.pass() // blog-2 is seen first
	w.pass()
	w.release("blog-3", "v3")
	w.until(w.finishedAll("blog-2", "blog-3"))
	w.g.Expect(w.outcome("blog-2")).To(Equal(v1alpha1.ReasonSucceeded))
	w.g.Expect(w.outcome("blog-3")).To(Equal(v1alpha1.ReasonBuildFailed))
	w.g.Expect(w.blog().Status.Current.Release).To(Equal("blog-2"))
}

func TestANewerPublishedReleaseSupersedesAnOlderOne(t *testing.T) {
	w := newWorld(t)
	w.service(2)
	w.release("blog-1", "v1")
	w.until(w.finishedAll("blog-1"))
	w.release("blog-2", "v2")
	w.pause("blog-2")
	w.until(func() bool { return published(w.get("blog-2")) })
	w.release("blog-3", "v3")
	w.until(w.finishedAll("blog-2", "blog-3"))
	w.g.Expect(w.outcome("blog-2")).To(Equal(v1alpha1.ReasonSuperseded))
	w.g.Expect(w.outcome("blog-3")).To(Equal(v1alpha1.ReasonSucceeded))
	w.g.Expect(conditions.IsTrue(w.get("blog-2").Status.Conditions, v1alpha1.ConditionStalled)).To(BeTrue())
}

// pause pauses a Release.
func (w *world) pause(name string) {
	release := w.get(name)
	release.Spec.Paused = true
	w.g.Expect(w.client.Update(w.t.Context(), release)).To(Succeed())
}

func TestAbortAndDeletionLeaveTheSlot(t *testing.T) {
	for name, stop := range map[string]func(*world){
		v1alpha1.ReasonAborted: func(w *world) {
			release := w.get("blog-1")
			release.Spec.Abort = true
			w.g.Expect(w.client.Update(w.t.Context(), release)).To(Succeed())
		},
		v1alpha1.ReasonDeleted: func(w *world) { w.g.Expect(w.client.Delete(w.t.Context(), w.get("blog-1"))).To(Succeed()) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.service(0) // without Targets it holds the slot
			w.release("blog-1", "v1")
			w.until(func() bool { return w.blog().Status.Rolling != nil })
			stop(w)
			w.until(func() bool { return w.blog().Status.Rolling == nil })
			w.g.Expect(w.blog().Status.History).To(HaveLen(1))
			w.g.Expect(w.blog().Status.History[0].Outcome).To(Equal(name))
			w.g.Expect(w.blog().Status.Current).To(BeNil())
		})
	}
}

func TestEveryUnsuccessfulEndSaysWhy(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*world)
		reason string
		says   string
	}{
		"an unknown revision": {func(w *world) { w.out.refuse["v1"] = fmt.Errorf("%w: no branch or tag", gitsource.ErrRevisionNotFound) }, v1alpha1.ReasonRevisionNotFound, "no branch or tag"},
		"a refused source":    {func(w *world) { w.out.refuse["v1"] = fmt.Errorf("%w: ext", gitsource.ErrRefused) }, v1alpha1.ReasonSourceRefused, "ext"},
		"a failed build":      {func(w *world) { w.fail["v1"] = true }, v1alpha1.ReasonBuildFailed, "gone"},
		"a missing image": {func(w *world) {
			service := w.blog()
			service.Spec.Build.Image = "no/such:image"
			w.g.Expect(w.client.Update(w.t.Context(), service)).To(Succeed())
		}, v1alpha1.ReasonImageNotFound, "no/such:image"},
		"a registry that does not answer for long": {func(w *world) {
			service := w.blog()
			service.Spec.Build.Image = "down/registry:image"
			w.g.Expect(w.client.Update(w.t.Context(), service)).To(Succeed())
			w.hurry()
		}, v1alpha1.ReasonRegistryUnreachable, "gave up after 5m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.service(1)
			test.change(w)
			w.release("blog-1", "v1")
			w.until(w.finishedAll("blog-1"))
			w.g.Expect(w.outcome("blog-1")).To(Equal(test.reason))
			release := w.get("blog-1")
			w.g.Expect(conditions.Get(release.Status.Conditions, v1alpha1.ConditionReady).Message).To(ContainSubstring(test.says))
			w.g.Expect(conditions.IsTrue(release.Status.Conditions, v1alpha1.ConditionStalled)).To(BeTrue())
			w.g.Expect(conditions.IsTrue(release.Status.Conditions, v1alpha1.ConditionFinished)).To(BeTrue())
			w.g.Expect(w.blog().Status.Rolling).To(BeNil())
		})
	}
}

func TestAFailedBuildCanBeTriedAgainByANewRelease(t *testing.T) {
	w := newWorld(t)
	w.service(1)
	w.fail["v1"] = true
	w.release("blog-1", "v1")
	w.until(w.finishedAll("blog-1"))
	delete(w.fail, "v1")
	w.release("blog-2", "v1")
	w.until(w.finishedAll("blog-2"))
	w.g.Expect(w.outcome("blog-2")).To(Equal(v1alpha1.ReasonSucceeded))
	w.g.Expect(w.get("blog-2").Status.Build.Attempt).To(BeEquivalentTo(2))
	w.g.Expect(w.jobs()).To(HaveLen(2))
}

func TestAnOldRecordAppliedAgainDoesNothing(t *testing.T) {
	w := newWorld(t)
	w.service(1)
	w.release("blog-1", "v1")
	w.until(w.finishedAll("blog-1"))
	w.release("blog-2", "v2")
	w.until(w.finishedAll("blog-2"))
	w.g.Expect(w.client.Delete(t.Context(), w.get("blog-1"))).To(Succeed())
	w.release("blog-1", "v1")
	w.until(func() bool {
		return conditions.Get(w.get("blog-1").Status.Conditions, v1alpha1.ConditionReady).Reason == v1alpha1.ReasonAdoptionRequired
	})
	w.g.Expect(w.blog().Status.Current.Release).To(Equal("blog-2"))
	w.g.Expect(w.get("blog-1").Status.Sequence).To(BeZero())
}

func TestADepotThatIsDownHoldsAndDoesNotFail(t *testing.T) {
	w := newWorld(t)
	w.service(1)
	w.out.down = true
	w.release("blog-1", "v1")
	w.until(func() bool {
		return conditions.Get(w.get("blog-1").Status.Conditions, v1alpha1.ConditionReady).Reason == v1alpha1.ReasonDepotUnavailable
	})
	w.out.mu.Lock()
	w.out.down = false
	w.out.mu.Unlock()
	w.until(w.finishedAll("blog-1"))
	w.g.Expect(w.outcome("blog-1")).To(Equal(v1alpha1.ReasonSucceeded))
}

func TestAReleaseOfAReCreatedServiceEnds(t *testing.T) {
	w := newWorld(t)
	w.service(0)
	w.release("blog-1", "v1")
	w.until(func() bool { return w.blog().Status.Rolling != nil })
	w.g.Expect(w.client.Delete(t.Context(), w.blog())).To(Succeed())
	w.service(0)
	w.pass()
	w.pass()
	w.g.Expect(w.outcome("blog-1")).To(Equal(v1alpha1.ReasonServiceReplaced))
	w.g.Expect(w.blog().Status.Rolling).To(BeNil())
}

func TestAReleaseNamesTheServiceItMisses(t *testing.T) {
	w := newWorld(t)
	w.release("blog-1", "v1")
	w.pass()
	w.pass()
	ready := conditions.Get(w.get("blog-1").Status.Conditions, v1alpha1.ConditionReady)
	w.g.Expect(ready.Reason).To(Equal(v1alpha1.ReasonServiceNotFound))
	w.g.Expect(ready.Message).To(ContainSubstring(`no Service "blog"`))
	w.service(1) // manifests of one folder come in any order
	w.until(w.finishedAll("blog-1"))
	w.g.Expect(w.outcome("blog-1")).To(Equal(v1alpha1.ReasonSucceeded))
}

func TestAnEditOfTheServiceDoesNotReachAResolvedRelease(t *testing.T) {
	w := newWorld(t)
	w.service(1)
	w.release("blog-1", "v1")
	w.until(func() bool { return conditions.IsTrue(w.get("blog-1").Status.Conditions, v1alpha1.ConditionResolved) })
	service := w.blog()
	service.Spec.Build.Script = "echo edited"
	w.g.Expect(w.client.Update(t.Context(), service)).To(Succeed())
	w.until(w.finishedAll("blog-1"))
	build := w.jobs()[0].Spec.Template.Spec.InitContainers[1]
	for _, variable := range build.Env {
		if variable.Name == "SLIPWAY_SCRIPT" {
			w.g.Expect(variable.Value).To(Equal("true"))
		}
	}
	w.release("blog-2", "v1")
	w.until(w.finishedAll("blog-2"))
	w.g.Expect(w.get("blog-2").Status.Artifact.Reused).To(BeFalse(), "another script is another build")
}
