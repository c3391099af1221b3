// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package plan foretells a rollout: it has the planner plan wave after wave, as if each host took what it is moved to. It is pure.
package plan

import (
	"fmt"
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/rollout"
)

const (
	// maxBatches, maxNames and maxStaying are the API's bounds.
	maxBatches = 64
	maxNames   = 20
	maxStaying = 20
	// maxWaves bounds how far ahead is looked: the rest is like what came before.
	maxWaves = 60
)

// Rollout fills in how the hosts would move to the rolling Release of the input.
func Rollout(in rollout.Input, into *v1alpha1.ReleasePlan) {
	names := map[string]string{}
	for i := range in.Hosts {
		names[in.Hosts[i].Target] = in.Hosts[i].Name
	}
	in.Strategy.UnreachableAfter = 0 // who does not answer now is foretold not to
	in.Hosts = append([]rollout.Host(nil), in.Hosts...)
	into.Hosts = int32(len(in.Hosts))
	index := map[string]int{}
	for i := range in.Hosts {
		index[in.Hosts[i].Target] = i
	}
	var last rollout.Plan
	for wave := 0; ; wave++ {
		last = rollout.Compute(in)
		if len(last.Members) > 0 {
			if wave >= maxWaves || len(into.Batches) >= maxBatches-1 {
				into.Batches = append(into.Batches, v1alpha1.PlannedBatch{Hosts: into.Hosts - into.Moving, Reason: "and so on with the others"})
				into.Moving = into.Hosts
				return
			}
			into.Batches = append(into.Batches, batch(last, names))
			into.Moving += int32(len(last.Members))
			for _, m := range last.Members {
				arrive(&in.Hosts[index[m.Target]], m, in.Now)
			}
			in.Now = in.Now.Add(in.Strategy.BakeTime + time.Second)
			continue
		}
		if in.Step < len(in.Strategy.Steps) && len(into.Batches) < maxBatches-1 && !last.Standing.Over() {
			if in.Strategy.Pausing(in.Step) {
				into.Batches = append(into.Batches, v1alpha1.PlannedBatch{Reason: pause(&in, &last.Standing)})
			}
			in.Step++
			continue
		}
		break
	}
	for i := range in.Hosts {
		host := &in.Hosts[i]
		if host.Desired != nil && rollout.Same(host.Desired, in.Slot.Rolling) || len(into.Staying) >= maxStaying {
			continue
		}
		into.Staying = append(into.Staying, v1alpha1.PlannedStay{Host: host.Name, Reason: conditions.Shorten(why(&last, host), 256)})
	}
	if last.Standing.Over() {
		into.Guards = append(into.Guards, "the rollout would fail: "+last.Standing.Sentence())
	}
}

// batch says a wave's members.
func batch(p rollout.Plan, names map[string]string) v1alpha1.PlannedBatch {
	b := v1alpha1.PlannedBatch{Hosts: int32(len(p.Members)), Reason: conditions.Shorten(p.Reason, 1024)}
	for _, m := range p.Members[:min(len(p.Members), maxNames)] {
		b.Names = append(b.Names, names[m.Target])
	}
	return b
}

// arrive has a host take what it is moved to.
func arrive(host *rollout.Host, m rollout.Member, now time.Time) {
	record := m.Record
	host.Desired, host.Running, host.Fence, host.HostFence, host.SwitchedFence = &record, record.Digest, m.Fence, m.Fence, m.Fence
	host.Complete, host.CompletedAt, host.Failures, host.Failure = true, now, 0, ""
	host.Available, host.Ready, host.Drifted, host.FencedOff, host.Stalled = true, true, false, false, false
}

// pause says what a pause waits for.
func pause(in *rollout.Input, standing *rollout.Standing) string {
	if in.Strategy.Awaiting(in.Step) {
		words, _, _ := in.Strategy.Step(in.Step, in.Now, standing, in.Now)
		return words
	}
	return fmt.Sprintf("step %d of %d: pause for %s", in.Step+1, len(in.Strategy.Steps), in.Strategy.Steps[in.Step].Pause.Duration.Duration)
}

// why says why a host stays.
func why(p *rollout.Plan, host *rollout.Host) string {
	for _, hold := range p.Holds {
		if hold.Target == host.Target {
			return hold.Reason
		}
	}
	return "nothing is to be done there"
}
