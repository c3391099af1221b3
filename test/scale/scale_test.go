// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package scale

import (
	"slices"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// running has a group of so many instances run v1.
func (w *world) running(n int) []string {
	ids := w.launch(n)
	w.release("blog-1", "v1")
	w.until(w.succeeded("blog-1"), Equal(v1alpha1.ReasonSucceeded))
	return ids
}

// Every wave is told in its own words.
func TestEveryWaveIsTold(t *testing.T) {
	w := newWorld(t)
	w.running(2)
	w.release("blog-2", "v2")
	w.until(w.succeeded("blog-2"), Equal(v1alpha1.ReasonSucceeded))
	w.until(func() any { return w.event(v1alpha1.ReasonWaveStarted) }, And(
		MatchRegexp("wave 1: 2 of 2 hosts move"), MatchRegexp("wave 2: 1 of 2 hosts move"), MatchRegexp("wave 3: 1 of 2 hosts move")))
}

// A person rolls a paused Release back while its group grows: all come to run what ran before, newcomers included.
func TestAPersonRollsBackWhileTheGroupGrows(t *testing.T) {
	w := newWorld(t)
	old := w.running(3)
	w.fleet.hold("v2", 1)
	w.release("blog-2", "v2")
	w.inFlight()
	change := func(change func(*v1alpha1.ReleaseSpec)) {
		release := w.get("blog-2")
		before := release.DeepCopy()
		change(&release.Spec)
		w.Expect(w.client.Patch(t.Context(), release, client.MergeFrom(before))).To(Succeed())
	}
	change(func(s *v1alpha1.ReleaseSpec) { s.Paused = true })
	grown := slices.Concat(old, w.launch(1))
	w.until(w.targets, HaveLen(4))
	change(func(s *v1alpha1.ReleaseSpec) { s.RollBack = true })
	w.fleet.letGo()
	w.until(w.succeeded("blog-2"), Equal(v1alpha1.ReasonRolledBack))
	w.until(w.targets, Equal(all("v1", grown...)))
}

// inFlight waits for the one host that is being delivered to.
func (w *world) inFlight() string {
	w.until(func() any { return w.fleet.hanging() }, HaveLen(1))
	return w.fleet.hanging()[0]
}

// all says that these hosts run a revision and are Ready.
func all(revision string, ids ...string) map[string]string {
	hosts := map[string]string{}
	for _, id := range ids {
		hosts[id] = revision
	}
	return hosts
}

// The group goes from two to six to three in each phase of a Release and in each wave.
func TestScaleInTheMiddleOfARelease(t *testing.T) {
	for _, test := range []struct {
		name string
		// hold the Release in the phase; reached says why it waits there.
		hold, reached string
		// wave, from 1, that is held in flight.
		wave int
	}{
		{name: "while it is resolved", hold: "Resolve", reached: v1alpha1.ReasonRepositoryUnreachable},
		{name: "while it is built", hold: "Build", reached: v1alpha1.ReasonBuilding},
		{name: "while it is published", hold: "Publish", reached: v1alpha1.ReasonDepotUnavailable},
		{name: "in the first wave", wave: 1},
		{name: "in the last wave", wave: 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			old := w.running(2)
			w.outside.hold(test.hold)
			w.fleet.hold("v2", test.wave-1)
			w.release("blog-2", "v2")
			hosts := all("v1", old...)
			member := old[0]
			if test.wave > 0 {
				w.until(w.counts("blog-2"), HaveField("Updated", BeEquivalentTo(test.wave-1)))
				member = w.inFlight()
				hosts = w.targets().(map[string]string)
			} else {
				w.until(w.reason("blog-2"), Equal(test.reached))
			}

			newcomers := w.launch(4)
			for _, id := range newcomers {
				hosts[id] = "v1"
			}
			w.until(w.targets, Equal(hosts), "newcomers get the last completed Release")
			if test.wave > 0 {
				w.until(w.counts("blog-2"), Equal(v1alpha1.TargetCounts{Total: 6, Ready: 5, Updated: int32(test.wave - 1)}))
			}

			leavers := []string{member, newcomers[0], newcomers[2]}
			w.terminate(leavers...)
			for _, id := range leavers {
				delete(hosts, id)
			}
			if test.wave == 0 {
				w.until(w.targets, Equal(hosts))
				w.outside.hold("")
				w.inFlight()
			}
			// Nobody waits for the member that left in the middle of its delivery.
			stayed := slices.DeleteFunc(slices.Concat(old, newcomers), func(id string) bool { return slices.Contains(leavers, id) })
			w.until(func() any {
				return slices.ContainsFunc(w.fleet.hanging(), func(id string) bool { return slices.Contains(stayed, id) })
			}, BeTrue())
			w.until(w.counts("blog-2"), HaveField("Total", BeEquivalentTo(3)))
			w.fleet.letGo()
			w.until(w.succeeded("blog-2"), Equal(v1alpha1.ReasonSucceeded))

			w.Expect(w.targets()).To(Equal(all("v2", stayed...)))
			w.Expect(w.get("blog-2").Status.Targets).To(Equal(v1alpha1.TargetCounts{Total: 3, Ready: 3, Updated: 3}))
			w.Expect(w.get("blog-2").Status.TargetsUpdated).To(Equal("3/3"))
			w.Expect(w.get("blog-2").Status.Failures).To(BeEmpty())
			for _, id := range stayed {
				w.Expect(w.fleet.got(id)).To(Equal([]string{"v1", "v2"}), id)
			}
			for _, id := range leavers {
				w.Expect(w.fleet.got(id)).To(Equal([]string{"v1"}), "%s left before", id)
			}
			w.Expect(w.fleet.mostAtOnce()).To(Equal(1), "of those that serve")
		})
	}
}

