// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package rollout plans which Targets of a Service move now. It is pure: what is released, what is known of the hosts
// and the clock go in; a plan with its reasons comes out. Rollout, rollback, repair and hosts that appear all go
// through it, under one budget.
package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// Input is all that a plan depends on.
type Input struct {
	Slot     Slot
	Strategy Strategy
	Hosts    []Host
	// AdoptFrom is the UID of an earlier Service whose hosts may be taken over; empty if none may.
	AdoptFrom v1alpha1.UID
	// ReportOnly says of a frozen spec whether drift is only reported (deploy.drift: Report). nil: it is repaired.
	ReportOnly func(frozen string) bool
	Now        time.Time
}

// Member is one Target that moves now.
type Member struct {
	Target string
	UID    v1alpha1.UID
	Record v1alpha1.ReleaseRecord
	// Fence of the order: the host's permit to switch once.
	Fence int64
	// Reason in words.
	Reason string
}

// Hold is one Target that should move and may not yet.
type Hold struct {
	Target string
	// Reason in words.
	Reason string
}

// Plan is what to do now.
type Plan struct {
	// Members move now, in this order.
	Members []Member
	// Reason sums the members' up, in words.
	Reason string
	// Holds are those that should move and may not yet.
	Holds []Hold
	// Storm: more hosts drifted at once than may be unavailable, and repair waits for a person.
	Storm bool
	// Done: there are Targets, and every one runs the rolling Release well.
	Done bool
	// Counts of the Targets; Updated are those that run the rolling Release, or the current one when none rolls.
	Counts v1alpha1.TargetCounts
	// After is when to plan again even if nothing happens; 0 if only an event can change the plan.
	After time.Duration
}

// candidate is a host that should move.
type candidate struct {
	host   *Host
	record *v1alpha1.ReleaseRecord
	reason string
	repair bool
}

// Compute plans.
func Compute(in Input) Plan {
	hosts := slices.Clone(in.Hosts)
	slices.SortFunc(hosts, func(a, b Host) int { return cmp.Compare(a.Target, b.Target) })
	budget := in.Strategy.budget(len(hosts))
	plan := Plan{Counts: count(in.Slot, hosts)}
	plan.Done = in.Slot.Rolling != nil && len(hosts) > 0 && int(plan.Counts.Updated) == len(hosts)
	plan.Storm = in.storm(hosts, budget)

	candidates := in.candidates(hosts, &plan)
	if hold, after := in.unsettledDrift(candidates); hold != "" {
		plan.After = after
		candidates = withhold(candidates, &plan, hold)
	}
	in.admit(candidates, hosts, budget, &plan)
	plan.Reason = plan.sentence(in.Slot, hosts, budget)
	return plan
}

// candidates lists the hosts that should move, those that are unavailable first, and holds those that can't at all.
func (in *Input) candidates(hosts []Host, plan *Plan) []candidate {
	var movable []candidate
	for i := range hosts {
		host := &hosts[i]
		c, wanted := in.candidate(host)
		if !wanted {
			continue
		}
		if obstacle := in.obstacle(host, c, plan.Storm); obstacle != "" {
			plan.Holds = append(plan.Holds, Hold{Target: host.Target, Reason: obstacle})
			continue
		}
		movable = append(movable, c)
	}
	slices.SortStableFunc(movable, func(a, b candidate) int { return in.rank(a) - in.rank(b) })
	return movable
}

// rank brings first those whose move costs nothing.
func (in *Input) rank(c candidate) int {
	switch {
	case c.host.refused():
		return 0
	case in.free(c):
		return 1
	default:
		return 2
	}
}

// free says whether a move takes nothing from those who serve: the host doesn't, or goes on as it does.
func (in *Input) free(c candidate) bool {
	return in.Slot.unavailable(c.host) || in.Slot.changesNothing(c.host, c.record)
}

// candidate says whether a host should move at all, and where to.
func (in *Input) candidate(host *Host) (candidate, bool) {
	record, why := in.Slot.Resolve(*host)
	switch {
	case record == nil:
		return candidate{}, false
	case host.Desired == nil || !Same(host.Desired, record):
		return candidate{host: host, record: record, reason: why}, true
	case host.refused():
		return candidate{host: host, record: record, reason: "refused for their fence"}, true
	case host.lost():
		if host.Running != "" && in.ReportOnly != nil && in.ReportOnly(record.Frozen) && !in.asked(host) {
			return candidate{}, false
		}
		reason := "changed on the host"
		if host.Running == "" {
			reason = "nothing is live there any more"
		}
		return candidate{host: host, record: record, reason: reason, repair: host.Running != ""}, true
	}
	return candidate{}, false
}

// asked says whether a person's Release asks for just what the host should run: then it is delivered anew, storm or not.
func (in *Input) asked(host *Host) bool {
	return in.Slot.Rolling != nil && in.Slot.Held == "" && Same(host.Desired, in.Slot.Rolling)
}

// obstacle says why a host can't move whatever the budget; empty if it can.
func (in *Input) obstacle(host *Host, c candidate, storm bool) string {
	switch {
	case host.Owner != nil && (in.AdoptFrom == "" || host.Owner.ServiceUID != in.AdoptFrom):
		return "its path belongs to another Service"
	case !host.Reachable:
		// A permit that lies with a host nobody can reach is used the moment it comes back: forty would switch at once.
		return "it does not answer"
	case host.busy() && !host.refused():
		return "it finishes the delivery that is under way"
	case storm && c.repair && !in.asked(host):
		return "more hosts drifted at once than may be unavailable"
	}
	return ""
}

// admit takes as many candidates as the budget and the bounds allow.
func (in *Input) admit(candidates []candidate, hosts []Host, budget int, plan *Plan) {
	free, room := budget, in.Strategy.concurrency()
	for i := range hosts {
		if in.Slot.unavailable(&hosts[i]) {
			free--
		}
		if hosts[i].busy() {
			room--
		}
	}
	var records []v1alpha1.ReleaseRecord
	for _, c := range candidates {
		index := indexOf(records, c.record)
		busy := c.host.busy() // it has its place already
		switch {
		case !in.free(c) && free <= 0:
			plan.hold(c, fmt.Sprintf("%d of %d may be unavailable, and as many are", budget, len(hosts)))
			continue
		case !busy && room <= 0:
			plan.hold(c, fmt.Sprintf("%d hosts are being delivered to at once", in.Strategy.concurrency()))
			continue
		case len(plan.Members) == maxWave, index < 0 && len(records) == maxRecords:
			plan.hold(c, "it comes with the next wave")
			continue
		}
		if !in.free(c) {
			free--
		}
		if !busy {
			room--
		}
		if index < 0 {
			records = append(records, *c.record)
		}
		plan.Members = append(plan.Members, Member{
			Target: c.host.Target, UID: c.host.UID, Record: *c.record, Fence: c.host.nextFence(), Reason: c.reason,
		})
	}
}

func (p *Plan) hold(c candidate, reason string) {
	p.Holds = append(p.Holds, Hold{Target: c.host.Target, Reason: reason})
}

// indexOf finds a record that orders the same.
func indexOf(records []v1alpha1.ReleaseRecord, record *v1alpha1.ReleaseRecord) int {
	return slices.IndexFunc(records, func(r v1alpha1.ReleaseRecord) bool { return Same(&r, record) })
}
