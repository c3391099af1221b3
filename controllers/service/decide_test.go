// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package service

import (
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/discovery"
)

const (
	digestA = "sha256:aaaa"
	digestB = "sha256:bbbb"
)

func record(name, revision, digest string, sequence int64) *v1alpha1.ReleaseRecord {
	return &v1alpha1.ReleaseRecord{Release: name, Revision: revision, Commit: "0123456789abcdef", Digest: digest, Sequence: sequence, Frozen: "frozen"}
}

// readyTarget is a Target that runs digest and is Ready.
func readyTarget(name, digest string) v1alpha1.Target {
	target := v1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Name: name}}
	target.Spec.Host.Name = name
	target.Spec.Artifact = record("r", "v1", digest, 1)
	target.Status.Running = &v1alpha1.RunningArtifact{Digest: digest, Label: "v1 (01234567)"}
	conditions.Summarize(&target.Status.Conditions, 0, conditions.Current, v1alpha1.ReasonUpToDate, "ok")
	conditions.True(&target.Status.Conditions, 0, v1alpha1.ConditionAvailable, v1alpha1.ReasonUpToDate, "ok")
	conditions.True(&target.Status.Conditions, 0, v1alpha1.ConditionReachable, v1alpha1.ReasonUpToDate, "ok")
	return target
}

// newFacts is a Service "blog" with one host per target.
func newFacts(targets ...v1alpha1.Target) *facts {
	return &facts{
		service: &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Name: "blog", UID: "me"}},
		targets: targets, hosts: len(targets), fleet: &discovery.Fleet{},
	}
}

func TestRequestMakesAReleaseOnlyForAChangedValue(t *testing.T) {
	unprobed := readyTarget("web-1", digestA)
	unprobed.Status = v1alpha1.TargetStatus{}
	taken := readyTarget("web-1", digestA)
	taken.Status.Owner = &v1alpha1.PathOwner{ServiceUID: "other"}
	for name, test := range map[string]struct {
		revision string
		status   v1alpha1.ServiceStatus
		targets  []v1alpha1.Target
		make     bool
		wish     *v1alpha1.RequestedRevision
	}{
		"no spec.revision":            {targets: []v1alpha1.Target{readyTarget("web-1", "")}},
		"the first value":             {revision: "v1", targets: []v1alpha1.Target{readyTarget("web-1", "")}, make: true, wish: &v1alpha1.RequestedRevision{Revision: "v1", Serial: 1}},
		"hosts were not looked at":    {revision: "v1", targets: []v1alpha1.Target{unprobed}},
		"hosts belong to another":     {revision: "v1", targets: []v1alpha1.Target{taken}},
		"the same value again":        {revision: "v1", status: v1alpha1.ServiceStatus{Requested: &v1alpha1.RequestedRevision{Revision: "v1", Serial: 3, Release: "blog-3"}}},
		"recorded but not made yet":   {revision: "v1", status: v1alpha1.ServiceStatus{Requested: &v1alpha1.RequestedRevision{Revision: "v1", Serial: 3}}, make: true},
		"a changed value":             {revision: "v2", status: v1alpha1.ServiceStatus{Requested: &v1alpha1.RequestedRevision{Revision: "v1", Serial: 3, Release: "blog-3"}}, make: true, wish: &v1alpha1.RequestedRevision{Revision: "v2", Serial: 4}},
		"hosts run something already": {revision: "v1", status: v1alpha1.ServiceStatus{Current: record("old", "v0", digestA, 7)}, targets: []v1alpha1.Target{readyTarget("web-1", digestA)}, wish: &v1alpha1.RequestedRevision{Revision: "v1", Release: "old"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			f := newFacts(test.targets...)
			f.service.Spec.Revision, f.service.Status = v1alpha1.Revision(test.revision), test.status
			make, wish := request(f)
			g.Expect(make).To(Equal(test.make))
			g.Expect(wish).To(Equal(test.wish))
		})
	}
}

