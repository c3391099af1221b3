// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"fmt"
	"math"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"
)

// limit is how many of total hosts may be ordered the rolling Release while the rollout is at a step. A pause holds what
// the steps before it reached; after the last step there is no limit.
func (s Strategy) limit(step, total int) int {
	if step >= len(s.Steps) {
		return math.MaxInt
	}
	limit := 0
	for _, before := range s.Steps[:step+1] {
		if before.Targets != nil {
			limit = max(limit, share(*before.Targets, total))
		}
	}
	return limit
}

// share is a number, or a percentage of total, which rounds up.
func share(value intstr.IntOrString, total int) int {
	n, err := intstr.GetScaledValueFromIntOrPercent(&value, total, true)
	if err != nil { // the API admits none such
		return 0
	}
	return n
}

// Step says in words what a rollout does at a step, and whether it has done that. after is when it will have, if only time
// is missing.
func (s Strategy) Step(index int, since time.Time, standing *Standing, now time.Time) (words string, done bool, after time.Duration) {
	if index >= len(s.Steps) {
		return "", true, 0
	}
	step, prefix := s.Steps[index], fmt.Sprintf("step %d of %d: ", index+1, len(s.Steps))
	if step.Pause != nil && step.Pause.UntilApproved {
		gate := StepGate(index)
		if missing := s.Approvals.Missing(gate); missing != "" {
			return prefix + "pause until it is approved by " + missing + " (gate " + gate + " of spec.approvals)", false, 0
		}
		return prefix + "approved by " + strings.Join(s.Approvals.Of(gate), " and "), true, 0
	}
	if step.Pause != nil {
		until := since.Add(step.Pause.Duration.Duration)
		words = prefix + "pause until " + until.UTC().Format("2006-01-02 15:04:05 UTC")
		return words, !now.Before(until), max(until.Sub(now), 0)
	}
	// A host that failed within the budget is no canary: another takes its place, while there are any.
	want := min(s.limit(index, standing.Total), standing.Total-len(standing.Skipped)-len(standing.Failed))
	words = fmt.Sprintf("%s%d of %d Targets", prefix, want, standing.Total)
	return words, standing.Total > 0 && standing.Baked+standing.Drifted >= want, 0
}

// Pausing says whether a rollout is at a pause.
func (s Strategy) Pausing(step int) bool { return step < len(s.Steps) && s.Steps[step].Pause != nil }

// Awaiting says whether a rollout is at a pause that ends when it is approved.
func (s Strategy) Awaiting(step int) bool {
	return s.Pausing(step) && s.Steps[step].Pause.UntilApproved
}
