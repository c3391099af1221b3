// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/phase"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// released is a Release that ended so long before noon.
func released(sequence int64, reason string, ago time.Duration) *v1alpha1.Release {
	r := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: fmt.Sprintf("blog-%d", sequence), UID: types.UID(fmt.Sprint(sequence))}}
	r.Spec = v1alpha1.ReleaseSpec{Service: "blog", Revision: "main"}
	r.Status.Sequence, r.Status.Commit = sequence, fmt.Sprintf("%040d", sequence)
	r.Status.Artifact = &v1alpha1.ArtifactStatus{Digest: fmt.Sprintf("sha256:%d", sequence)}
	if reason != "" {
		done := metav1.NewTime(noon.Add(-ago))
		start, commit := metav1.NewTime(done.Add(-time.Minute)), metav1.NewTime(done.Add(-time.Hour))
		r.Status.CompletionTime, r.Status.StartTime, r.Status.Described = &done, &start, &v1alpha1.CommitStatus{Subject: "Greet", Time: &commit}
		conditions.True(&r.Status.Conditions, 1, v1alpha1.ConditionFinished, reason, "it ended")
	}
	return r
}

func TestStatesOfReleases(t *testing.T) {
	for name, c := range map[string]struct {
		change func(r *v1alpha1.Release)
		want   phase.Phase
	}{
		"just made": {func(*v1alpha1.Release) {}, phase.Queued},
		"being built": {func(r *v1alpha1.Release) {
			conditions.True(&r.Status.Conditions, 1, v1alpha1.ConditionResolved, "S", "")
		}, phase.Building},
		"a lock holds it": {func(r *v1alpha1.Release) {
			conditions.False(&r.Status.Conditions, 1, v1alpha1.ConditionReady, v1alpha1.ReasonLocked, "")
		}, phase.Held},
		"rolled out": {func(r *v1alpha1.Release) {
			conditions.True(&r.Status.Conditions, 1, v1alpha1.ConditionPublished, "S", "")
		}, phase.Rolling},
		"paused":          {func(r *v1alpha1.Release) { r.Spec.Paused = true }, phase.Paused},
		"on its way back": {func(r *v1alpha1.Release) { r.Spec.Paused, r.Status.Rollback = true, &v1alpha1.RollbackStatus{} }, phase.RollingBack},
		"waits for approval": {func(r *v1alpha1.Release) {
			r.Status.Step = &v1alpha1.StepStatus{Index: 1}
			conditions.False(&r.Status.Conditions, 1, v1alpha1.ConditionReady, v1alpha1.ReasonAwaitingApproval, "")
		}, phase.Awaiting},
		"succeeded": {func(r *v1alpha1.Release) {
			conditions.True(&r.Status.Conditions, 1, v1alpha1.ConditionFinished, v1alpha1.ReasonSucceeded, "")
		}, phase.Succeeded},
		"ended in a way of a later version": {func(r *v1alpha1.Release) {
			conditions.True(&r.Status.Conditions, 1, v1alpha1.ConditionFinished, "Vanished", "")
		}, phase.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			r := released(1, "", 0)
			c.change(r)
			NewWithT(t).Expect(phase.OfRelease(r)).To(Equal(c.want))
		})
	}
}

