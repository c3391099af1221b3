// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package health judges what is seen of a host's health. It is pure: whoever asks the host, and when, is elsewhere.
package health

import (
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// Defaults, for checks that did not pass the API server.
const (
	DefaultInterval         = 5 * time.Second
	DefaultTimeout          = 5 * time.Second
	DefaultStartupGrace     = 30 * time.Second
	DefaultSuccessThreshold = 1
	DefaultFailureThreshold = 3
	// minInterval is how often one host is looked at at most.
	minInterval = time.Second
)

// Answer is what one look saw.
type Answer struct {
	// Well says whether it is what the check wants.
	Well bool
	// Said is what was seen, and what was wanted instead, for people. It holds no control characters.
	Said string
	// Refused says that the host lets nobody ask. Waiting helps nothing then: neither grace nor threshold applies.
	Refused bool
}

// Verdict is what is known of a host's health.
type Verdict string

// The verdicts. Open is that of a host that did not succeed yet, nor fail for long enough.
const (
	Open      Verdict = ""
	Healthy   Verdict = "Healthy"
	Unhealthy Verdict = "Unhealthy"
)

// State of one host's health:
//
//	       successThreshold successes in a row
//	Open ───────────────────────────────────────▶ Healthy
//	  │                                            │   ▲
//	  │ after startupGrace (or a first success):   │   │ successThreshold
//	  │ failureThreshold failures in a row         ▼   │ successes in a row
//	  └────────────────────────────────────────▶ Unhealthy
//
// The zero State is that of a host of which nothing is known, with its grace over. Looks that agree with the verdict are
// not counted.
type State struct {
	Verdict Verdict
	// GraceEnds is until when failures do not count.
	GraceEnds time.Time
	// Well and Bad are the looks in a row that succeeded and failed. At most one of them is not 0.
	Well, Bad int32
	// Said is what the look said that decided, or the last look while the verdict is open.
	Said string
	// Refused says that the host is Unhealthy only because nobody may ask it.
	Refused bool
}

// Begin is the State of a host that was switched at a time.
func Begin(check *v1alpha1.HealthCheck, switched time.Time) State {
	grace := DefaultStartupGrace
	if check.StartupGrace != nil {
		grace = check.StartupGrace.Duration
	}
	return State{GraceEnds: switched.Add(grace)}
}

// Reason for the verdict, as conditions tell it.
func (s State) Reason() string {
	switch {
	case s.Refused:
		return v1alpha1.ReasonForwardingRefused
	case s.Verdict == Open:
		return v1alpha1.ReasonCheckingHealth
	}
	return string(s.Verdict)
}

// Look takes what was seen at a time and returns the State that follows.
func (s State) Look(check *v1alpha1.HealthCheck, answer Answer, now time.Time) State {
	if answer.Refused {
		return State{Verdict: Unhealthy, Said: answer.Said, Refused: true}
	}
	if s.Verdict == Open || s.Refused {
		s.Said = answer.Said
	}
	s.Refused = false
	count, other := &s.Bad, &s.Well
	verdict, threshold := Unhealthy, orDefault(check.FailureThreshold, DefaultFailureThreshold)
	if answer.Well {
		count, other = other, count
		verdict, threshold = Healthy, orDefault(check.SuccessThreshold, DefaultSuccessThreshold)
		s.GraceEnds = time.Time{}
	}
	*other = 0
	if s.Verdict == verdict || now.Before(s.GraceEnds) {
		return s
	}
	if *count++; *count >= threshold {
		s.Verdict, s.Said, *count = verdict, answer.Said, 0
	}
	return s
}

// Settled says whether the verdict stands and nothing speaks against it: then the next look is not urgent.
func (s State) Settled() bool { return s.Verdict != Open && s.Well == 0 && s.Bad == 0 }

// Interval between looks.
func Interval(check *v1alpha1.HealthCheck) time.Duration {
	return max(orDefault(check.Interval.Duration, DefaultInterval), minInterval)
}

// Timeout of one look.
func Timeout(check *v1alpha1.HealthCheck) time.Duration {
	return orDefault(check.Timeout.Duration, DefaultTimeout)
}

func orDefault[T ~int32 | ~int64](value, otherwise T) T {
	if value <= 0 {
		return otherwise
	}
	return value
}
