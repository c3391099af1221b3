// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
)

const digestA = "sha256:aaaa"

// newLife is Release "blog-2" of Service "blog", bound, with sequence 2.
func newLife() *life {
	release := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Name: "blog-2", UID: "two", Generation: 1}}
	release.Spec = v1alpha1.ReleaseSpec{Service: "blog", Revision: "v2"}
	release.Status = v1alpha1.ReleaseStatus{ServiceUID: "svc", Sequence: 2, Commit: "0123456789abcdef", Frozen: "frozen"}
	release.Status.Artifact = &v1alpha1.ArtifactStatus{Digest: digestA}
	return &life{release: release, service: &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Name: "blog", UID: "svc"}}}
}

// other is another Release of the Service.
func other(name string, sequence int64, published, paused bool) v1alpha1.Release {
	release := v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Name: name}}
	release.Spec.Paused = paused
	release.Status.ServiceUID, release.Status.Sequence = "svc", sequence
	if published {
		conditions.True(&release.Status.Conditions, 0, v1alpha1.ConditionPublished, v1alpha1.ReasonSucceeded, "")
	}
	return release
}

func TestOnlyAPublishedNewerReleaseTakesThePlace(t *testing.T) {
	for name, test := range map[string]struct {
		others  []v1alpha1.Release
		current *v1alpha1.ReleaseRecord
		want    string
	}{
		"alone":                             {},
		"a newer one is still building":     {others: []v1alpha1.Release{other("blog-3", 3, false, false)}},
		"a newer one is published":          {others: []v1alpha1.Release{other("blog-3", 3, true, false)}, want: "blog-3"},
		"a newer one is paused":             {others: []v1alpha1.Release{other("blog-3", 3, true, true)}},
		"an older one is published":         {others: []v1alpha1.Release{other("blog-1", 1, true, false)}},
		"a newer one has completed already": {current: &v1alpha1.ReleaseRecord{Release: "blog-9", Sequence: 9}, want: "blog-9"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLife()
			l.others, l.service.Status.Current = test.others, test.current
			NewWithT(t).Expect(l.newer()).To(Equal(test.want))
		})
	}
}

func TestAReleaseOfAnotherServiceObjectIsNotBound(t *testing.T) {
	g := NewWithT(t)
	l := newLife()
	g.Expect(l.bound()).To(BeTrue())
	l.service.UID = "re-created"
	g.Expect(l.bound()).To(BeFalse())
	out := (&Reconciler{}).bind(t.Context(), l)
	g.Expect(out.kind).To(Equal(failed))
	g.Expect(out.reason).To(Equal(v1alpha1.ReasonServiceReplaced))
}

func TestReCreatedRecordsWait(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*life)
		waits  bool
	}{
		"the first of a new Service": {func(*life) {}, false},
		"one of two unseen":          {func(l *life) { l.others = []v1alpha1.Release{other("blog-3", 0, false, false)} }, true},
		"a name that ended before": {func(l *life) {
			l.service.Status.History = []v1alpha1.ReleaseOutcome{{Release: "blog-2", UID: "earlier", Outcome: "Succeeded"}}
		}, true},
		"two unseen, but one has completed": {func(l *life) {
			l.others = []v1alpha1.Release{other("blog-3", 0, false, false)}
			l.service.Status.Current = &v1alpha1.ReleaseRecord{Release: "blog-1"}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLife()
			l.release.Status = v1alpha1.ReleaseStatus{}
			test.change(l)
			NewWithT(t).Expect(l.recreated() != "").To(Equal(test.waits))
		})
	}
}

// member is a Target that was told to run this Release's artifact.
func member(name string, ready bool) v1alpha1.Target {
	target := v1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Name: name, Generation: 1}}
	target.Spec.Host.Name = name
	target.Spec.Fence = 4
	target.Spec.Artifact = &v1alpha1.ReleaseRecord{UID: "two", Digest: digestA, Frozen: "frozen"}
	target.Status.ObservedGeneration = 1
	state, reason := conditions.Waiting, v1alpha1.ReasonDelivering
	if ready {
		state, reason = conditions.Current, v1alpha1.ReasonUpToDate
		target.Status.SwitchedFence = 4
		target.Status.Running = &v1alpha1.RunningArtifact{Digest: digestA}
	}
	conditions.Summarize(&target.Status.Conditions, 1, state, reason, "message of "+name)
	return target
}

