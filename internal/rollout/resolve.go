// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import "github.com/slipway-dev/slipway/api/v1alpha1"

// Slot is what a Service releases.
type Slot struct {
	// Current is the last Release that completed; nil before the first.
	Current *v1alpha1.ReleaseRecord
	// Rolling is the Release that holds the rollout slot; nil if none does.
	Rolling *v1alpha1.ReleaseRecord
	// Held says in one word why no further host is moved to Rolling (Paused, or why it is stopping); empty if nothing
	// holds it.
	Held string
}

// SlotOf reads a Service. paused is that of the Release which holds the slot.
func SlotOf(service *v1alpha1.Service, paused bool) Slot {
	slot := Slot{Current: service.Status.Current, Rolling: service.Status.Rolling}
	switch {
	case slot.Rolling == nil:
	case service.Status.Stopping != "":
		slot.Held = service.Status.Stopping
	case paused:
		slot.Held = v1alpha1.ReasonPaused
	}
	return slot
}

// Same says whether two records order the same: one artifact, delivered in one way.
func Same(a, b *v1alpha1.ReleaseRecord) bool {
	return a.Digest == b.Digest && a.Frozen == b.Frozen
}

// Resolve answers what a host should run now, and says why. It is the one place that does: for rollout, for hosts that
// appear, for repair and for boot alike. It says nothing of when: that is the planner's. nil means nothing yet.
//
//	                        rolling, not held   rolling, held           no rolling
//	host without an order   current, if any;    current, if any         current, if any
//	                        else rolling
//	ordered rolling         rolling             rolling                 -
//	ordered another         rolling             what it got to; if it   what it got to; if it
//	                                            never got to it,        never got to it,
//	                                            current                 current
//
// A host without an order that runs rolling or current already keeps it: its record was lost, not its content.
func (s Slot) Resolve(host Host) (record *v1alpha1.ReleaseRecord, why string) {
	moving := s.Rolling != nil && s.Held == ""
	switch {
	case host.Desired == nil && s.Current != nil && host.Running == s.Current.Digest: // first: both may be one artifact
		return s.Current, "run the current Release already"
	case host.Desired == nil && s.Rolling != nil && host.Running == s.Rolling.Digest:
		return s.Rolling, "run the rolling Release already"
	case host.Desired == nil && s.Current != nil:
		return s.Current, "new: the current Release"
	case host.Desired == nil && moving:
		return s.Rolling, "new, and no Release has completed yet"
	case host.Desired == nil:
		return nil, "no Release has completed yet"
	case s.Rolling != nil && Same(host.Desired, s.Rolling):
		return s.Rolling, "moved to the rolling Release before"
	case moving:
		return s.Rolling, "next in the rollout"
	case s.Current != nil && !Same(host.Desired, s.Current) && !host.promoted():
		return s.Current, "back, as their Release was stopped before it arrived"
	default:
		return host.Desired, "keep what they got"
	}
}