// TestFourFigures has five Releases within the time: two failures in a row are one outage.
func TestFourFigures(t *testing.T) {
	g := NewWithT(t)
	day := 24 * time.Hour
	f := figuresOf([]*v1alpha1.Release{
		released(7, "", 0), released(6, v1alpha1.ReasonSuperseded, day), released(5, v1alpha1.ReasonSucceeded, 2*day), released(4, v1alpha1.ReasonRolledBack, 3*day),
		released(3, v1alpha1.ReasonFailed, 5*day), released(2, v1alpha1.ReasonSucceeded, 14*day), released(1, v1alpha1.ReasonSucceeded, 40*day),
	}, noon)
	g.Expect(f.Releases).To(Equal(4), "those that ended in the last 30 days and were meant to run")
	g.Expect([]int{f.Succeeded, f.Failed, f.FailureRate}).To(Equal([]int{2, 2, 50}))
	g.Expect(f.PerWeek).To(BeNumerically("~", 1, 0.01), "two in two weeks")
	g.Expect(f.LeadTime).To(Equal(time.Hour))
	g.Expect(f.Restore).To(Equal(3 * day))
	for i := 1; i < len(f.Bars); i++ {
		g.Expect(f.Bars[i].X-f.Bars[i-1].X).To(BeNumerically(">=", timelineMark), "no mark hides another")
	}
	g.Expect(figuresOf(nil, noon).Releases).To(BeZero())
}

// host is a Target that was ordered a Release in a wave.
func host(name string, release *v1alpha1.Release, wave int64, ready bool) v1alpha1.Target {
	target := v1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "blog-" + name}}
	target.Spec.Service, target.Spec.Host.Name, target.Spec.Wave = "blog", name, wave
	if release != nil {
		target.Spec.Artifact = &v1alpha1.ReleaseRecord{Release: release.Name, UID: v1alpha1.UID(release.UID), Digest: release.Status.Artifact.Digest}
	}
	if ready {
		conditions.True(&target.Status.Conditions, 0, v1alpha1.ConditionReady, v1alpha1.ReasonUpToDate, "")
		conditions.True(&target.Status.Conditions, 0, v1alpha1.ConditionAvailable, v1alpha1.ReasonSucceeded, "")
		target.Status.Running = &v1alpha1.RunningArtifact{Digest: target.Spec.Artifact.Digest}
	} else {
		conditions.False(&target.Status.Conditions, 0, v1alpha1.ConditionReachable, v1alpha1.ReasonUnreachable, "it does not answer")
	}
	return target
}

func TestHostsStandByTheWaveTheyMovedIn(t *testing.T) {
	g := NewWithT(t)
	old, r := released(1, v1alpha1.ReasonSucceeded, time.Hour), released(2, "", 0)
	batches, waiting := batchesOf(r, []v1alpha1.Target{
		host("web-10", r, 7, true), host("web-2", r, 7, true), host("web-3", r, 5, true), host("web-1", old, 2, true), host("web-9", r, 7, false),
	})
	var names [][]string
	for _, b := range batches {
		var list []string
		for _, row := range b.Targets {
			list = append(list, row.Target.Spec.Host.Name)
		}
		names = append(names, list)
	}
	g.Expect(names).To(Equal([][]string{{"web-3"}, {"web-9", "web-2", "web-10"}}), "those in trouble first, and numbers in their order")
	g.Expect([]int{batches[1].Number, batches[1].Done, batches[1].Failed}).To(Equal([]int{2, 2, 1}))
	g.Expect(waiting).To(ConsistOf(HaveField("Target.Spec.Host.Name", "web-1")))
}

func TestTroubleSaysHowFarItGoes(t *testing.T) {
	g := NewWithT(t)
	r := released(2, v1alpha1.ReasonFailed, 0)
	conditions.False(&r.Status.Conditions, 1, v1alpha1.ConditionSucceeded, v1alpha1.ReasonTooManyFailed, "2 failed")
	trouble := troubleOf(r, []v1alpha1.Target{host("web-1", r, 1, true), host("web-2", r, 1, false), host("web-3", released(1, "", 0), 0, true)})
	g.Expect(*trouble).To(Equal(trouble2("2 failed", 1, 2, 1, v1alpha1.ReasonTooManyFailed)))
	g.Expect(troubleOf(released(3, v1alpha1.ReasonSucceeded, 0), nil)).To(BeNil())
}

func trouble2(what string, fresh, old, unavailable int32, next string) trouble {
	return trouble{What: what, New: fresh, Old: old, Unavailable: unavailable, Next: next}
}