// A group without hosts is no success; the Release goes on when hosts appear, the first ever and those after a pause at zero.
func TestAGroupIsScaledFromZeroAndToZeroAndBack(t *testing.T) {
	w := newWorld(t)
	w.release("blog-1", "v1")
	w.until(w.reason("blog-1"), Equal(v1alpha1.ReasonNoTargets))
	first := w.launch(2)
	w.until(w.succeeded("blog-1"), Equal(v1alpha1.ReasonSucceeded))
	w.Expect(w.targets()).To(Equal(all("v1", first...)))

	w.fleet.hold("v2", 1)
	w.release("blog-2", "v2")
	w.until(w.counts("blog-2"), Equal(v1alpha1.TargetCounts{Total: 2, Ready: 1, Updated: 1}))
	w.terminate(first...)
	w.until(w.reason("blog-2"), Equal(v1alpha1.ReasonNoTargets))
	w.Expect(w.get("blog-2").Status.TargetsUpdated).To(Equal("0/0"))
	second := w.launch(3)
	w.fleet.letGo()
	w.until(w.succeeded("blog-2"), Equal(v1alpha1.ReasonSucceeded))
	w.Expect(w.targets()).To(Equal(all("v2", second...)))
	w.Expect(w.get("blog-2").Status.Targets).To(Equal(v1alpha1.TargetCounts{Total: 3, Ready: 3, Updated: 3}))
	for _, id := range second {
		w.Expect(w.fleet.got(id)).To(Equal([]string{"v1", "v2"}), "%s came while v1 was the last that had completed", id)
	}
}

// EC2 forgets instances for longer than two looks. When they are seen again they go on where they were.
func TestInstancesThatEC2ForgetsGoOnWhereTheyWere(t *testing.T) {
	w := newWorld(t)
	ids := w.running(3)
	w.fleet.hold("v2", 1)
	w.release("blog-2", "v2")
	w.until(w.counts("blog-2"), Equal(v1alpha1.TargetCounts{Total: 3, Ready: 2, Updated: 1}))
	member := w.inFlight()
	others := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == member })
	for _, id := range others {
		w.cloud.Hide(id, 20)
	}
	w.until(w.targets, HaveLen(1))
	w.until(w.counts("blog-2"), Equal(v1alpha1.TargetCounts{Total: 1}))
	w.until(w.targets, HaveLen(3))
	w.fleet.letGo()
	w.until(w.succeeded("blog-2"), Equal(v1alpha1.ReasonSucceeded))
	w.Expect(w.targets()).To(Equal(all("v2", ids...)))
	for _, id := range ids {
		w.Expect(w.fleet.got(id)).To(Equal([]string{"v1", "v2"}), "nothing went back")
	}
	w.Expect(w.fleet.mostAtOnce()).To(Equal(1))
}

// The only member of the recorded wave leaves in the middle of its delivery: its place under the budget goes with it.
func TestTheNextWaveWaitsForNoMemberThatLeft(t *testing.T) {
	w := newWorld(t)
	ids := w.running(3)
	w.fleet.hold("v2", 0)
	w.release("blog-2", "v2")
	var gone []string
	for range 2 {
		var member string
		w.until(func() any {
			left := slices.DeleteFunc(w.fleet.hanging(), func(id string) bool { return slices.Contains(gone, id) })
			member = append(left, "")[0]
			return left
		}, HaveLen(1), "those that left: %v", gone)
		w.terminate(member)
		gone = append(gone, member)
	}
	w.fleet.letGo()
	w.until(w.succeeded("blog-2"), Equal(v1alpha1.ReasonSucceeded))
	w.Expect(w.get("blog-2").Status.Targets).To(Equal(v1alpha1.TargetCounts{Total: 1, Ready: 1, Updated: 1}))
	w.Expect(w.targets()).To(Equal(all("v2", slices.DeleteFunc(ids, func(id string) bool { return slices.Contains(gone, id) })...)))
	w.Expect(w.fleet.hanging()).To(ConsistOf(gone), "there it goes on for ever")
}

// An instance that brought itself to the current Release at boot is Ready at once, though the wave in flight takes all of
// the budget: what it is ordered changes nothing. Then it takes its turn like the others.
func TestAnInstanceThatBootedByItselfWaitsForNoWave(t *testing.T) {
	w := newWorld(t)
	ids := w.running(2)
	w.fleet.hold("v2", 0)
	w.release("blog-2", "v2")
	member := w.inFlight()
	hosts := w.targets().(map[string]string)
	booted := w.boot(ids[0])
	hosts[booted] = "v1"
	w.until(w.targets, Equal(hosts))
	w.Expect(w.fleet.got(booted)).To(BeEmpty(), "nothing was switched")
	w.Expect(w.fleet.hanging()).To(ConsistOf(member))
	w.fleet.letGo()
	w.until(w.succeeded("blog-2"), Equal(v1alpha1.ReasonSucceeded))
	w.Expect(w.targets()).To(Equal(all("v2", append(ids, booted)...)))
	w.Expect(w.fleet.got(booted)).To(Equal([]string{"v2"}))
	w.Expect(w.fleet.mostAtOnce()).To(Equal(1))
}
