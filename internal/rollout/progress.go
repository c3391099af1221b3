// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// Hosts observes Targets.
func Hosts(targets []v1alpha1.Target) []Host {
	hosts := make([]Host, len(targets))
	for i := range targets {
		hosts[i] = Observe(&targets[i])
	}
	return hosts
}

// Runs says whether a Target runs a record: ordered, delivered, looked at and found well.
func Runs(target *v1alpha1.Target, record *v1alpha1.ReleaseRecord) bool {
	host := Observe(target)
	return host.runs(record)
}

// Settled says whether no Target is on its way to a record any more: each that was ordered it runs it, or failed to get
// there at least once; and no member of the recorded wave waits for its order to be written. A Release that stops leaves
// the slot only then.
func Settled(service *v1alpha1.Service, targets []v1alpha1.Target, record *v1alpha1.ReleaseRecord) bool {
	for _, write := range Unwritten(service.Status.Wave, targets) {
		if Same(&write.Record, record) {
			return false
		}
	}
	for i := range targets {
		host := Observe(&targets[i])
		if host.busy() && !host.FencedOff && Same(host.Desired, record) {
			return false
		}
	}
	return true
}

// Count counts Targets; Updated are those that run the rolling Release, or the current one when none rolls.
func Count(slot Slot, targets []v1alpha1.Target) v1alpha1.TargetCounts {
	return count(slot, Hosts(targets))
}

// Storm says whether more Targets drifted at once than may be unavailable, so that repair waits for a person.
func Storm(strategy Strategy, targets []v1alpha1.Target) bool {
	in := Input{Strategy: strategy}
	return in.storm(Hosts(targets), strategy.budget(len(targets)))
}

// Deadline says when a rollout that last made progress at some time is given up, and whether that time has come.
// Before any progress, began counts. left is what remains, never negative.
func Deadline(began, progressed, now time.Time, limit time.Duration) (left time.Duration, exceeded bool) {
	last := began
	if progressed.After(last) {
		last = progressed
	}
	left = last.Add(limit).Sub(now)
	if left <= 0 {
		return 0, true
	}
	return left, false
}
