// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package phase says how Releases, Services and Targets are, in the words that the Console and the kubectl plugin share. It is pure.
package phase

import (
	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/notify"
)

// Phase is how a Release or a Service is: a glyph and a word, so that colour alone never says it.
type Phase struct {
	// Key names the word in the catalogues, below "state.".
	Key string
	// Glyph stands before the word.
	Glyph string
	// Tone picks the colour: calm, busy, good, bad or warn.
	Tone string
}

// Phases, by their English words.
var (
	Queued      = Phase{"queued", "○", "calm"}
	Building    = Phase{"building", "◔", "busy"}
	Awaiting    = Phase{"awaiting", "⧖", "warn"}
	Held        = Phase{"held", "⧖", "calm"}
	Rolling     = Phase{"rolling", "◐", "busy"}
	RollingBack = Phase{"rollingBack", "↩", "warn"}
	Paused      = Phase{"paused", "‖", "warn"}
	Succeeded   = Phase{"succeeded", "✓", "good"}
	Failed      = Phase{"failed", "✕", "bad"}
	Aborted     = Phase{"aborted", "■", "calm"}
	Superseded  = Phase{"superseded", "■", "calm"}
	RolledBack  = Phase{"rolledBack", "↩", "bad"}
	Unknown     = Phase{"unknown", "?", "warn"}
	Well        = Phase{"well", "✓", "good"}
	Degraded    = Phase{"degraded", "▲", "warn"}
	Mixed       = Phase{"mixed", "▲", "warn"}
	NoTargets   = Phase{"noTargets", "▲", "warn"}
	NotReleased = Phase{"notReleased", "○", "calm"}
	Adoption    = Phase{"adoption", "⧖", "warn"}
)

// words are those of English for the others; the catalogues of the Console have them too.
var words = map[string]string{
	"queued": "Queued", "building": "Building", "awaiting": "Awaiting approval", "held": "Held", "rolling": "Rolling out", "rollingBack": "Rolling back",
	"paused": "Paused", "succeeded": "Succeeded", "failed": "Failed", "aborted": "Aborted", "superseded": "Superseded", "rolledBack": "Rolled back",
	"unknown": "Unknown", "well": "Healthy", "degraded": "Degraded", "mixed": "Mixed", "noTargets": "No hosts", "notReleased": "Not released",
	"adoption": "Needs adoption", "driftStorm": "Drift storm", "unreachable": "Unreachable", "delivering": "Delivering", "drifted": "Changed on the host",
}

// Word is the phase in English.
func (p Phase) Word() string { return words[p.Key] }

// outcomes are the states of Releases that ended, by the reason of their condition Finished.
var outcomes = map[string]Phase{
	v1alpha1.ReasonSucceeded: Succeeded, v1alpha1.ReasonFailed: Failed, v1alpha1.ReasonAborted: Aborted,
	v1alpha1.ReasonSuperseded: Superseded, v1alpha1.ReasonRolledBack: RolledBack, "Deleted": Aborted,
}

// Ended says whether a Release has ended.
func Ended(release *v1alpha1.Release) bool {
	return conditions.IsTrue(release.Status.Conditions, v1alpha1.ConditionFinished)
}

// OfRelease says how a Release is.
func OfRelease(release *v1alpha1.Release) Phase {
	status := &release.Status
	if Ended(release) {
		if s, known := outcomes[conditions.Get(status.Conditions, v1alpha1.ConditionFinished).Reason]; known {
			return s
		}
		return Unknown
	}
	switch reason := conditions.Get(status.Conditions, v1alpha1.ConditionReady).Reason; {
	case status.Rollback != nil:
		return RollingBack
	case notify.Gate(release) != "":
		return Awaiting
	case release.Spec.Paused:
		return Paused
	case status.HeldUntil != nil, reason == v1alpha1.ReasonLocked, reason == v1alpha1.ReasonWindowClosed:
		return Held
	case conditions.IsTrue(status.Conditions, v1alpha1.ConditionPublished) && reason != v1alpha1.ReasonWaitingForSlot:
		return Rolling
	case conditions.IsTrue(status.Conditions, v1alpha1.ConditionResolved) && !conditions.IsTrue(status.Conditions, v1alpha1.ConditionBuilt):
		return Building
	}
	return Queued
}

var serviceStates = map[string]Phase{
	"Ready": Well, "Degraded": Degraded, "RollingOut": Rolling, "RollingBack": RollingBack, "ReleaseFailed": Failed, "Mixed": Mixed,
	"NoTargets": NoTargets, "NotReleased": NotReleased, "AdoptionRequired": Adoption, "Releasing": Building, "Discovering": Queued, "Probing": Queued,
}

// OfService says how a Service is.
func OfService(service *v1alpha1.Service) Phase {
	if conditions.IsTrue(service.Status.Conditions, v1alpha1.ConditionDriftStorm) {
		return Phase{"driftStorm", "▲", "bad"}
	}
	if s, known := serviceStates[service.Status.State]; known {
		return s
	}
	return Unknown
}

// OfTarget says how a Target is.
func OfTarget(target *v1alpha1.Target) Phase {
	list := target.Status.Conditions
	ready := conditions.Get(list, v1alpha1.ConditionReady)
	switch {
	case conditions.IsTrue(list, v1alpha1.ConditionReady) && target.Status.ObservedGeneration == target.Generation:
		return Well
	case conditions.Get(list, v1alpha1.ConditionReachable).Status == "False":
		return Phase{"unreachable", "✕", "bad"}
	case ready.Reason == v1alpha1.ReasonDelivering:
		return Phase{"delivering", "◐", "busy"}
	case conditions.IsTrue(list, v1alpha1.ConditionDrifted):
		return Phase{"drifted", "▲", "warn"}
	case target.Status.Delivery != nil && target.Status.Delivery.Failures > 0:
		return Failed
	case ready.Reason == v1alpha1.ReasonWaitingForWave, ready.Reason == v1alpha1.ReasonNothingDelivered, ready.Reason == "":
		return Queued
	}
	return Degraded
}
