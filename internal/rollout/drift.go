// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"slices"
	"time"
)

// drifting counts a host into a storm.
func drifting(h *Host) bool { return h.Drifted && h.Running != "" && h.Desired != nil }

// storm says whether more hosts drifted than may be unavailable.
func (in *Input) storm(hosts []Host, budget int) bool {
	n := 0
	for i := range hosts {
		h := &hosts[i]
		if drifting(h) && (in.ReportOnly == nil || !in.ReportOnly(h.Desired.Frozen)) {
			n++
		}
	}
	return n > budget
}

// unsettledDrift says whether a drift was found so lately that others may be about to be, and how long to wait.
func (in *Input) unsettledDrift(candidates []candidate) (string, time.Duration) {
	var wait time.Duration
	for _, c := range candidates {
		if c.repair && !in.asked(c.host) {
			wait = max(wait, in.Strategy.DriftQuiet-in.Now.Sub(c.host.DriftedSince))
		}
	}
	if wait <= 0 {
		return "", 0
	}
	return "waiting to see whether other hosts drifted too", wait
}

// withhold takes the repairs out of the candidates.
func withhold(candidates []candidate, plan *Plan, reason string) []candidate {
	return slices.DeleteFunc(candidates, func(c candidate) bool {
		if c.repair {
			plan.Holds = append(plan.Holds, Hold{Target: c.host.Target, Reason: reason})
		}
		return c.repair
	})
}
