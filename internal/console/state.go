// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/notify"
)

// State is how a Release or a Service is: a glyph and a word, so that colour alone never says it.
type State struct {
	// Key names the word in the catalogues, below "state.".
	Key string
	// Glyph stands before the word.
	Glyph string
	// Tone picks the colour: calm, busy, good, bad or warn.
	Tone string
}

var (
	queued      = State{"queued", "○", "calm"}
	building    = State{"building", "◔", "busy"}
	awaiting    = State{"awaiting", "⧖", "warn"}
	held        = State{"held", "⧖", "calm"}
	rolling     = State{"rolling", "◐", "busy"}
	rollingBack = State{"rollingBack", "↩", "warn"}
	paused      = State{"paused", "‖", "warn"}
	succeeded   = State{"succeeded", "✓", "good"}
	failed      = State{"failed", "✕", "bad"}
	aborted     = State{"aborted", "■", "calm"}
	superseded  = State{"superseded", "■", "calm"}
	rolledBack  = State{"rolledBack", "↩", "bad"}
	unknown     = State{"unknown", "?", "warn"}
	well        = State{"well", "✓", "good"}
	degraded    = State{"degraded", "▲", "warn"}
	mixed       = State{"mixed", "▲", "warn"}
	noTargets   = State{"noTargets", "▲", "warn"}
	notReleased = State{"notReleased", "○", "calm"}
	adoption    = State{"adoption", "⧖", "warn"}
)

// outcomes are the states of Releases that ended, by the reason of their condition Finished.
var outcomes = map[string]State{
	v1alpha1.ReasonSucceeded: succeeded, v1alpha1.ReasonFailed: failed, v1alpha1.ReasonAborted: aborted,
	v1alpha1.ReasonSuperseded: superseded, v1alpha1.ReasonRolledBack: rolledBack, "Deleted": aborted,
}

// ended says whether a Release has ended.
func ended(release *v1alpha1.Release) bool {
	return conditions.IsTrue(release.Status.Conditions, v1alpha1.ConditionFinished)
}

// releaseState says how a Release is.
func releaseState(release *v1alpha1.Release) State {
	status := &release.Status
	if ended(release) {
		if s, known := outcomes[conditions.Get(status.Conditions, v1alpha1.ConditionFinished).Reason]; known {
			return s
		}
		return unknown
	}
	switch reason := conditions.Get(status.Conditions, v1alpha1.ConditionReady).Reason; {
	case status.Rollback != nil:
		return rollingBack
	case notify.Gate(release) != "":
		return awaiting
	case release.Spec.Paused:
		return paused
	case status.HeldUntil != nil, reason == v1alpha1.ReasonLocked, reason == v1alpha1.ReasonWindowClosed:
		return held
	case conditions.IsTrue(status.Conditions, v1alpha1.ConditionPublished) && reason != v1alpha1.ReasonWaitingForSlot:
		return rolling
	case conditions.IsTrue(status.Conditions, v1alpha1.ConditionResolved) && !conditions.IsTrue(status.Conditions, v1alpha1.ConditionBuilt):
		return building
	}
	return queued
}

var serviceStates = map[string]State{
	"Ready": well, "Degraded": degraded, "RollingOut": rolling, "RollingBack": rollingBack, "ReleaseFailed": failed, "Mixed": mixed,
	"NoTargets": noTargets, "NotReleased": notReleased, "AdoptionRequired": adoption, "Releasing": building, "Discovering": queued, "Probing": queued,
}

// serviceState says how a Service is.
func serviceState(service *v1alpha1.Service) State {
	if conditions.IsTrue(service.Status.Conditions, v1alpha1.ConditionDriftStorm) {
		return State{"driftStorm", "▲", "bad"}
	}
	if s, known := serviceStates[service.Status.State]; known {
		return s
	}
	return unknown
}

// targetState says how a Target is.
func targetState(target *v1alpha1.Target) State {
	list := target.Status.Conditions
	ready := conditions.Get(list, v1alpha1.ConditionReady)
	switch {
	case conditions.IsTrue(list, v1alpha1.ConditionReady) && target.Status.ObservedGeneration == target.Generation:
		return well
	case conditions.Get(list, v1alpha1.ConditionReachable).Status == "False":
		return State{"unreachable", "✕", "bad"}
	case ready.Reason == v1alpha1.ReasonDelivering:
		return State{"delivering", "◐", "busy"}
	case conditions.IsTrue(list, v1alpha1.ConditionDrifted):
		return State{"drifted", "▲", "warn"}
	case target.Status.Delivery != nil && target.Status.Delivery.Failures > 0:
		return failed
	case ready.Reason == v1alpha1.ReasonWaitingForWave, ready.Reason == v1alpha1.ReasonNothingDelivered, ready.Reason == "":
		return queued
	}
	return degraded
}
