// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"slices"
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/phase"
)

// figuresOver is the time that the figures speak of.
const figuresOver = 30 * 24 * time.Hour

// timelineWidth is how long the line is on which Releases stand, timelineMark how wide the mark of one.
const timelineWidth, timelineMark = 280, 11

// figures are the four that DORA found to tell teams apart (https://dora.dev/guides/dora-metrics-four-keys/), of one Service,
// from the Releases that are kept.
type figures struct {
	// Releases that ended within the time, and how many of them succeeded and failed; a failure is one that failed or was rolled
	// back.
	Releases, Succeeded, Failed int
	// PerWeek is how often one succeeded.
	PerWeek float64
	// LeadTime is the median from a commit to its being live; 0 if it is not known.
	LeadTime time.Duration
	// FailureRate in percent.
	FailureRate int
	// Restore is the median from a failure to the next success; 0 if there was none.
	Restore time.Duration
	// Bars are the Releases of the time, the oldest first: where each is on a line of timelineWidth, and how it ended.
	Bars []bar
}

// bar is one Release on the timeline.
type bar struct {
	X     int
	State phase.Phase
	Name  string
	Path  string
}

// figuresOf counts. releases are those of one Service, the newest first. It is pure.
func figuresOf(releases []*v1alpha1.Release, now time.Time) *figures {
	f := &figures{}
	since := now.Add(-figuresOver)
	var leads, restores []time.Duration
	var failedAt time.Time
	first := now
	for _, r := range slices.Backward(releases) {
		if !phase.Ended(r) || r.Status.CompletionTime == nil || r.Status.CompletionTime.Time.Before(since) {
			continue
		}
		end, state := r.Status.CompletionTime.Time, phase.OfRelease(r)
		switch state.Key {
		case "succeeded":
			f.Succeeded++
			if d := r.Status.Described; d != nil && d.Time != nil && end.After(d.Time.Time) {
				leads = append(leads, end.Sub(d.Time.Time))
			}
			if !failedAt.IsZero() {
				restores, failedAt = append(restores, end.Sub(failedAt)), time.Time{}
			}
		case "failed", "rolledBack":
			f.Failed++
			if failedAt.IsZero() {
				failedAt = end
			}
		default: // superseded and aborted Releases are neither
			continue
		}
		if end.Before(first) {
			first = end
		}
		f.Releases++
		f.Bars = append(f.Bars, bar{X: int(timelineWidth * end.Sub(since) / figuresOver), State: state, Name: r.Name, Path: "/r/" + r.Namespace + "/" + r.Name})
	}
	spread(f.Bars)
	if f.Releases > 0 {
		f.FailureRate = 100 * f.Failed / f.Releases
	}
	weeks := max(now.Sub(first), 7*24*time.Hour).Hours() / (7 * 24)
	f.PerWeek = float64(f.Succeeded) / weeks
	f.LeadTime, f.Restore = median(leads), median(restores)
	return f
}

// spread keeps marks on the timeline from lying on each other, where there is room.
func spread(bars []bar) {
	limit := timelineWidth
	for i := range slices.Backward(bars) {
		bars[i].X = max(min(bars[i].X, limit), 0)
		limit = bars[i].X - timelineMark
	}
}

func median(list []time.Duration) time.Duration {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[len(list)/2]
}
