// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/rollout"
)

// at is a second of a test.
func at(second int64) time.Time { return time.Unix(1000+second, 0) }

// arrivedAt is a Target that runs the artifact since then.
func arrivedAt(name string, second int64) v1alpha1.Target {
	target := member(name, true)
	done := metav1.NewTime(at(second))
	target.Status.Delivery = &v1alpha1.DeliveryStatus{Digest: digestA, Fence: 4, Outcome: v1alpha1.ReasonSucceeded, CompletionTime: &done}
	return target
}

func TestProgressIsAHostThatArrives(t *testing.T) {
	g := NewWithT(t)
	l := newLife()
	since := metav1.NewTime(at(0))
	l.release.Status.ProgressTime = &since
	see := func(targets ...v1alpha1.Target) bool {
		l.targets = targets
		l.count()
		return l.progressed
	}
	seen := func(second int64) {
		now := metav1.NewTime(at(second))
		l.release.Status.ProgressTime = &now
	}
	g.Expect(see(member("web-1", false), member("web-2", false))).To(BeFalse())
	g.Expect(see(arrivedAt("web-1", 10), member("web-2", false))).To(BeTrue(), "one arrives")
	seen(11)
	g.Expect(see(member("web-1", false), member("web-2", false))).To(BeFalse())
	g.Expect(see(arrivedAt("web-1", 10), member("web-2", false))).To(BeFalse(), "it is back, and got nowhere")
	g.Expect(l.release.Status.TargetsUpdated).To(Equal("1/2"))
	g.Expect(see(arrivedAt("web-3", 20), member("web-2", false))).To(BeTrue(), "one leaves and another arrives")
	g.Expect(l.release.Status.TargetsUpdated).To(Equal("1/2"))
	seen(21)
	g.Expect(see(member("web-2", false))).To(BeFalse(), "one leaves")
	g.Expect(l.release.Status.TargetsUpdated).To(Equal("0/1"))
	g.Expect(l.release.Status.Failures).To(HaveLen(1), "and takes what it did along")
}

func TestTheTimeWithoutAnyHostIsNotTheirs(t *testing.T) {
	g := NewWithT(t)
	l := newLife()
	since := metav1.NewTime(at(0))
	l.release.Status.ProgressTime = &since
	l.service.Status.Rolling = &v1alpha1.ReleaseRecord{Release: "blog-2", UID: "two", Since: &since}
	l.targets = nil
	l.count()
	g.Expect(l.progressed).To(BeFalse(), "there are no hosts")
	l.targets = []v1alpha1.Target{member("web-1", false)}
	l.count()
	g.Expect(l.progressed).To(BeTrue(), "the first one appears")
	now := metav1.NewTime(at(500))
	l.release.Status.ProgressTime = &now
	l.targets = nil
	l.count()
	l.targets = []v1alpha1.Target{member("web-2", false)}
	l.count()
	g.Expect(l.progressed).To(BeFalse(), "its replacement gets no more time: that could go on for ever")
}

func TestHostsThatAppearWhileOthersAreVerifiedHaveTheirTime(t *testing.T) {
	g := NewWithT(t)
	clock := clocktesting.NewFakePassiveClock(at(0))
	r := &Reconciler{Options: Options{Clock: clock}}
	l := newLife()
	l.phase = v1alpha1.ConditionVerified
	pass := func(second int64, targets ...v1alpha1.Target) (done bool) {
		clock.SetTime(at(second))
		l.targets = targets
		_, done = r.apply(l, r.bake(t.Context(), l, rollout.Strategy{}))
		return done
	}
	limit := int64(verifyLimit / time.Second)
	g.Expect(pass(1, arrivedAt("web-1", 0), member("web-2", false), member("web-3", false))).To(BeFalse())
	g.Expect(pass(limit-1, arrivedAt("web-1", 0), arrivedAt("web-2", limit-2), member("web-3", false))).To(BeFalse())
	g.Expect(pass(limit+1, arrivedAt("web-1", 0), arrivedAt("web-2", limit-2), member("web-3", false))).To(BeFalse(), "one arrived just now")
	g.Expect(pass(2*limit, arrivedAt("web-1", 0), arrivedAt("web-2", limit-2), member("web-3", false))).To(BeTrue(), "none did any more")
	g.Expect(conditions.Get(l.release.Status.Conditions, v1alpha1.ConditionFinished).Reason).To(Equal(v1alpha1.ReasonFailed))
}
