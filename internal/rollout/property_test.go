// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// histories is how many random histories each property is tried on: SLIPWAY_HISTORIES, or a few thousand. make laws tries
// millions.
func histories(few int) int {
	if n, err := strconv.Atoi(os.Getenv("SLIPWAY_HISTORIES")); err == nil && n > 0 {
		return n
	}
	return few
}

// history is one random run of a world, and what is known of it.
type history struct {
	*world
	random *rand.Rand
	// kind says whether hosts fail by themselves.
	faulty bool
	// scaled: hosts leave, and with them what maxUnavailable is a part of.
	scaled bool
	// fences are the highest ordered to each Target so far, by UID-less name and creation.
	fences map[*v1alpha1.Target]int64
	// served are the hosts that once were in service.
	served map[string]bool
	// old is what a cache might still show.
	oldTargets []v1alpha1.Target
	oldService *v1alpha1.Service
	oldVersion int
	next       int
	broken     string
}

func newHistory(seed uint64, faulty bool) *history {
	random := rand.New(rand.NewPCG(seed, 7))
	w := newWorld(1+random.IntN(7), number(1+random.IntN(3)))
	if random.IntN(2) == 0 {
		w.strategy.MaxUnavailable = percent(fmt.Sprintf("%d%%", 1+random.IntN(100)))
	}
	w.strategy.Concurrency = 1 + random.IntN(6)
	w.policy = []v1alpha1.FailurePolicy{v1alpha1.OnFailureRollback, v1alpha1.OnFailureStop}[random.IntN(2)]
	w.strategy.MaxFailed = number(random.IntN(3))
	w.strategy.BakeTime = time.Duration(random.IntN(4)) * tick
	w.strategy.UnreachableAfter = time.Duration(random.IntN(6)) * tick
	for range random.IntN(4) {
		w.strategy.Steps = append(w.strategy.Steps, []v1alpha1.RolloutStep{targets(number(1 + random.IntN(4))), targets(percent(fmt.Sprintf("%d%%", 1+random.IntN(100)))),
			pause(time.Duration(random.IntN(8)) * tick)}[random.IntN(3)])
	}
	w.quiet = true
	h := &history{world: w, random: random, faulty: faulty, fences: map[*v1alpha1.Target]int64{}, served: map[string]bool{}}
	h.crash = func(members int) int {
		if random.IntN(4) == 0 {
			return random.IntN(members + 1)
		}
		return members
	}
	h.check = h.checkPlan
	return h
}

func (h *history) fail(format string, args ...any) {
	if h.broken == "" {
		h.broken = fmt.Sprintf(format, args...)
	}
}