// way says where a Release is on its way: a station with what it is and how many hosts.
func way(r *v1alpha1.Release, batches []batch, waiting int) (list []string) {
	for _, s := range stagesOf(r, batches, waiting) {
		text := s.Key
		if s.Number > 0 {
			text += fmt.Sprintf(" %d–%d", s.Number, s.To)
		}
		if s.Of > 0 {
			text += fmt.Sprintf(" %d/%d", s.Done, s.Of)
		}
		list = append(list, strings.TrimSpace(text+" "+s.Is))
	}
	return list
}

func TestTheWayOfARelease(t *testing.T) {
	g := NewWithT(t)
	r := released(2, "", 0)
	g.Expect(way(r, nil, 3)).To(Equal([]string{"build now", "rollOut", "verify", "done"}))
	for _, c := range []string{v1alpha1.ConditionResolved, v1alpha1.ConditionBuilt, v1alpha1.ConditionPublished} {
		conditions.True(&r.Status.Conditions, 1, c, "S", "")
	}
	g.Expect(way(r, nil, 3)).To(Equal([]string{"build done", "rollOut now", "verify", "done"}))
	batches, waiting := batchesOf(r, []v1alpha1.Target{host("web-1", r, 1, true), host("web-2", r, 2, true), host("web-3", r, 2, false), host("web-4", nil, 0, false)})
	g.Expect(way(r, batches, len(waiting))).To(Equal([]string{"build done", "batch 1–1 1/1 done", "batch 2–2 1/2 bad", "rest 0/1", "verify", "done"}))

	conditions.False(&r.Status.Conditions, 1, v1alpha1.ConditionReady, v1alpha1.ReasonAwaitingApproval, "")
	r.Status.Step = &v1alpha1.StepStatus{Index: 1}
	g.Expect(way(r, batches[:1], 3)).To(Equal([]string{"build done", "batch 1–1 1/1 done", "approval now", "rest 0/3", "verify", "done"}))
	g.Expect(way(r, nil, 4)).To(Equal([]string{"build done", "approval now", "rollOut", "verify", "done"}))

	conditions.True(&r.Status.Conditions, 1, v1alpha1.ConditionFinished, v1alpha1.ReasonRolledBack, "")
	g.Expect(way(r, nil, 4)).To(Equal([]string{"build done", "rollOut bad", "verify", "done bad"}), "its hosts have gone back to the Release before")

	many := released(3, v1alpha1.ReasonSucceeded, 0)
	for _, c := range []string{v1alpha1.ConditionPublished, v1alpha1.ConditionRolledOut, v1alpha1.ConditionVerified} {
		conditions.True(&many.Status.Conditions, 1, c, "S", "")
	}
	var hosts []v1alpha1.Target
	for i := range int64(8) {
		hosts = append(hosts, host(fmt.Sprintf("web-%d", i), many, i+1, true))
	}
	batches, _ = batchesOf(many, hosts)
	g.Expect(way(many, batches, 0)).To(Equal([]string{"build done", "batches 1–4 4/4 done", "batch 5–5 1/1 done", "batch 6–6 1/1 done", "batch 7–7 1/1 done", "batch 8–8 1/1 done", "verify done", "done done"}))
	g.Expect(way(many, nil, 0)).To(Equal([]string{"build done", "rollOut done", "verify done", "done done"}), "its hosts have gone on to another Release")
}

func TestWhatRunsWhere(t *testing.T) {
	g := NewWithT(t)
	old, r := released(1, v1alpha1.ReasonSucceeded, time.Hour), released(2, "", 0)
	hosts := []v1alpha1.Target{host("web-1", r, 2, true), host("web-2", old, 1, true), host("web-3", old, 1, true), host("web-4", nil, 0, false)}
	for i := range hosts[:3] {
		hosts[i].Status.Running.Label = "v" + hosts[i].Spec.Artifact.Release
	}
	g.Expect(runningOn(hosts)).To(Equal([]running{{"vblog-1", 2}, {"vblog-2", 1}}), "the most first; who runs nothing is not counted")
}

