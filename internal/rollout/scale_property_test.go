// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// scaling is a history in which a group is scaled at any step of its rollouts.
type scaling struct {
	*history
	// born is what a Target's host ran when the Target was made, first what the Target was ordered first.
	born, first map[types.UID]string
	// forgotten are hosts that EC2 does not describe for a while.
	forgotten []string
	instances int
}

func newScaling(seed uint64, faulty bool) *scaling {
	s := &scaling{history: newHistory(seed, faulty), born: map[types.UID]string{}, first: map[types.UID]string{}}
	s.scaled = true
	if s.random.IntN(4) > 0 { // else the first Release of all is in the middle of it
		crash := s.crash
		s.crash = nil
		s.running("v1")
		s.crash = crash
	}
	for _, target := range s.targets {
		if target.Spec.Artifact != nil {
			s.first[target.UID] = target.Spec.Artifact.Digest
		}
	}
	s.check = func(in Input, plan Plan) {
		s.checkPlan(in, plan)
		if int(plan.Counts.Total) != len(in.Hosts) || plan.Counts.Updated > plan.Counts.Total {
			s.fail("%d Targets are counted as %d of %d", len(in.Hosts), plan.Counts.Updated, plan.Counts.Total)
		}
	}
	return s
}

// scale has hosts come or go.
func (s *scaling) scale() {
	names := s.names()
	some := func() string { return names[s.random.IntN(len(names))] }
	switch n := s.random.IntN(9); {
	case n <= 2: // a fresh instance; it may take its time to boot, and may have fetched the current Release by itself
		s.instances++
		name := fmt.Sprintf("i-%03d", s.instances)
		m := &machine{up: s.random.IntN(3) > 0}
		if current := s.service.Status.Current; current != nil && s.random.IntN(2) == 0 {
			m.running, m.ordered, m.fence, m.switched = current.Digest, current.Digest, 1, 1
		}
		s.machines[name] = m
		s.add(name)
	case n <= 4 && len(names) > 0:
		delete(s.targets, some())
	case n == 5: // the whole group
		if s.random.IntN(8) == 0 {
			clear(s.targets)
		}
	case n == 6 && len(names) > 0:
		name := some()
		delete(s.targets, name)
		s.forgotten = append(s.forgotten, name)
	case n == 7 && len(s.forgotten) > 0:
		s.add(s.forgotten[0])
		s.forgotten = s.forgotten[1:]
	case n == 8 && len(names) > 0: // another machine under the name of one that left
		name := some()
		s.machines[name] = &machine{up: true}
		s.add(name)
	}
	for _, name := range slices.Sorted(maps.Keys(s.machines)) { // who boots, comes up; in order, so that a seed is one history
		if m := s.machines[name]; !m.up && s.random.IntN(4) == 0 {
			m.up = true
		}
	}
}

// watch lets a tick pass and holds newcomers and counts against what is there.
func (s *scaling) watch() {
	for name, target := range s.targets {
		if _, known := s.born[target.UID]; !known {
			s.born[target.UID] = s.machines[name].running
		}
	}
	before := s.service.Status.Current
	s.tick()
	s.checkWorld()
	s.orders(before)
	slot := SlotOf(&s.service, s.paused)
	counts, there := Count(slot, s.list()), 0
	for name := range s.targets {
		record := slot.Rolling
		if record == nil {
			record = slot.Current
		}
		if record != nil && s.machines[name].running == record.Digest {
			there++
		}
	}
	if int(counts.Total) != len(s.targets) || int(counts.Updated) > there {
		s.fail("%d of %d are counted, and %d of %d are there", counts.Updated, counts.Total, there, len(s.targets))
	}
}

// orders looks at what those who are new were ordered first. before is what was current until now.
func (s *scaling) orders(before *v1alpha1.ReleaseRecord) {
	for name, target := range s.targets {
		order := target.Spec.Artifact
		if _, known := s.first[target.UID]; known || order == nil {
			continue
		}
		s.first[target.UID] = order.Digest
		if before != nil && order.Digest != before.Digest && order.Digest != s.born[target.UID] && order.Digest != s.service.Status.Current.Digest {
			s.fail("%s is new and is ordered %s first, while %s is current", name, order.Digest, before.Digest)
		}
	}
}

// live runs the history and returns what was broken.
func (s *scaling) live() string {
	s.release("v2")
	for range 40 {
		s.scale()
		if s.random.IntN(3) == 0 {
			s.happen()
		}
		s.watch()
		if s.oldTargets != nil && s.random.IntN(2) == 0 {
			s.plan(s.service.DeepCopy(), s.version, s.oldTargets)
			s.orders(s.service.Status.Current)
		}
		if s.broken != "" {
			return s.broken
		}
	}
	s.paused, s.crash, s.oldTargets = false, nil, nil
	if s.faulty { // trouble stays, hosts do not: what the release controller does at the deadline must be enough
		s.end(v1alpha1.ReasonProgressDeadlineExceeded)
		return s.broken
	}
	for _, m := range s.machines {
		m.up = true
	}
	if len(s.targets) == 0 {
		s.add("i-last").up = true
	}
	s.end("")
	if s.broken == "" && s.service.Status.Rolling == nil {
		s.heal()
	}
	return s.broken
}

// end waits for the end of the rolling Release, if need be by stopping it.
func (s *scaling) end(stop string) {
	for tick := range 200 {
		if s.service.Status.Rolling == nil || s.broken != "" {
			return
		}
		switch status := &s.service.Status; {
		case tick == 60 && stop != "" && status.Stopping == "":
			s.stop(stop)
		case tick == 130 && status.RollingBack:
			s.leaveRollback()
			return
		}
		s.watch()
	}
	s.fail("Release %s neither completes nor ends, though hosts come and go no more: %v", s.service.Status.Rolling.Digest, s.names())
}

func TestLawsHoldWhileGroupsAreScaled(t *testing.T) {
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
					for seed := worker; seed < histories(2_000); seed += workers {
						if broken := newScaling(uint64(seed), family.faulty).live(); broken != "" {
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
