// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

func TestWhatMayBeTakenOver(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	entry := func(commit, outcome string, ago time.Duration) v1alpha1.ReleaseOutcome {
		return v1alpha1.ReleaseOutcome{Release: "staging-" + commit, Commit: commit, Digest: "digest of " + commit, Outcome: outcome, Time: &metav1.Time{Time: noon.Add(-ago)}}
	}
	const good = v1alpha1.ReasonSucceeded
	for name, c := range map[string]struct {
		history []v1alpha1.ReleaseOutcome // the newest first
		rolling string
		bake    time.Duration
		want    Verdict
	}{
		"nothing was released":   {want: Verdict{Words: "Service staging has not released this commit yet"}},
		"something else was":     {history: []v1alpha1.ReleaseOutcome{entry("b", good, time.Hour)}, want: Verdict{Words: "Service staging has not released this commit yet"}},
		"it is being rolled out": {rolling: "a", want: Verdict{Words: "Release rolling of Service staging is being rolled out"}},
		"it runs":                {history: []v1alpha1.ReleaseOutcome{entry("a", good, time.Minute)}, want: Verdict{Ready: true, Release: "staging-a", Digest: "digest of a", Words: "Release staging-a of Service staging ran it for 1m0s"}},
		"it runs and another is rolled out": {
			history: []v1alpha1.ReleaseOutcome{entry("a", good, time.Hour)}, rolling: "b", bake: time.Hour,
			want: Verdict{Ready: true, Release: "staging-a", Digest: "digest of a", Words: "Release staging-a of Service staging ran it for 1h0m0s"},
		},
		"it has not baked": {
			history: []v1alpha1.ReleaseOutcome{entry("a", good, 12*time.Minute)}, bake: time.Hour,
			want: Verdict{Release: "staging-a", Digest: "digest of a", After: 48 * time.Minute, Words: "Service staging has run it for 12m0s of 1h0m0s; it goes on at 2026-11-23 12:48:00 UTC"},
		},
		"it had baked when it was replaced": {
			history: []v1alpha1.ReleaseOutcome{entry("b", good, time.Minute), entry("a", good, 2*time.Hour)}, bake: time.Hour,
			want: Verdict{Ready: true, Release: "staging-a", Digest: "digest of a", Words: "Release staging-a of Service staging ran it for 1h59m0s"},
		},
		"it was replaced before it had baked": {
			history: []v1alpha1.ReleaseOutcome{entry("b", good, 90*time.Minute), entry("a", good, 2*time.Hour)}, bake: time.Hour,
			want: Verdict{Refused: true, Release: "staging-a", Digest: "digest of a", Words: "Service staging ran it for 30m0s of 1h0m0s before Release staging-b replaced it: release it there again"},
		},
		"one that failed replaced nothing": {
			history: []v1alpha1.ReleaseOutcome{entry("b", v1alpha1.ReasonRolledBack, 90*time.Minute), entry("a", good, 2*time.Hour)}, bake: time.Hour,
			want: Verdict{Ready: true, Release: "staging-a", Digest: "digest of a", Words: "Release staging-a of Service staging ran it for 2h0m0s"},
		},
		"they went back from it": {
			history: []v1alpha1.ReleaseOutcome{entry("z", good, time.Minute), entry("a", good, 2*time.Hour), entry("z", good, 3*time.Hour)},
			want:    Verdict{Refused: true, Release: "staging-a", Digest: "digest of a", Words: "Service staging went back from it: Release staging-z returned to what was there before"},
		},
		"they went back from it and released it again": {
			history: []v1alpha1.ReleaseOutcome{entry("a", good, time.Minute), entry("z", good, time.Hour), entry("a", good, 2*time.Hour), entry("z", good, 3*time.Hour)},
			want:    Verdict{Ready: true, Release: "staging-a", Digest: "digest of a", Words: "Release staging-a of Service staging ran it for 1m0s"},
		},
		"it was rolled back": {history: []v1alpha1.ReleaseOutcome{entry("a", v1alpha1.ReasonRolledBack, time.Minute)}, want: Verdict{Refused: true, Words: "Service staging did not take it: Release staging-a ended as RolledBack"}},
		"it was rolled back and is tried again": {
			history: []v1alpha1.ReleaseOutcome{entry("a", v1alpha1.ReasonRolledBack, time.Minute)}, rolling: "a", want: Verdict{Words: "Release rolling of Service staging is being rolled out"},
		},
		"it was aborted": {history: []v1alpha1.ReleaseOutcome{entry("a", v1alpha1.ReasonAborted, time.Minute)}, want: Verdict{Words: "Service staging has not released this commit yet"}},
	} {
		t.Run(name, func(t *testing.T) {
			other := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Name: "staging"}, Status: v1alpha1.ServiceStatus{History: c.history}}
			if c.rolling != "" {
				other.Status.Rolling = &v1alpha1.ReleaseRecord{Release: "rolling", Commit: c.rolling}
			}
			NewWithT(t).Expect(Judge(other, "a", c.bake, noon)).To(Equal(c.want))
		})
	}
}
