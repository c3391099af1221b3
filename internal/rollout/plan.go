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
	// Step of the strategy that the rollout is at.
	Step  int
	Hosts []Host
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
	// AsIs: nothing is switched; see TargetSpec.
	AsIs bool
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
	// Standing is how the hosts stand to the rolling Release.
	Standing Standing
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
	plan.Standing = in.stand(hosts)
	plan.After = plan.Standing.After
	plan.Storm = in.storm(hosts, budget)

	candidates := in.candidates(hosts, &plan)
	if hold, after := in.unsettledDrift(candidates); hold != "" {
		plan.After = earlier(plan.After, after)
		candidates = withhold(candidates, &plan, hold)
	}
	in.admit(candidates, hosts, budget, &plan)
	plan.Reason = plan.sentence(hosts, budget)
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
	turns := turns(hosts)
	slices.SortStableFunc(movable, func(a, b candidate) int {
		return cmp.Or(in.rank(a)-in.rank(b), turns[a.host.Target]-turns[b.host.Target], cmp.Compare(a.host.Zone, b.host.Zone))
	})
	return movable
}

// turns numbers the hosts of each zone by their names: the first of every zone come before the second of any, so that the
// hosts that change at once are spread over the zones, and the order is the same each time it is asked for.
func turns(hosts []Host) map[string]int {
	turns, zones := make(map[string]int, len(hosts)), map[string]int{}
	for i := range hosts {
		turns[hosts[i].Target] = zones[hosts[i].Zone]
		zones[hosts[i].Zone]++
	}
	return turns
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
	return unavailable(c.host) || in.Slot.changesNothing(c.host, c.record)
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
	case host.stirred():
		return candidate{host: host, record: record, reason: "changed on the host", repair: true}, true
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
	if in.Slot.moving() {
		free -= plan.Standing.Baking
	}
	open := in.open(hosts) + len(plan.Standing.Failed) // another host takes the place of one that failed
	for i := range hosts {
		if unavailable(&hosts[i]) {
			free--
		}
		if hosts[i].busy() {
			room--
		}
	}
	var records []v1alpha1.ReleaseRecord
	for _, c := range candidates {
		joins := in.joins(c)
		if hold := in.closed(plan, open); joins && hold != "" {
			if !in.Slot.stale(c.host.Desired) {
				plan.hold(c, hold)
				continue
			}
			joins, c.record, c.reason = false, in.Slot.Current, in.Slot.catchUp(c.host.Desired)
		}
		index := indexOf(records, c.record)
		busy := c.host.busy() // it has its place already
		switch {
		case !in.free(c) && free <= 0:
			plan.hold(c, in.noRoom(plan, budget, len(hosts)))
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
		if joins {
			open--
		}
		if index < 0 {
			records = append(records, *c.record)
		}
		plan.Members = append(plan.Members, Member{
			Target: c.host.Target, UID: c.host.UID, Record: *c.record, Fence: c.host.nextFence(), AsIs: in.Slot.changesNothing(c.host, c.record), Reason: c.reason,
		})
	}
}

// joins says whether a move is a host's first to the rolling Release.
func (in *Input) joins(c candidate) bool {
	known := c.host.Desired == nil && c.host.Running == c.record.Digest  // its record was lost
	current := in.Slot.Current != nil && Same(c.record, in.Slot.Current) // released once more: every host is to run it anyway
	return in.Slot.rolls(c.record) && !in.Slot.rolls(c.host.Desired) && !known && !current
}

// open is how many more hosts the step lets join.
func (in *Input) open(hosts []Host) int {
	limit := in.Strategy.limit(in.Step, len(hosts))
	for i := range hosts {
		if in.Slot.rolls(hosts[i].Desired) {
			limit--
		}
	}
	return limit
}

// closed says why no further host may join the rolling Release now; empty if one may.
func (in *Input) closed(plan *Plan, open int) string {
	if closed := plan.Standing.Closed(); closed != "" || open > 0 {
		return closed
	}
	words, _, _ := in.Strategy.Step(in.Step, in.Now, &plan.Standing, in.Now)
	if in.Strategy.Pausing(in.Step) {
		words = fmt.Sprintf("step %d of %d: a pause", in.Step+1, len(in.Strategy.Steps))
	}
	return words + " before the others"
}

// noRoom says what the budget is used up by.
func (in *Input) noRoom(plan *Plan, budget, total int) string {
	if baking := plan.Standing.Baking; baking > 0 && in.Slot.moving() {
		return fmt.Sprintf("%d of %d may be unavailable, and as many are or still bake (%d)", budget, total, baking)
	}
	return fmt.Sprintf("%d of %d may be unavailable, and as many are", budget, total)
}

func (p *Plan) hold(c candidate, reason string) {
	p.Holds = append(p.Holds, Hold{Target: c.host.Target, Reason: reason})
}

// indexOf finds a record that orders the same.
func indexOf(records []v1alpha1.ReleaseRecord, record *v1alpha1.ReleaseRecord) int {
	return slices.IndexFunc(records, func(r v1alpha1.ReleaseRecord) bool { return Same(&r, record) })
}
