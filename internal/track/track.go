// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package track decides whether the tip of spec.track is released. It is pure.
package track

import (
	"fmt"
	"strings"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/gate"
	"github.com/slipway-dev/slipway/internal/gitsource"
)

// Action is what is to be done about a tip.
type Action int

const (
	// None says that the tip was acted on.
	None Action = iota
	// Wait says that nothing is done yet.
	Wait
	// Record says that the tip counts as acted on without a Release: it runs already.
	Record
	// Release says that a Release of the tip is to be made.
	Release
	// Paused says that nothing is released until a person has acted.
	Paused
	// Gone says that the tag which was acted on last is no more, and that nothing older is released for that.
	Gone
)

// Facts are all that is decided from.
type Facts struct {
	Spec *v1alpha1.TrackSpec
	// Tip as it was seen.
	Tip    gitsource.Resolved
	Status *v1alpha1.ServiceStatus
	// Unready says in words why nothing may be released at all yet; "" if it may.
	Unready string
	// Active is the name of a Release of the Service that has not ended; "" if all have.
	Active string
	// Gates that are shut now.
	Gates []gate.Hold
}

// Decision is what to do, and why in words for people.
type Decision struct {
	Action Action
	Words  string
}

// Decide decides.
func Decide(f Facts) Decision {
	tip, tracking, current := f.Tip, f.Status.Tracking, f.Status.Current
	said := Name(f.Spec, tip.Ref) + " is " + short(tip.Commit)
	if f.Unready != "" {
		return Decision{Wait, said + "; " + f.Unready}
	}
	if bad := stopped(f); bad != nil {
		return Decision{Paused, fmt.Sprintf("Release %s of %s ended %s, so nothing further is released by tracking (%s): mend it and create a Release "+
			"yourself, or set spec.track.resumeAfter to %s, after which the next other commit is released", bad.Release, short(bad.Commit), bad.Outcome, said, bad.Release)}
	}
	runs := current != nil && current.Commit == tip.Commit
	switch {
	case tracking != nil && tracking.Commit == tip.Commit && tracking.Ref == tip.Ref:
		return Decision{None, said}
	case tracking != nil && older(f.Spec.TagPattern, tip.Ref, tracking.Ref):
		return Decision{Gone, fmt.Sprintf("tag %s is gone from the repository; %s, which is older: nothing is released for that", strings.TrimPrefix(tracking.Ref, "refs/tags/"), said)}
	case f.Active != "":
		return Decision{Wait, fmt.Sprintf("%s; it waits for Release %s to end", said, f.Active)}
	case tracking != nil && tracking.Commit == tip.Commit:
		return Decision{Record, said + ", which was acted on"}
	case runs:
		return Decision{Record, said + ", which runs"}
	}
	if bad := wentWrong(f.Status, tip.Commit); bad != nil {
		return Decision{Paused, fmt.Sprintf("%s, which ended %s as Release %s: it is not released again by tracking; push a commit that mends it, or create a Release "+
			"of it yourself", said, bad.Outcome, bad.Release)}
	}
	if len(f.Gates) > 0 {
		return Decision{Wait, said + "; it waits: " + f.Gates[0].Message}
	}
	return Decision{Release, said}
}

// stopped is the Release that pauses tracking: the newest that ended well or badly since the tip was acted on, if it did
// badly and no person said to go on after it. Aborted and superseded ones decide nothing.
func stopped(f Facts) *v1alpha1.ReleaseOutcome {
	if f.Status.Tracking == nil {
		return nil
	}
	var newest *v1alpha1.ReleaseOutcome
	for i := range f.Status.History {
		entry := &f.Status.History[i]
		decisive := bad(entry) || entry.Outcome == v1alpha1.ReasonSucceeded
		if decisive && entry.Sequence > f.Status.Tracking.Sequence && (newest == nil || entry.Sequence > newest.Sequence) {
			newest = entry
		}
	}
	if newest == nil || !bad(newest) || newest.Release == f.Spec.ResumeAfter {
		return nil
	}
	return newest
}

// wentWrong is the last Release of a commit, if it ended badly.
func wentWrong(status *v1alpha1.ServiceStatus, commit string) *v1alpha1.ReleaseOutcome {
	var last *v1alpha1.ReleaseOutcome
	for i := range status.History {
		entry := &status.History[i]
		decisive := bad(entry) || entry.Outcome == v1alpha1.ReasonSucceeded
		if decisive && entry.Commit == commit && (last == nil || entry.Sequence > last.Sequence) {
			last = entry
		}
	}
	if last == nil || !bad(last) {
		return nil
	}
	return last
}

func bad(entry *v1alpha1.ReleaseOutcome) bool {
	return entry.Outcome == v1alpha1.ReasonFailed || entry.Outcome == v1alpha1.ReasonRolledBack
}

// older says whether a tag has a lower version than the one that was acted on.
func older(pattern, tip, before string) bool {
	a, b := gitsource.Version(tip, pattern), gitsource.Version(before, pattern)
	return a != nil && b != nil && a.LessThan(b)
}

// Name is how a tip is called: "branch main", "tag v1.4.2 of v*".
func Name(spec *v1alpha1.TrackSpec, ref string) string {
	if spec.TagPattern != "" {
		return "tag " + strings.TrimPrefix(ref, "refs/tags/") + " of " + spec.TagPattern
	}
	return "branch " + string(spec.Branch)
}

// short is the first eight digits of a commit.
func short(commit string) string { return commit[:min(8, len(commit))] }
