// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// WayBack is how far the hosts are on their way back from a Release that failed.
type WayBack struct {
	// Returning hosts have still to be ordered back, or are on their way.
	Returning int
	// Stuck hosts can't be returned now: they do not answer, or failed to go back. Who comes back later goes on from there.
	Stuck []Fault
	// After is when that changes even if nothing happens; 0 if it does not.
	After time.Duration
}

// Back says how far Targets are on their way back to the current Release.
func Back(slot Slot, strategy Strategy, targets []v1alpha1.Target, now time.Time) WayBack {
	in := Input{Slot: slot, Strategy: strategy, Now: now}
	var way WayBack
	for _, host := range Hosts(targets) {
		moved := slot.rolls(host.Desired) && slot.stale(host.Desired) // one that fell behind before is no part of this
		if !moved && (host.Desired == nil || !Same(host.Desired, slot.Current) || !host.inFlight()) {
			continue
		}
		switch fault, after := in.stuck(&host); {
		case fault != "":
			way.Stuck = append(way.Stuck, Fault{Target: host.Target, Host: host.Name, Reason: fault})
		default:
			way.Returning++
			way.After = earlier(way.After, after)
		}
	}
	return way
}

// stuck says why a host can't go back now, if it can't; or after what time that will be so.
func (in *Input) stuck(h *Host) (why string, after time.Duration) {
	if why, after := in.unreachable(h); why != "" || after > 0 {
		return why, after
	}
	if !in.Slot.rolls(h.Desired) && h.gaveUp() {
		return h.trouble(), 0
	}
	return "", 0
}
