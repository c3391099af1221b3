// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
)

// failedAfter is how many attempts in a row may fail before a host counts as failed.
const failedAfter = 3

// blameless are the reasons of failures that are neither the host's fault nor the Release's: they are waited out.
var blameless = map[string]bool{
	v1alpha1.ReasonDepotUnavailable: true, v1alpha1.ReasonNotPermitted: true, v1alpha1.ReasonSecretNotFound: true,
	v1alpha1.ReasonFencedOff: true, v1alpha1.ReasonForeignOwner: true, v1alpha1.ReasonContentChanged: true,
}

// verdicts are the reasons of failures that were looked at often enough already: the health check and the load balancer have
// thresholds and limits of their own.
var verdicts = map[string]bool{v1alpha1.ReasonUnhealthy: true, v1alpha1.ReasonForwardingRefused: true, v1alpha1.ReasonReturnFailed: true}

// Fault is a host that a Release can't be brought to.
type Fault struct {
	// Target is the name of the Target, Host that of the host.
	Target, Host string
	// Reason in words.
	Reason string
}

// Standing is how the hosts stand to the Release that is being rolled out.
type Standing struct {
	// Total is how many hosts there are.
	Total int
	// Baked run it, and have been well for the bake time. Baking run it too, and have not yet.
	Baked, Baking int
	// Drifted took it and were changed since: a step does not wait for their repair, the end does.
	Drifted int
	// Failed did not take it, or went bad afterwards. Skipped were not moved to it, as they do not answer.
	Failed, Skipped []Fault
	// Absent have no order yet and do not answer: they boot, or will never be there. They hold nobody up but the end.
	Absent []Fault
	// Doubtful were moved to it and may turn out to be failed: an attempt went wrong, or they have just gone silent. What
	// they become is waited for before another host is moved, if they could be too many.
	Doubtful []Fault
	// Allowed is how many may be failed, skipped or absent when the Release succeeds.
	Allowed int
	// After is when the standing changes even if nothing happens; 0 if it does not.
	After time.Duration
}

// Over says whether more hosts failed or were skipped than may: no further host is moved to the Release.
func (s *Standing) Over() bool { return len(s.Failed)+len(s.Skipped) > s.Allowed }

// Closed says why no further host may be moved to the Release; empty if one may.
func (s *Standing) Closed() string {
	switch {
	case s.Over():
		return s.Sentence()
	case len(s.Doubtful) > 0 && len(s.Failed)+len(s.Skipped)+len(s.Doubtful) > s.Allowed:
		return "waiting for the verdict on " + Names(s.Doubtful)
	}
	return ""
}

// Arrived says whether every host runs the Release, but for those that may fail; one does at least.
func (s *Standing) Arrived() bool {
	behind := len(s.Failed) + len(s.Skipped) + len(s.Absent)
	return s.Baked+s.Baking > 0 && behind <= s.Allowed && s.Baked+s.Baking+behind == s.Total
}

// Done says whether they have all baked too.
func (s *Standing) Done() bool { return s.Arrived() && s.Baking == 0 }

// Sentence says who failed and who was skipped; empty if nobody.
func (s *Standing) Sentence() string {
	var parts []string
	if len(s.Failed) > 0 {
		parts = append(parts, fmt.Sprintf("%d failed (%s)", len(s.Failed), Names(s.Failed)))
	}
	if left := slices.Concat(s.Skipped, s.Absent); len(left) > 0 {
		parts = append(parts, fmt.Sprintf("%d skipped (%s)", len(left), Names(left)))
	}
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf("%s; %d of %d may (rollout.maxFailed)", strings.Join(parts, " and "), s.Allowed, s.Total)
}

// Names names hosts by what ails them: the first few of each ailment, and the first few ailments.
func Names(faults []Fault) string {
	const shown, length = 3, 160
	var reasons []string
	hosts := map[string][]string{}
	for _, f := range faults {
		reason := conditions.Shorten(f.Reason, length)
		if hosts[reason] == nil {
			reasons = append(reasons, reason)
		}
		hosts[reason] = append(hosts[reason], f.Host)
	}
	var parts []string
	unnamed := len(faults)
	for _, reason := range reasons[:min(shown, len(reasons))] {
		unnamed -= len(hosts[reason])
		parts = append(parts, few(hosts[reason], shown)+": "+reason)
	}
	if unnamed > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", unnamed))
	}
	return strings.Join(parts, "; ")
}

