// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package scale

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/awstest"
)

// short is a hook's timeout after which nothing is held up unless heartbeats are sent, with room for a busy machine.
const short = 6 * time.Second

// hooked has a Service name the hooks of its group.
func hooked(s *v1alpha1.Service) {
	s.Spec.Targets[0].EC2.LaunchHook, s.Spec.Targets[0].EC2.TerminateHook = "up", "down"
}

// group is a Service on a group with hooks, two of whose instances run v1.
func group(t *testing.T, timeout time.Duration, change ...func(*v1alpha1.Service)) (*world, []string) {
	w := newWorld(t, append(change, hooked)...)
	w.cloud.AddHook("blog-asg", awstest.Hook{Name: "up", Timeout: timeout})
	w.cloud.AddHook("blog-asg", awstest.Hook{Name: "down", Transition: awstest.Terminating, Timeout: timeout})
	return w, w.running(2)
}

// enter starts an instance that comes to the hook for launches. It was launched a while ago.
func (w *world) enter(state string) string {
	return w.cloud.Add(awstest.Instance{
		Tags: map[string]string{"Role": "blog"}, Group: "blog-asg", Lifecycle: state, LaunchTime: time.Now().Add(-time.Hour),
	})
}

// over are the lifecycle actions of an instance that are over: what became of them.
func (w *world) over(instance string) func() any {
	return func() any {
		results := []string{}
		for _, a := range w.cloud.Actions() {
			if a.Instance == instance {
				results = append(results, a.Hook+" "+a.Result)
			}
		}
		return results
	}
}

// beats waits until Auto Scaling was told so many times more that an instance still starts.
func (w *world) beats(instance string, n int) {
	w.t.Helper()
	before := w.cloud.Heartbeats(instance, "up")
	w.until(func() any { return w.cloud.Heartbeats(instance, "up") }, BeNumerically(">=", before+n))
}

// target of an instance; a zero one if there is none.
func (w *world) target(instance string) *v1alpha1.Target {
	var list v1alpha1.TargetList
	w.Expect(w.client.List(w.t.Context(), &list, client.InNamespace(w.namespace))).To(Succeed())
	for i := range list.Items {
		if list.Items[i].Spec.Host.ID == instance {
			return &list.Items[i]
		}
	}
	return &v1alpha1.Target{Spec: v1alpha1.TargetSpec{Artifact: &v1alpha1.ReleaseRecord{}}}
}

func (w *world) service() *v1alpha1.Service {
	service := &v1alpha1.Service{}
	w.Expect(w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "blog"}, service)).To(Succeed())
	return service
}

// An instance goes into service when it runs what it should, and not before; also if the manager is another one by then.
func TestALaunchIsHeldUntilTheInstanceRunsItsRelease(t *testing.T) {
	w, _ := group(t, short)
	w.fleet.hold("v1", 0)
	id := w.enter("Pending:Wait")
	w.beats(id, 2)
	w.Expect(w.over(id)()).To(BeEmpty(), "it runs nothing yet")
	w.stop()
	w.start()
	w.beats(id, 1)
	w.fleet.letGo()
	w.until(w.over(id), Equal([]string{"up CONTINUE"}))
	w.Expect(w.fleet.got(id)).To(Equal([]string{"v1"}))
}

// Each Service of the instance that names the hook must be ready; one that does not name it holds nobody up.
func TestEveryServiceThatNamesTheHookMustBeReady(t *testing.T) {
	w, _ := group(t, short)
	for _, name := range []string{"shop", "idle"} {
		other := w.service()
		other.ObjectMeta = metav1.ObjectMeta{Namespace: w.namespace, Name: name}
		other.Spec.Deploy.Path = v1alpha1.AbsolutePath("/var/www/" + name)
		if name == "idle" {
			other.Spec.Targets[0].EC2.LaunchHook, other.Spec.Targets[0].EC2.TerminateHook = "", ""
		}
		w.Expect(w.client.Create(t.Context(), other)).To(Succeed())
	}
	id := w.enter("Pending:Wait")
	w.until(w.targets, HaveKey(id))
	w.beats(id, 1)
	w.Expect(w.over(id)()).To(BeEmpty(), "shop was never released")
	w.Expect(w.client.Create(t.Context(), &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "shop-1"},
		Spec: v1alpha1.ReleaseSpec{Service: "shop", Revision: "v1"}})).To(Succeed())
	w.until(w.over(id), Equal([]string{"up CONTINUE"}))
}