func TestWhatNeedsSomebody(t *testing.T) {
	g := NewWithT(t)
	well := v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "well"}, Status: v1alpha1.ServiceStatus{State: "Ready"}}
	blog := v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "blog"}, Status: v1alpha1.ServiceStatus{State: "Degraded"}}
	pausedRelease := *released(3, "", 0)
	pausedRelease.Spec.Paused = true
	plan := *released(4, "", 0)
	plan.Annotations = map[string]string{v1alpha1.AnnotationDryRun: "true"}
	f := fleetOf([]v1alpha1.Service{well, blog}, []v1alpha1.Release{*released(2, v1alpha1.ReasonFailed, time.Hour), pausedRelease, plan})
	var what []string
	for _, n := range f.Needs {
		what = append(what, n.Service+" "+n.What+" "+n.Link())
	}
	g.Expect(what).To(Equal([]string{"blog degraded /s/web/blog", "blog paused /r/web/blog-3"}), "the worst first; what a newer Release made past is past")
	g.Expect(f.Moving).To(ConsistOf(HaveField("Release.Name", "blog-3")), "a plan moves nothing")
	g.Expect(f.Rows[0].Last.Name).To(Equal("blog-3"))
}

func TestWhatOneCanGoBackTo(t *testing.T) {
	g := NewWithT(t)
	again := released(5, v1alpha1.ReasonSucceeded, time.Hour)
	again.Status.Artifact.Digest = "sha256:1"
	s := &subject{Service: &v1alpha1.Service{}, Releases: []*v1alpha1.Release{
		again, released(4, v1alpha1.ReasonRolledBack, 2*time.Hour), released(3, v1alpha1.ReasonSucceeded, 3*time.Hour), released(2, v1alpha1.ReasonSucceeded, 4*time.Hour),
		released(1, v1alpha1.ReasonSucceeded, 5*time.Hour),
	}}
	s.Service.Status.Current = &v1alpha1.ReleaseRecord{Digest: "sha256:1"}
	var names []string
	for _, r := range earlier(s) {
		names = append(names, r.Name)
	}
	g.Expect(names).To(Equal([]string{"blog-3", "blog-2"}), "what succeeded, but not what runs, under whatever name")
}

func TestAReleaseIsOfWhatWasReviewed(t *testing.T) {
	g := NewWithT(t)
	plan := released(1, "", 0)
	plan.Name = "my-plan-blog-plan-abcde"
	plan.Spec.Service = "my-plan-blog"
	plan.Status.Plan = &v1alpha1.ReleasePlan{Commit: "9f8e7d6c9f8e7d6c9f8e7d6c9f8e7d6c9f8e7d6c", Ref: "refs/heads/main"}
	r := releaseOf(plan, "")
	g.Expect(r.Name).To(Equal("my-plan-blog-abcde"))
	g.Expect(string(r.Spec.Revision)).To(Equal(plan.Status.Plan.Commit), "the branch may have moved since")
	g.Expect(revision(r)).To(Equal("main"))
	plan.Spec.Revision, plan.Status.Plan.Ref = "v1.4.2", "refs/tags/v1.4.2"
	g.Expect(string(releaseOf(plan, "").Spec.Revision)).To(Equal("v1.4.2"))
}

func TestSentencesBeginAsSentences(t *testing.T) {
	g := NewWithT(t)
	for text, want := range map[string]string{
		"the Pod is starting": "The Pod is starting", "all 3 Targets run v1": "All 3 Targets run v1", "php:8.3-cli builds it": "php:8.3-cli builds it", "web-1 failed": "web-1 failed", "": "", "再開": "再開",
	} {
		g.Expect(capital(text)).To(Equal(want))
	}
}