func TestJudgeSaysHowAServiceIs(t *testing.T) {
	down := readyTarget("web-2", digestA)
	conditions.Summarize(&down.Status.Conditions, 0, conditions.Waiting, v1alpha1.ReasonUnreachable, "does not answer")
	current := record("blog-1", "v1", digestA, 1)
	for name, test := range map[string]struct {
		facts  func() *facts
		word   string
		state  conditions.State
		reason string
	}{
		"all well": {func() *facts {
			f := newFacts(readyTarget("web-1", digestA))
			f.service.Status.Current = current
			return f
		}, "Ready", conditions.Current, v1alpha1.ReasonUpToDate},
		"no hosts is never success": {func() *facts {
			f := newFacts()
			f.service.Status.Current = current
			return f
		}, "NoTargets", conditions.Stalled, v1alpha1.ReasonNoTargets},
		"nothing released": {func() *facts { return newFacts(readyTarget("web-1", "")) }, "NotReleased", conditions.Waiting, v1alpha1.ReasonNotReleased},
		"a host is down": {func() *facts {
			f := newFacts(readyTarget("web-1", digestA), down)
			f.service.Status.Current = current
			return f
		}, "Degraded", conditions.Waiting, v1alpha1.ReasonTargetsNotReady},
		"a rollout ended half-way": {func() *facts {
			f := newFacts(readyTarget("web-1", digestA), readyTarget("web-2", digestB))
			f.service.Status.Current = current
			return f
		}, "Mixed", conditions.Stalled, v1alpha1.ReasonMixed},
		"a rollout is under way": {func() *facts {
			f := newFacts(readyTarget("web-1", digestA), down)
			f.service.Status.Current, f.service.Status.Rolling = current, record("blog-2", "v2", digestB, 2)
			return f
		}, "RollingOut", conditions.InProgress, v1alpha1.ReasonRollingOut},
		"spec.revision could not be released": {func() *facts {
			f := newFacts(readyTarget("web-1", digestA))
			f.service.Status.Current = current
			f.service.Status.Requested = &v1alpha1.RequestedRevision{Revision: "v2", Serial: 2, Release: "blog-2"}
			f.service.Status.History = []v1alpha1.ReleaseOutcome{{Release: "blog-2", Sequence: 2, Outcome: v1alpha1.ReasonFailed, Reason: v1alpha1.ReasonBuildFailed}}
			return f
		}, "ReleaseFailed", conditions.Stalled, v1alpha1.ReasonReleaseFailed},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			v := judge(test.facts())
			g.Expect(v.word).To(Equal(test.word))
			g.Expect(v.state).To(Equal(test.state))
			g.Expect(v.reason).To(Equal(test.reason))
			g.Expect(v.message).NotTo(BeEmpty())
		})
	}
}

func TestDivergedNamesBothReleases(t *testing.T) {
	g := NewWithT(t)
	f := newFacts(readyTarget("web-1", digestA))
	f.service.Status.Requested = &v1alpha1.RequestedRevision{Revision: "v2", Serial: 2, Release: "blog-2"}
	f.service.Status.History = []v1alpha1.ReleaseOutcome{{Release: "blog-2", Sequence: 2, Outcome: v1alpha1.ReasonSucceeded}}
	f.service.Status.Current = record("back-to-v1", "v1", digestA, 3)
	diverged(f)
	c := conditions.Get(f.service.Status.Conditions, v1alpha1.ConditionDiverged)
	g.Expect(c.Status).To(Equal(metav1.ConditionTrue))
	g.Expect(c.Message).To(And(ContainSubstring("back-to-v1"), ContainSubstring("blog-2")))

	f.service.Status.Current = record("blog-2", "v2", digestB, 2)
	diverged(f)
	g.Expect(conditions.IsTrue(f.service.Status.Conditions, v1alpha1.ConditionDiverged)).To(BeFalse())
}

func TestRunningNamesTheLargestPartFirst(t *testing.T) {
	g := NewWithT(t)
	g.Expect(running(map[string]int{})).To(BeEmpty())
	g.Expect(running(map[string]int{"v1 (a)": 3})).To(Equal("v1 (a)"))
	g.Expect(running(map[string]int{"v1 (a)": 3, "v2 (b)": 5})).To(Equal("mixed: v2 (b) ×5, v1 (a) ×3"))
}