// few names the first of some hosts, and counts the others.
func few(hosts []string, shown int) string {
	if more := len(hosts) - shown; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(hosts[:shown], ", "), more)
	}
	return strings.Join(hosts, ", ")
}

// Stand says how Targets stand to the Release in the slot.
func Stand(slot Slot, strategy Strategy, targets []v1alpha1.Target, now time.Time) Standing {
	in := Input{Slot: slot, Strategy: strategy, Now: now}
	return in.stand(Hosts(targets))
}

func (in *Input) stand(hosts []Host) Standing {
	s := Standing{Total: len(hosts), Allowed: min(in.Strategy.allowed(len(hosts)), max(len(hosts)-1, 0))} // one must take it
	if in.Slot.Rolling == nil {
		return s
	}
	for i := range hosts {
		h := &hosts[i]
		switch fault, after := in.fault(h); {
		case fault != "" && in.Slot.rolls(h.Desired):
			s.Failed = append(s.Failed, Fault{Target: h.Target, Host: h.Name, Reason: fault})
		case fault != "" && h.Desired == nil:
			s.Absent = append(s.Absent, Fault{Target: h.Target, Host: h.Name, Reason: fault})
		case fault != "":
			s.Skipped = append(s.Skipped, Fault{Target: h.Target, Host: h.Name, Reason: fault})
		case after > 0:
			s.After = earlier(s.After, after)
			if in.Slot.rolls(h.Desired) {
				s.Doubtful = append(s.Doubtful, Fault{Target: h.Target, Host: h.Name, Reason: "it has just gone silent"})
			}
		case in.Slot.rolls(h.Desired) && h.inFlight() && h.Failures > 0 && !blameless[h.Failure]:
			s.Doubtful = append(s.Doubtful, Fault{Target: h.Target, Host: h.Name, Reason: fmt.Sprintf("%d of %d attempts failed", h.Failures, failedAfter)})
		case h.runs(in.Slot.Rolling):
			if left := in.Strategy.BakeTime - in.Now.Sub(h.CompletedAt); left > 0 {
				s.Baking++
				s.After = earlier(s.After, left)
			} else {
				s.Baked++
			}
		case in.Slot.rolls(h.Desired) && h.lost() && h.Available:
			s.Drifted++
		}
	}
	return s
}

// fault says why the rolling Release can't be brought to a host, if it can't; or after what time that will be so.
func (in *Input) fault(h *Host) (why string, after time.Duration) {
	if why, after := in.unreachable(h); why != "" || after > 0 {
		return why, after
	}
	if in.Slot.rolls(h.Desired) && (h.gaveUp() || h.Complete && h.Reachable && !h.Available) {
		return h.trouble(), 0
	}
	return "", 0
}

// unreachable says that a host does not answer, or after what time that counts.
func (in *Input) unreachable(h *Host) (why string, after time.Duration) {
	if h.UnreachableSince.IsZero() {
		return "", 0
	}
	if left := in.Strategy.UnreachableAfter - in.Now.Sub(h.UnreachableSince); left > 0 {
		return "", left
	}
	return "it does not answer", 0
}

// gaveUp says whether an order failed so often, or in such a way, that the host counts as failed. It is tried on all the same.
func (h *Host) gaveUp() bool {
	return h.inFlight() && !blameless[h.Failure] && (h.Failures >= failedAfter || h.Failures > 0 && (h.Stalled || verdicts[h.Failure]))
}

// trouble says in words what ails a host.
func (h *Host) trouble() string {
	switch {
	case h.Trouble != "" && h.Failure != "":
		return h.Failure + ": " + h.Trouble
	case h.Trouble != "":
		return h.Trouble
	case h.Failure != "":
		return h.Failure
	}
	return "it does not serve the Release"
}

// earlier is the smaller of two delays, where 0 is never.
func earlier(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