// checkPlan holds a plan against the laws, by counting anew from what the planner was given.
func (h *history) checkPlan(in Input, plan Plan) {
	offline := map[string]bool{}
	known := map[string]Host{}
	for _, host := range in.Hosts {
		known[host.Target] = host
		permit := host.Desired != nil && !host.Complete && !host.AsIs
		offline[host.Target] = !host.Reachable || !host.Available || permit
	}
	down, taken, seen := 0, 0, map[string]bool{}
	joined := 0
	for _, host := range in.Hosts {
		if host.Desired != nil && in.Slot.Rolling != nil && Same(host.Desired, in.Slot.Rolling) {
			joined++
		}
	}
	for _, is := range offline {
		if is {
			down++
		}
	}
	for _, m := range plan.Members {
		host := known[m.Target]
		if seen[m.Target] {
			h.fail("%s moves twice in one wave", m.Target)
		}
		seen[m.Target] = true
		if m.AsIs && !settled(in.Slot.Current, host, &m.Record) {
			h.fail("%s is ordered what it does not serve, as is", m.Target)
		}
		if !offline[m.Target] && !m.AsIs {
			taken++
		}
		if m.Fence <= host.Fence || m.Fence <= host.HostFence { // law 2
			h.fail("fence %d of %s is not above its own %d and the host's %d", m.Fence, m.Target, host.Fence, host.HostFence)
		}
		if !host.Reachable {
			h.fail("%s gets a permit and nobody can reach it", m.Target)
		}
		rolling, current := in.Slot.Rolling, in.Slot.Current
		if host.Desired == nil && current != nil && rolling != nil && Same(&m.Record, rolling) && !Same(rolling, current) && host.Running != rolling.Digest {
			h.fail("%s is new and is given %s, while %s is current", m.Target, rolling.Digest, current.Digest)
		}
		if rolling != nil && Same(&m.Record, rolling) && (host.Desired == nil || !Same(host.Desired, rolling)) && host.Running != rolling.Digest {
			joined++
			caughtUp := current != nil && Same(rolling, current) // it is let in as what is current, at whatever step
			if plan.Standing.Over() && !caughtUp {
				h.fail("%s joins the Release while %s", m.Target, plan.Standing.Sentence())
			}
			if limit := in.Strategy.limit(in.Step, len(in.Hosts)); joined-len(plan.Standing.Failed) > limit && !caughtUp {
				h.fail("%s is the %dth host of the Release while step %d allows %d", m.Target, joined, in.Step, limit)
			}
			if in.Slot.Back && !Same(rolling, current) {
				h.fail("%s joins a Release that is rolled back", m.Target)
			}
		}
		own := host.Desired != nil && Same(&m.Record, host.Desired)
		fresh := rolling != nil && Same(&m.Record, rolling)
		if !own && !fresh && (current == nil || !Same(&m.Record, current)) { // law 4
			h.fail("%s moves to %s, which is neither rolling nor current nor its own", m.Target, m.Record.Digest)
		}
		if fresh && !own && in.Slot.Held != "" && host.Running != m.Record.Digest && (current == nil || !Same(&m.Record, current)) {
			h.fail("%s moves to %s while it is held: %s", m.Target, m.Record.Digest, in.Slot.Held)
		}
	}
	if budget := in.Strategy.budget(len(in.Hosts)); taken > 0 && down+taken > budget { // law 3
		h.fail("%d available hosts move while %d of %d are unavailable and %d may be", taken, down, len(in.Hosts), budget)
	}
	if plan.Standing.Done() && (len(in.Hosts) == 0 || down > plan.Standing.Allowed) {
		h.fail("done with %d of %d hosts unavailable", down, len(in.Hosts))
	}
}

// settled says whether a host serves the current Release well and is ordered just that.
func settled(current *v1alpha1.ReleaseRecord, host Host, order *v1alpha1.ReleaseRecord) bool {
	return current != nil && order != nil && Same(order, current) && host.Running == current.Digest && !host.Drifted && host.Available
}

// happen lets something happen to the world.
func (h *history) happen() {
	names := h.names()
	var name string
	if len(names) > 0 {
		name = names[h.random.IntN(len(names))]
	}
	m := h.machines[name]
	switch n := h.random.IntN(16); {
	case n == 0 && h.service.Status.Rolling == nil:
		h.next++
		h.release(fmt.Sprintf("v%d", 1+h.next%3))
	case n == 1 && h.service.Status.Rolling != nil && h.service.Status.Stopping == "":
		h.stop(v1alpha1.ReasonAborted)
	case n == 2:
		h.paused = !h.paused
	case n == 3 && len(names) < 8:
		h.add(fmt.Sprintf("new-%02d", h.random.IntN(20)))
	case n == 4:
		h.oldTargets, h.oldService, h.oldVersion = h.keep(), h.service.DeepCopy(), h.version
	case n == 5 && m != nil && m.running != "":
		m.drifted = true
	case n == 6 && m != nil: // a leader that lost its lease got there first
		m.fence, m.ordered = m.fence+int64(h.random.IntN(3)), "other"
	}
	if !h.faulty {
		return
	}
	switch n := h.random.IntN(12); {
	case m == nil:
	case n == 0:
		m.up = !m.up
	case n == 1:
		m.fault = always(fmt.Sprintf("v%d", 1+h.random.IntN(3)), []string{"pull", "hook"}[h.random.IntN(2)])
	case n == 2:
		m.fault = nil
	case n == 3:
		delete(h.targets, name)
	case n == 4:
		h.add(name) // the record is made anew
	case n == 5:
		h.machines[name] = &machine{up: true} // the machine is
	case n == 6:
		m.broken = m.running != "" // it goes bad by itself
	}
}