func TestHistoryNeverDeletesPeoplesReleasesNorThoseInUse(t *testing.T) {
	g := NewWithT(t)
	f := newFacts()
	limit := int32(1)
	f.service.Spec.RevisionHistoryLimit = &limit
	f.service.Status.Current = record("blog-2", "v2", digestA, 2)
	add := func(name string, sequence int64, byController, done bool) {
		release := v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Name: name}}
		release.Status.Sequence = sequence
		if byController {
			release.Labels = map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
		}
		if done {
			conditions.True(&release.Status.Conditions, 0, v1alpha1.ConditionFinished, v1alpha1.ReasonSucceeded, "")
		}
		f.releases = append(f.releases, release)
	}
	add("by-hand", 1, false, true)
	add("blog-2", 2, true, true)
	add("blog-3", 3, true, true)
	add("blog-4", 4, true, true)
	add("blog-5", 5, true, false)
	var names []string
	for _, release := range expired(f) {
		names = append(names, release.Name)
	}
	g.Expect(names).To(ConsistOf("blog-3"))
}

func TestReferencedKeepsWhatAnyHostOrReleaseNeeds(t *testing.T) {
	g := NewWithT(t)
	host := readyTarget("web-1", digestA)
	host.Status.Running.Digest = "sha256:old-on-host"
	f := newFacts(host)
	f.service.Status.Previous = record("blog-0", "v0", "sha256:previous", 0)
	succeeded := v1alpha1.Release{}
	succeeded.Status.Artifact = &v1alpha1.ArtifactStatus{Digest: digestB}
	conditions.True(&succeeded.Status.Conditions, 0, v1alpha1.ConditionSucceeded, v1alpha1.ReasonSucceeded, "")
	failed := v1alpha1.Release{}
	failed.Status.Artifact = &v1alpha1.ArtifactStatus{Digest: "sha256:failed"}
	f.releases = []v1alpha1.Release{succeeded, failed}
	g.Expect(referenced(f)).To(Equal([]string{digestA, digestB, "sha256:old-on-host", "sha256:previous"}))
}

func TestForeignHostsNeedConsent(t *testing.T) {
	g := NewWithT(t)
	host := readyTarget("web-1", digestA)
	host.Status.Owner = &v1alpha1.PathOwner{OwnerID: "cluster", ServiceUID: "before"}
	f := newFacts(host)
	g.Expect(foreign(f)).To(BeEquivalentTo("before"))
	g.Expect(foreignMessage(f, "before")).To(And(ContainSubstring("web-1"), ContainSubstring("spec.adopt.fromUID")))
	f.service.Spec.Adopt = &v1alpha1.AdoptSpec{FromUID: "before"}
	g.Expect(foreign(f)).To(BeEmpty())
	f.service.Spec.Adopt.FromUID = "somebody"
	g.Expect(foreign(f)).To(BeEquivalentTo("before"))
}

func TestATemplateThatCannotBeUsedIsSaid(t *testing.T) {
	g := NewWithT(t)
	f := &facts{service: &v1alpha1.Service{}, fleet: &discovery.Fleet{}}
	f.service.Spec.Notifications = []v1alpha1.Notification{{Name: "chat", Slack: &v1alpha1.SlackNotification{}, Template: "{{.Nothing}}"}}
	summarize(f)
	notifying := conditions.Get(f.service.Status.Conditions, v1alpha1.ConditionNotifying)
	g.Expect([]string{string(notifying.Status), notifying.Reason}).To(Equal([]string{"False", v1alpha1.ReasonTemplateInvalid}))
	g.Expect(notifying.Message).To(And(ContainSubstring("notification chat"), ContainSubstring("Nothing")))
	f.service.Spec.Notifications[0].Template = "{{.Reason}}"
	summarize(f)
	g.Expect(conditions.Get(f.service.Status.Conditions, v1alpha1.ConditionNotifying).Reason).To(BeEmpty())
}