func TestCountTakesOnlyReadyTargetsOfThisArtifact(t *testing.T) {
	g := NewWithT(t)
	l := newLife()
	stale := member("web-3", true)
	stale.Generation = 2
	otherSpec := member("web-4", true)
	otherSpec.Spec.Artifact.Frozen = "another"
	l.targets = []v1alpha1.Target{member("web-1", true), member("web-2", false), stale, otherSpec}
	l.count()
	g.Expect(l.release.Status.TargetsUpdated).To(Equal("1/4"))
	g.Expect(l.release.Status.Failures).To(HaveLen(1))
	g.Expect(l.release.Status.Failures[0].Host).To(Equal("web-2"))
	g.Expect(l.progressed).To(BeTrue())
}

func TestFailuresAreBounded(t *testing.T) {
	g := NewWithT(t)
	l := newLife()
	for range 300 {
		l.targets = append(l.targets, member("web", false))
	}
	l.count()
	g.Expect(l.release.Status.Failures).To(HaveLen(maxFailures))
}

func TestAWaitEndsAtItsLimit(t *testing.T) {
	g := NewWithT(t)
	clock := clocktesting.NewFakePassiveClock(time.Unix(1000, 0))
	r := &Reconciler{Options: Options{Clock: clock}}
	l := newLife()
	l.phase = v1alpha1.ConditionResolved
	out := retry(v1alpha1.ReasonRepositoryUnreachable, errors.New("no route to host")).within(time.Minute)

	_, done := r.apply(l, out)
	g.Expect(done).To(BeFalse())
	clock.SetTime(time.Unix(1030, 0))
	result, done := r.apply(l, out)
	g.Expect(done).To(BeFalse())
	g.Expect(result.RequeueAfter).To(BeNumerically("<=", 30*time.Second))
	clock.SetTime(time.Unix(1061, 0))
	_, done = r.apply(l, out)
	g.Expect(done).To(BeTrue())
	finished := conditions.Get(l.release.Status.Conditions, v1alpha1.ConditionFinished)
	g.Expect(finished.Reason).To(Equal(v1alpha1.ReasonFailed))
	g.Expect(finished.Message).To(ContainSubstring("gave up after 1m0s: no route to host"))
	g.Expect(conditions.IsTrue(l.release.Status.Conditions, v1alpha1.ConditionStalled)).To(BeTrue())
	g.Expect(conditions.Get(l.release.Status.Conditions, v1alpha1.ConditionSucceeded).Reason).To(Equal(v1alpha1.ReasonRepositoryUnreachable))
}

func TestAPauseHasNoLimit(t *testing.T) {
	g := NewWithT(t)
	clock := clocktesting.NewFakePassiveClock(time.Unix(1000, 0))
	r := &Reconciler{Options: Options{Clock: clock}}
	l := newLife()
	out := wait(time.Minute, v1alpha1.ReasonPaused, "paused").within(0)
	for range 3 {
		_, done := r.apply(l, out)
		g.Expect(done).To(BeFalse())
		clock.SetTime(clock.Now().Add(1000 * time.Hour))
	}
	g.Expect(l.release.Status.Phase).To(Equal("Paused"))
}

func TestTheRecordedEndWins(t *testing.T) {
	g := NewWithT(t)
	l := newLife()
	l.service.Status.History = []v1alpha1.ReleaseOutcome{{Release: "blog-2", UID: "two", Outcome: v1alpha1.ReasonFailed, Reason: v1alpha1.ReasonBuildFailed, Message: "exit 1"}}
	out := (&Reconciler{}).next(t.Context(), l)
	g.Expect(out.kind).To(Equal(failed))
	g.Expect(out.reason).To(Equal(v1alpha1.ReasonBuildFailed))
}