// checkWorld holds the world against the laws after a tick.
func (h *history) checkWorld() {
	down := 0
	for name, target := range h.targets {
		if target.Spec.Fence < h.fences[target] { // law 2
			h.fail("the fence of %s fell from %d to %d", name, h.fences[target], target.Spec.Fence)
		}
		h.fences[target] = target.Spec.Fence
		if h.machines[name].serving() {
			h.served[name] = true
		} else if h.served[name] {
			down++
		}
	}
	if budget := h.strategy.budget(len(h.targets)); !h.faulty && !h.scaled && down > budget { // law 3, as users see it
		h.fail("%d of %d hosts are down and %d may be", down, len(h.targets), budget)
	}
}

// live runs the history and then lets everything heal. It returns what was broken.
func (h *history) live() string {
	for range 40 {
		h.happen()
		h.tick()
		if h.oldTargets != nil && h.random.IntN(2) == 0 { // the same controller, from an old cache
			service, version := h.service.DeepCopy(), h.version
			if h.random.IntN(2) == 0 {
				service, version = h.oldService, h.oldVersion
			}
			h.plan(service, version, h.oldTargets)
		}
		h.checkWorld()
		if h.broken != "" {
			return h.broken
		}
	}
	h.heal()
	return h.broken
}

// heal ends all trouble; everything must then converge.
func (h *history) heal() {
	h.crash, h.paused = nil, false
	for _, m := range h.machines {
		m.up, m.fault = true, nil
	}
	if len(h.targets) == 0 {
		return
	}
	for h.service.Status.Rolling != nil {
		if !h.settle() {
			h.fail("Release %s neither completes nor leaves the slot", h.service.Status.Rolling.Digest)
			return
		}
	}
	h.release("v9") // a person's way out of everything, a drift storm included
	h.settle()
	if h.service.Status.Rolling != nil {
		h.fail("the last Release does not complete")
	}
	for name, m := range h.machines {
		if h.targets[name] != nil && (m.running != "v9" || m.drifted || m.broken) {
			h.fail("%s ends with %q (drifted %v, broken %v)", name, m.running, m.drifted, m.broken)
		}
	}
}

// settle steps until the slot is free, within reason.
func (h *history) settle() bool {
	patience := 120 + 10*len(h.targets) // they may move one by one
	for n := range 2*patience + 10 {
		h.tick()
		if status := &h.service.Status; n == patience && status.Rolling != nil && status.Stopping == "" {
			h.giveUp("the progress deadline is over") // hosts that are bad within maxFailed use maxUnavailable up
		}
		if n == 2*patience && h.service.Status.RollingBack {
			h.leaveRollback()
		}
		h.checkWorld()
		if h.service.Status.Rolling == nil {
			return true
		}
	}
	return false
}

// leaveRollback lets a rollback's progress deadline end it: hosts that stay bad use maxUnavailable up.
func (h *history) leaveRollback() {
	status := &h.service.Status
	status.History = append(status.History, v1alpha1.ReleaseOutcome{UID: status.Rolling.UID, Outcome: Failed, Reason: v1alpha1.ReasonRollbackIncomplete})
	h.vacate()
}

func TestLawsHoldInRandomHistories(t *testing.T) {
	for _, family := range []struct {
		name   string
		faulty bool
	}{{"hosts that are well", false}, {"hosts that fail", true}} {
		t.Run(family.name, func(t *testing.T) {
			t.Parallel()
			workers := runtime.NumCPU()
			var group sync.WaitGroup
			for worker := range workers {
				group.Go(func() {
					for seed := worker; seed < histories(5_000); seed += workers {
						if broken := newHistory(uint64(seed), family.faulty).live(); broken != "" {
							t.Errorf("history %d: %s", seed, broken)
							return
						}
					}
				})
			}
			group.Wait()
		})
	}
}
