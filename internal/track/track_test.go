// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package track

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/gate"
	"github.com/slipway-dev/slipway/internal/gitsource"
)

// commit is a commit id of one digit.
func commit(digit string) string { return strings.Repeat(digit, 40) }

// ended is a line of a Service's history.
func ended(sequence int64, release, digit, outcome string) v1alpha1.ReleaseOutcome {
	return v1alpha1.ReleaseOutcome{Release: release, Sequence: sequence, Commit: commit(digit), Outcome: outcome}
}

func TestDecide(t *testing.T) {
	main := &v1alpha1.TrackSpec{Branch: "main"}
	resumed := &v1alpha1.TrackSpec{Branch: "main", ResumeAfter: "blog-2"}
	tags := &v1alpha1.TrackSpec{TagPattern: "v*"}
	const head = "refs/heads/main"
	runs := &v1alpha1.ReleaseRecord{Release: "blog-1", Commit: commit("a")}
	acted := &v1alpha1.TrackingStatus{Ref: head, Commit: commit("b"), Release: "blog-2", Sequence: 1}
	locked := []gate.Hold{{Message: "the Service is locked: fair"}}
	badly := ended(2, "blog-2", "b", v1alpha1.ReasonRolledBack)
	for name, test := range map[string]struct {
		spec     *v1alpha1.TrackSpec
		ref, tip string
		tracking *v1alpha1.TrackingStatus
		current  *v1alpha1.ReleaseRecord
		history  []v1alpha1.ReleaseOutcome
		unready  string
		active   string
		gates    []gate.Hold
		want     Action
		words    string
	}{
		"a first look at a Service that runs nothing":    {tip: "a", want: Release, words: "branch main is aaaaaaaa"},
		"a first look at a Service that runs the tip":    {tip: "a", current: runs, want: Record, words: "which runs"},
		"a first look at a Service that runs another":    {tip: "c", current: runs, want: Release},
		"hosts were not looked at":                       {tip: "c", unready: "hosts are looked at", want: Wait, words: "hosts are looked at"},
		"the tip was acted on":                           {tip: "b", tracking: acted, want: None},
		"the tip was acted on and a person went back":    {tip: "b", tracking: acted, current: runs, history: []v1alpha1.ReleaseOutcome{ended(3, "back", "a", v1alpha1.ReasonSucceeded)}, want: None},
		"a person's Release to another commit and a new": {tip: "c", tracking: acted, current: runs, history: []v1alpha1.ReleaseOutcome{ended(3, "back", "a", v1alpha1.ReasonSucceeded)}, want: Release},
		"a new tip":                                        {tip: "c", tracking: acted, current: runs, want: Release},
		"a new tip that a person has released":             {tip: "a", tracking: acted, current: runs, want: Record},
		"a new tip while a Release is active":              {tip: "c", tracking: acted, active: "mine", want: Wait, words: "waits for Release mine"},
		"the tip that an active Release brings":            {tip: "b", tracking: acted, active: "blog-2", want: None},
		"a new tip under a lock":                           {tip: "c", tracking: acted, gates: locked, want: Wait, words: "locked: fair"},
		"its Release was rolled back":                      {tip: "c", tracking: acted, history: []v1alpha1.ReleaseOutcome{badly}, want: Paused, words: "set spec.track.resumeAfter to blog-2"},
		"its Release failed":                               {tip: "c", tracking: acted, history: []v1alpha1.ReleaseOutcome{ended(2, "blog-2", "b", v1alpha1.ReasonFailed)}, want: Paused},
		"paused and nothing new":                           {tip: "b", tracking: acted, history: []v1alpha1.ReleaseOutcome{badly}, want: Paused},
		"its Release was aborted":                          {tip: "c", tracking: acted, history: []v1alpha1.ReleaseOutcome{ended(2, "blog-2", "b", v1alpha1.ReasonAborted)}, want: Release},
		"a newer Release of a person failed":               {tip: "c", tracking: acted, history: []v1alpha1.ReleaseOutcome{ended(3, "mine", "d", v1alpha1.ReasonFailed), ended(2, "blog-2", "b", v1alpha1.ReasonSucceeded)}, want: Paused, words: "Release mine"},
		"a failure from before the tip was acted on":       {tip: "c", tracking: acted, history: []v1alpha1.ReleaseOutcome{ended(1, "old", "d", v1alpha1.ReasonFailed)}, want: Release},
		"a person's Release mended it":                     {tip: "c", tracking: acted, history: []v1alpha1.ReleaseOutcome{ended(3, "mine", "d", v1alpha1.ReasonSucceeded), badly}, want: Release},
		"a person's Release was aborted after the failure": {tip: "c", tracking: acted, history: []v1alpha1.ReleaseOutcome{ended(3, "mine", "d", v1alpha1.ReasonAborted), badly}, want: Paused},
		"resumed with another commit":                      {spec: resumed, tip: "c", tracking: acted, history: []v1alpha1.ReleaseOutcome{badly}, want: Release},
		"resumed with the bad commit":                      {spec: resumed, tip: "b", tracking: acted, history: []v1alpha1.ReleaseOutcome{badly}, want: None},
		"resumed and failed again":                         {spec: resumed, tip: "d", tracking: &v1alpha1.TrackingStatus{Ref: head, Commit: commit("c"), Sequence: 2}, history: []v1alpha1.ReleaseOutcome{ended(3, "blog-3", "c", v1alpha1.ReasonFailed), badly}, want: Paused, words: "blog-3"},
		"an earlier bad commit is the tip again":           {tip: "b", tracking: &v1alpha1.TrackingStatus{Ref: head, Commit: commit("c"), Sequence: 2}, history: []v1alpha1.ReleaseOutcome{badly}, want: Paused, words: "not released again"},
		"a bad commit that a person released since":        {tip: "b", tracking: &v1alpha1.TrackingStatus{Ref: head, Commit: commit("c"), Sequence: 4}, history: []v1alpha1.ReleaseOutcome{ended(3, "mine", "b", v1alpha1.ReasonSucceeded), badly}, want: Release},
		"another branch at the commit that runs":           {tip: "a", tracking: &v1alpha1.TrackingStatus{Ref: "refs/heads/dev", Commit: commit("b")}, current: runs, want: Record},
		"another branch at the commit that was acted on":   {tip: "b", tracking: &v1alpha1.TrackingStatus{Ref: "refs/heads/dev", Commit: commit("b")}, current: runs, want: Record},
		"another branch at another commit":                 {tip: "c", tracking: &v1alpha1.TrackingStatus{Ref: "refs/heads/dev", Commit: commit("b")}, current: runs, want: Release},
		"a newer tag":                                      {spec: tags, ref: "refs/tags/v1.10.0", tip: "c", tracking: &v1alpha1.TrackingStatus{Ref: "refs/tags/v1.9.0", Commit: commit("b")}, want: Release, words: "tag v1.10.0 of v*"},
		"the newest tag was deleted":                       {spec: tags, ref: "refs/tags/v1.9.0", tip: "b", tracking: &v1alpha1.TrackingStatus{Ref: "refs/tags/v1.10.0", Commit: commit("c")}, want: Gone, words: "tag v1.10.0 is gone"},
		"a tag that was moved":                             {spec: tags, ref: "refs/tags/v1.9.0", tip: "c", tracking: &v1alpha1.TrackingStatus{Ref: "refs/tags/v1.9.0", Commit: commit("b")}, want: Release},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			f := Facts{Spec: test.spec, Tip: gitsource.Resolved{Commit: commit(test.tip), Ref: test.ref}, Unready: test.unready, Active: test.active, Gates: test.gates}
			if f.Spec == nil {
				f.Spec = main
			}
			if f.Tip.Ref == "" {
				f.Tip.Ref = head
			}
			f.Status = &v1alpha1.ServiceStatus{Tracking: test.tracking, Current: test.current, History: test.history}
			got := Decide(f)
			g.Expect(got.Action).To(Equal(test.want), got.Words)
			g.Expect(got.Words).To(ContainSubstring(test.words))
		})
	}
}
