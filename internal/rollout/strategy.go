// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

const (
	// DefaultMaxUnavailable stands in where a spec has none.
	DefaultMaxUnavailable = "25%"
	// DefaultConcurrency is how many hosts of one Service are delivered to at once, budget or no budget.
	DefaultConcurrency = 50
	// DefaultDriftQuiet is how long no further drift may have been found before one is repaired, so that a storm is
	// seen for what it is.
	DefaultDriftQuiet = 10 * time.Second
	// DefaultUnreachableAfter is how long a host may not answer before the rollout goes on without it: longer than it takes
	// to see that an instance was terminated, which is nobody's failure.
	DefaultUnreachableAfter = 2 * time.Minute

	// maxWave and maxRecords are the API's bounds of a wave.
	maxWave    = 500
	maxRecords = 4
)

// Strategy bounds how many hosts change at once.
type Strategy struct {
	// MaxUnavailable is a number, or a percentage of all Targets. A percentage rounds down, to at least 1.
	MaxUnavailable intstr.IntOrString
	// MaxFailed is a number, or a percentage of all Targets, which rounds down.
	MaxFailed intstr.IntOrString
	// OnFailure says what becomes of a Release that fails.
	OnFailure v1alpha1.FailurePolicy
	// ProgressDeadline is how long a rollout may go without progress.
	ProgressDeadline time.Duration
	// BakeTime is how long a Target must have been well after its switch before another is moved in its stead.
	BakeTime time.Duration
	// Steps of the rollout, and Approvals of those that wait for them.
	Steps     []v1alpha1.RolloutStep
	Approvals Approvals
	// Concurrency is how many hosts are delivered to at once. Default DefaultConcurrency.
	Concurrency int
	// DriftQuiet is how long to wait after the last drift that was found before repairing one.
	DriftQuiet time.Duration
	// UnreachableAfter is how long a host may not answer before it counts as skipped or failed.
	UnreachableAfter time.Duration
}

// StrategyOf takes a Service's rollout spec.
func StrategyOf(spec v1alpha1.RolloutSpec) Strategy {
	return Strategy{
		MaxUnavailable: spec.MaxUnavailable, MaxFailed: spec.MaxFailed, OnFailure: spec.OnFailure,
		ProgressDeadline: spec.ProgressDeadline.Duration, BakeTime: spec.BakeTime.Duration, Steps: spec.Steps,
		Concurrency: DefaultConcurrency, DriftQuiet: DefaultDriftQuiet, UnreachableAfter: DefaultUnreachableAfter,
	}
}

// allowed is how many of total Targets may fail.
func (s Strategy) allowed(total int) int {
	n, err := intstr.GetScaledValueFromIntOrPercent(&s.MaxFailed, total, false)
	if err != nil { // the API admits none such
		return 0
	}
	return max(n, 0)
}

// budget is how many of total Targets may be unavailable.
func (s Strategy) budget(total int) int {
	value := s.MaxUnavailable
	if value == (intstr.IntOrString{}) {
		value = intstr.FromString(DefaultMaxUnavailable)
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(&value, total, false)
	if err != nil { // the API admits none such
		n = 1
	}
	return max(n, 1)
}

func (s Strategy) concurrency() int {
	if s.Concurrency <= 0 {
		return DefaultConcurrency
	}
	return s.Concurrency
}
