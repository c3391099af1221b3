// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/notify"
	"github.com/slipway-dev/slipway/internal/phase"
)

// stage is one station of a Release's way.
type stage struct {
	// Key names it below "stage.".
	Key string
	// Number of a batch; To is the last one where several stand for one.
	Number, To int
	// Is is done, now, bad, or nothing yet.
	Is string
	// Done and Of count hosts; both are 0 where there are none to count.
	Done, Of int
	Took     time.Duration
}

// shownBatches is how many batches have a station of their own.
const shownBatches = 5

// stagesOf is the way of a Release, with where it is: Build, Approval if one is waited for or was given, the batches, Verify, Done.
// It is pure.
func stagesOf(release *v1alpha1.Release, batches []batch, waiting int) []stage {
	over, state, gate := phase.Ended(release), phase.OfRelease(release), ""
	if !over {
		gate = notify.Gate(release)
	}
	is := func(condition string) bool { return conditions.IsTrue(release.Status.Conditions, condition) }
	begin := stage{Key: "build", Is: "now", Took: buildTime(release)}
	switch {
	case is(v1alpha1.ConditionPublished) || is(v1alpha1.ConditionBuilt) && len(batches) > 0:
		begin.Is = "done"
	case over:
		begin.Is = "bad"
	}
	list := []stage{begin}
	approval := stage{Key: "approval", Is: "done"}
	if gate != "" {
		approval.Is = "now"
	}
	if asked := gate != "" || len(release.Spec.Approvals) > 0; asked && len(batches) == 0 {
		list = append(list, approval)
	}
	moved := batchStages(batches, over)
	list = append(list, moved...)
	if gate != "" && len(batches) > 0 {
		list = append(list, approval)
	}
	switch {
	case len(batches) == 0: // it did not get so far, or its hosts have gone on to another Release
		one := stage{Key: "rollOut"}
		switch {
		case is(v1alpha1.ConditionRolledOut):
			one.Is = "done"
		case is(v1alpha1.ConditionPublished) && over:
			one.Is = "bad"
		case is(v1alpha1.ConditionPublished) && gate == "" && heldBy(release) == "":
			one.Is = "now"
		}
		list = append(list, one)
	case waiting > 0 && !over:
		list = append(list, stage{Key: "rest", Of: waiting})
	}
	verify := stage{Key: "verify"}
	switch {
	case is(v1alpha1.ConditionVerified):
		verify.Is = "done"
	case is(v1alpha1.ConditionRolledOut) && over && state != phase.Succeeded:
		verify.Is = "bad"
	case is(v1alpha1.ConditionRolledOut) && !over:
		verify.Is = "now"
	}
	done := stage{Key: "done"}
	switch {
	case state == phase.Succeeded:
		done.Is = "done"
	case over:
		done.Is = "bad"
	}
	return append(list, verify, done)
}

// batchStages are the stations of batches; the first ones are one where there are many.
func batchStages(batches []batch, over bool) []stage {
	var list []stage
	for _, b := range batches {
		one := stage{Key: "batch", Number: b.Number, To: b.Number, Is: "now", Done: b.Done, Of: len(b.Targets)}
		switch {
		case b.Done == len(b.Targets):
			one.Is = "done"
		case b.Failed > 0:
			one.Is = "bad"
		case over:
			one.Is = ""
		}
		list = append(list, one)
	}
	for len(list) > shownBatches {
		first, second := list[0], list[1]
		if first.Is == "done" {
			first.Is = second.Is
		}
		first.Key, first.To, first.Done, first.Of = "batches", second.To, first.Done+second.Done, first.Of+second.Of
		list = append([]stage{first}, list[2:]...)
	}
	return list
}

// buildTime is how long the build took; 0 if it was none or still runs.
func buildTime(release *v1alpha1.Release) time.Duration {
	b := release.Status.Build
	if b == nil || b.StartTime == nil || b.CompletionTime == nil {
		return 0
	}
	return b.CompletionTime.Sub(b.StartTime.Time)
}

// batch is the hosts that were moved together.
type batch struct {
	Wave    int64
	Number  int
	Targets []targetRow
	Done    int
	Failed  int
}

// Percent of its hosts that run the Release.
func (b batch) Percent() int { return 100 * b.Done / max(len(b.Targets), 1) }

// batchesOf groups the hosts of a Release by the wave that they were moved in, and says who was not moved yet. It is pure.
func batchesOf(release *v1alpha1.Release, targets []v1alpha1.Target) (batches []batch, waiting []targetRow) {
	index := map[int64]int{}
	var waves []int64
	for _, row := range targetRows(targets) {
		if !belongs(release, row.Target) {
			waiting = append(waiting, row)
			continue
		}
		wave := row.Target.Spec.Wave
		if _, known := index[wave]; !known {
			index[wave] = -1
			waves = append(waves, wave)
		}
	}
	sortInts(waves)
	for i, wave := range waves {
		index[wave] = i
		batches = append(batches, batch{Wave: wave, Number: i + 1})
	}
	for _, row := range targetRows(targets) {
		if !belongs(release, row.Target) {
			continue
		}
		b := &batches[index[row.Target.Spec.Wave]]
		b.Targets = append(b.Targets, row)
		switch {
		case row.State == phase.Well:
			b.Done++
		case row.State.Tone == "bad":
			b.Failed++
		}
	}
	return batches, waiting
}

// belongs says whether a host is ordered a Release.
func belongs(release *v1alpha1.Release, target *v1alpha1.Target) bool {
	order := target.Spec.Artifact
	return order != nil && (order.UID == v1alpha1.UID(release.UID) || order.UID == "" && order.Release == release.Name)
}

// shownRows is how many hosts of a batch its Release's page names: those in trouble and under way are the first.
const shownRows = 50

func firstRows(rows []targetRow) []targetRow { return rows[:min(len(rows), shownRows)] }

func otherRows(rows []targetRow) int { return max(len(rows)-shownRows, 0) }
