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
	// Back: the hosts that were moved to Rolling return to Current. Rolling is held then.
	Back bool
	// Refused are the UIDs of Releases that were rolled back: no host goes on with one.
	Refused map[v1alpha1.UID]bool
}

// SlotOf reads a Service. paused is that of the Release which holds the slot.
func SlotOf(service *v1alpha1.Service, paused bool) Slot {
	status := &service.Status
	slot := Slot{Current: status.Current, Rolling: status.Rolling}
	switch {
	case slot.Rolling == nil:
	case status.Stopping != "":
		slot.Held, slot.Back = status.Stopping, status.RollingBack && slot.Current != nil
	case paused:
		slot.Held = v1alpha1.ReasonPaused
	}
	for i := range status.History {
		if entry := &status.History[i]; entry.Outcome == v1alpha1.ReasonRolledBack || entry.Reason == v1alpha1.ReasonRollbackIncomplete {
			if slot.Refused == nil {
				slot.Refused = map[v1alpha1.UID]bool{}
			}
			slot.Refused[entry.UID] = true
		}
	}
	return slot
}

// Same says whether two records order the same: one artifact, delivered in one way.
func Same(a, b *v1alpha1.ReleaseRecord) bool {
	return a.Digest == b.Digest && a.Frozen == b.Frozen
}

// moving says whether hosts may be moved to Rolling.
func (s Slot) moving() bool { return s.Rolling != nil && s.Held == "" }

// rolls says whether an order is the rolling Release's.
func (s Slot) rolls(order *v1alpha1.ReleaseRecord) bool {
	return s.Rolling != nil && order != nil && Same(order, s.Rolling)
}

// stale says whether a host must not stay with its order: the order's Release was or is rolled back, or the host did not
// answer while a later one completed without it.
func (s Slot) stale(order *v1alpha1.ReleaseRecord) bool {
	if s.Current == nil || order == nil || Same(order, s.Current) {
		return false
	}
	return s.Back && s.rolls(order) || s.Refused[order.UID] || order.Sequence < s.Current.Sequence
}

// Withdrawn says whether an order must not be carried out any more if it was not yet: the host goes to the current Release.
func Withdrawn(service *v1alpha1.Service, order *v1alpha1.ReleaseRecord) bool {
	return SlotOf(service, false).stale(order)
}

// Resolve answers what a host should run now, and says why. It is the one place that does: for rollout, for hosts that
// appear, for repair and for boot alike. It says nothing of when: that is the planner's. nil means nothing yet.
//
//	                        rolling, not held   rolling, held           rolling back            no rolling
//	host without an order   current, if any;    current, if any         current                 current, if any
//	                        else rolling
//	ordered rolling         rolling             rolling                 current                 -
//	ordered another         rolling             what it got to; if it   what it got to; if it   what it got to; if it
//	                                            never got to it,        never got to it,        never got to it,
//	                                            current                 current                 current
//	ordered a stale one     rolling             current                 current                 current
//
// A host without an order that runs rolling or current already keeps it: its record was lost, not its content.
func (s Slot) Resolve(host Host) (record *v1alpha1.ReleaseRecord, why string) {
	switch {
	case host.Desired == nil && s.Current != nil && host.Running == s.Current.Digest: // first: both may be one artifact
		return s.Current, "run the current Release already"
	case host.Desired == nil && s.Rolling != nil && !s.Back && host.Running == s.Rolling.Digest:
		return s.Rolling, "run the rolling Release already"
	case host.Desired == nil && s.Current != nil:
		return s.Current, "new: the current Release"
	case host.Desired == nil && s.moving():
		return s.Rolling, "new, and no Release has completed yet"
	case host.Desired == nil:
		return nil, "no Release has completed yet"
	case s.Back && s.stale(host.Desired):
		return s.Current, "back to the current Release"
	case s.rolls(host.Desired):
		return s.Rolling, "moved to the rolling Release before"
	case s.moving():
		return s.Rolling, "next in the rollout"
	case s.stale(host.Desired):
		return s.Current, s.catchUp(host.Desired)
	case s.Current != nil && !Same(host.Desired, s.Current) && !host.promoted():
		return s.Current, "back, as their Release was stopped before it arrived"
	default:
		return host.Desired, "keep what they got"
	}
}

// catchUp says why a host whose order is stale goes to the current Release.
func (s Slot) catchUp(order *v1alpha1.ReleaseRecord) string {
	if s.Refused[order.UID] {
		return "back, as their Release was rolled back"
	}
	return "behind: the current Release completed without them"
}
