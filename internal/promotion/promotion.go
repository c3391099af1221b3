// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package promotion decides whether what one Service has released may be released by another. It is pure.
package promotion

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/rollout"
)

// Verdict says whether a commit may be taken over, and what.
type Verdict struct {
	// Release of the other Service, and the Digest of its artifact. Empty if it has released none yet.
	Release, Digest string
	// Ready: it may be taken over now. Refused: it never may.
	Ready, Refused bool
	// Words say why it may not, or what it did there.
	Words string
	// After is when only time is missing.
	After time.Duration
}

// Judge looks at what the other Service did with a commit. Its history has the newest first.
func Judge(other *v1alpha1.Service, commit string, bake time.Duration, now time.Time) Verdict {
	status, name := &other.Status, other.Name
	done := slices.IndexFunc(status.History, func(o v1alpha1.ReleaseOutcome) bool {
		return o.Commit == commit && o.Outcome == rollout.Succeeded && o.Time != nil
	})
	if rolling := status.Rolling; rolling != nil && rolling.Commit == commit && done < 0 {
		return Verdict{Words: fmt.Sprintf("Release %s of Service %s is being rolled out", rolling.Release, name)}
	}
	if done < 0 {
		if failed := slices.IndexFunc(status.History, func(o v1alpha1.ReleaseOutcome) bool { return o.Commit == commit && bad(o.Outcome) }); failed >= 0 {
			o := status.History[failed]
			return Verdict{Refused: true, Words: fmt.Sprintf("Service %s did not take it: Release %s ended as %s", name, o.Release, o.Outcome)}
		}
		return Verdict{Words: fmt.Sprintf("Service %s has not released this commit yet", name)}
	}
	entry := status.History[done]
	v := Verdict{Release: entry.Release, Digest: entry.Digest}
	until, replaced := now, (*v1alpha1.ReleaseOutcome)(nil)
	for i := done - 1; i >= 0; i-- {
		if next := &status.History[i]; next.Outcome == rollout.Succeeded && next.Digest != entry.Digest && next.Time != nil {
			until, replaced = next.Time.Time, next
			break
		}
	}
	if replaced != nil && slices.ContainsFunc(status.History[done+1:], func(o v1alpha1.ReleaseOutcome) bool {
		return o.Outcome == rollout.Succeeded && o.Digest == replaced.Digest
	}) {
		v.Refused, v.Words = true, fmt.Sprintf("Service %s went back from it: Release %s returned to what was there before", name, replaced.Release)
		return v
	}
	baked := max(until.Sub(entry.Time.Time), 0)
	switch {
	case baked >= bake:
		v.Ready, v.Words = true, fmt.Sprintf("Release %s of Service %s ran it for %s", entry.Release, name, baked.Round(time.Second))
	case replaced != nil:
		v.Refused, v.Words = true, fmt.Sprintf("Service %s ran it for %s of %s before Release %s replaced it: release it there again",
			name, baked.Round(time.Second), bake, replaced.Release)
	default:
		v.After = bake - baked
		v.Words = fmt.Sprintf("Service %s has run it for %s of %s; it goes on at %s", name, baked.Round(time.Second), bake,
			entry.Time.Add(bake).UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	return v
}

func bad(outcome string) bool {
	return outcome == rollout.Failed || outcome == v1alpha1.ReasonRolledBack
}

// Key stands in for a build key where nothing is built: one artifact of one Service.
func Key(service v1alpha1.UID, digest string) string {
	sum := sha256.Sum256([]byte("slipway promotion 1\n" + string(service) + "\n" + digest))
	return "p1-" + hex.EncodeToString(sum[:])
}