// An instance whose own fault it is that it can't take its release is replaced: some, and not one after the other for ever.
func TestInstancesThatFailByThemselvesAreReplacedAFewTimes(t *testing.T) {
	w, _ := group(t, short)
	for n := range 3 {
		id := w.cloud.Add(awstest.Instance{Tags: map[string]string{"Role": "blog"}, Group: "blog-asg", State: "pending", LaunchTime: time.Now().Add(-time.Hour)})
		w.fleet.fail(id, "v1", v1alpha1.ReasonDiskFull)
		w.cloud.Change(id, func(i *awstest.Instance) { i.State, i.Lifecycle = "running", "Pending:Wait" })
		if n < 2 {
			w.until(w.over(id), Equal([]string{"up ABANDON"}))
			w.Expect(w.service().Status.Abandoned).To(ContainElement(SatisfyAll(
				HaveField("Instance", id), HaveField("AutoScalingGroup", "blog-asg"), HaveField("Reason", v1alpha1.ReasonDiskFull))))
			w.terminate(id)
			w.until(w.targets, Not(HaveKey(id)))
			continue
		}
		w.until(func() any { return w.event(v1alpha1.ReasonAbandonWithheld) }, ContainSubstring("2 instances of the group were replaced within the last hour"))
		w.beats(id, 1)
		w.Expect(w.over(id)()).To(BeEmpty())
	}
}

// What is not the instance's own fault would befall its replacement too.
func TestNobodyIsReplacedForWhatOthersDid(t *testing.T) {
	w, _ := group(t, short, func(s *v1alpha1.Service) { s.Spec.Rollout.OnFailure = v1alpha1.OnFailureStop })
	id := w.enter("Pending:Wait")
	w.fleet.fail(id, "v1", v1alpha1.ReasonDepotUnavailable)
	w.fleet.fail(id, "v2", v1alpha1.ReasonHookFailed)
	w.until(func() any {
		if d := w.target(id).Status.Delivery; d != nil {
			return d.Failures
		}
		return int32(0)
	}, BeNumerically(">=", 4))
	w.beats(id, 1)
	w.Expect(w.over(id)()).To(BeEmpty(), "the depot's fault")

	w.release("blog-2", "v2")
	w.until(func() any { return w.event(v1alpha1.ReasonAbandonWithheld) }, ContainSubstring("no other host of the Service runs the same artifact well"))
	w.beats(id, 1)
	w.Expect(w.over(id)()).To(BeEmpty(), "the other hosts run v1: it may be v2's fault")
}

// event is the latest note of a reason.
func (w *world) event(reason string) string {
	var list corev1.EventList
	w.Expect(w.client.List(w.t.Context(), &list, client.InNamespace(w.namespace))).To(Succeed())
	notes := ""
	for i := range list.Items {
		if list.Items[i].Reason == reason {
			notes += list.Items[i].Message + "\n"
		}
	}
	return notes
}

// An instance ends when its Target is gone.
func TestATerminationWaitsUntilTheTargetIsGone(t *testing.T) {
	w, old := group(t, time.Hour)
	w.cloud.Change(old[0], func(i *awstest.Instance) { i.Lifecycle = "Terminating:Wait" })
	w.until(w.over(old[0]), Equal([]string{"down CONTINUE"}))
	w.Expect(w.targets()).NotTo(HaveKey(old[0]))
}

// An instance is prepared for the warm pool, stops there without being missed, and gets what is current when it is fetched.
func TestTheWarmPool(t *testing.T) {
	w, old := group(t, time.Hour)
	w.cloud.AddWarmPool("blog-asg", "Stopped")
	id := w.enter("Warmed:Pending:Wait")
	w.until(w.over(id), Equal([]string{"up CONTINUE"}))
	w.Expect(w.fleet.got(id)).To(Equal([]string{"v1"}))
	w.until(w.targets, Equal(all("v1", old...)), "it has stopped, and is no host")

	w.release("blog-2", "v2")
	w.until(w.succeeded("blog-2"), Equal(v1alpha1.ReasonSucceeded))
	w.cloud.Change(id, func(i *awstest.Instance) { i.State, i.Lifecycle = "running", "Pending:Wait" })
	w.until(w.over(id), Equal([]string{"up CONTINUE", "up CONTINUE"}))
	w.Expect(w.fleet.got(id)).To(Equal([]string{"v1", "v2"}))
}

// Auto Scaling refuses for a while; a hook that does not exist is named.
func TestTroubleWithAutoScalingIsTold(t *testing.T) {
	w := newWorld(t, hooked, func(s *v1alpha1.Service) { s.Spec.Targets[0].EC2.TerminateHook = "nobody" })
	w.cloud.AddHook("blog-asg", awstest.Hook{Name: "up", Timeout: time.Hour})
	w.cloud.AddHook("blog-asg", awstest.Hook{Name: "theirs", Transition: awstest.Terminating})
	old := w.running(2)
	w.cloud.Refuse("CompleteLifecycleAction", awstest.Denied, 2)
	id := w.enter("Pending:Wait")
	w.until(func() any { return w.event(v1alpha1.ReasonLifecycleFailed) }, ContainSubstring("UnauthorizedOperation"))
	w.until(w.over(id), Equal([]string{"up CONTINUE"}))
	w.cloud.Change(old[0], func(i *awstest.Instance) { i.Lifecycle = "Terminating:Wait" })
	w.until(func() any { return w.event(v1alpha1.ReasonLifecycleFailed) }, ContainSubstring("has no hook nobody"))
	w.Expect(w.over(old[0])()).To(BeEmpty(), "a hook that no Service names is somebody else's")
}
