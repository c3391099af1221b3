// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"math/rand/v2"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/internal/lifecycle"
)

var now = time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// launch is an instance that has failed long enough on its own to be replaced.
func launch() lifecycle.Launch {
	return lifecycle.Launch{
		Hook:     lifecycle.Hook{Name: "up", Transition: lifecycle.Launching, Timeout: 10 * time.Minute},
		Services: []lifecycle.Service{{Name: "web/blog", Reason: "DiskFull", Fault: true, Well: 2}},
		Launched: ago(time.Hour), Beat: ago(time.Minute), Grace: 10 * time.Minute, MaxAbandons: 3, Now: now,
	}
}

func TestLaunched(t *testing.T) {
	ready := lifecycle.Service{Name: "web/shop", Ready: true}
	for name, c := range map[string]struct {
		change func(*lifecycle.Launch)
		action lifecycle.Action
		says   string
	}{
		"it failed by itself":      {func(*lifecycle.Launch) {}, lifecycle.Abandon, "web/blog: DiskFull, while 2 other hosts of the Service run the same artifact well"},
		"one Service is not ready": {func(l *lifecycle.Launch) { l.Services = append(l.Services, ready) }, lifecycle.Abandon, "web/blog"},
		"all are ready":            {func(l *lifecycle.Launch) { l.Services = []lifecycle.Service{ready, ready} }, lifecycle.Continue, "for 2 Services"},
		"it is not its own fault":  {func(l *lifecycle.Launch) { l.Services[0].Fault = false }, lifecycle.None, "web/blog: DiskFull"},
		"it is young":              {func(l *lifecycle.Launch) { l.Launched = ago(9 * time.Minute) }, lifecycle.None, "web/blog: DiskFull; "},
		"others fail alike":        {func(l *lifecycle.Launch) { l.Services[0].Alike = 1 }, lifecycle.None, "1 other hosts fail alike"},
		"nobody is well":           {func(l *lifecycle.Launch) { l.Services[0].Well = 0 }, lifecycle.None, "no other host"},
		"enough were replaced": {
			func(l *lifecycle.Launch) {
				l.Abandoned = []time.Time{ago(time.Minute), ago(2 * time.Minute), ago(59 * time.Minute)}
			},
			lifecycle.None, "3 instances of the group were replaced within the last hour",
		},
		"that was long ago": {
			func(l *lifecycle.Launch) {
				l.Abandoned = []time.Time{ago(time.Minute), ago(2 * time.Minute), ago(time.Hour)}
			},
			lifecycle.Abandon, "",
		},
		"nobody may be replaced": {func(l *lifecycle.Launch) { l.MaxAbandons = 0 }, lifecycle.None, "0 instances of the group were replaced"},
		"half of its time is over": {
			func(l *lifecycle.Launch) { l.Services[0].Fault, l.Beat = false, ago(5*time.Minute) }, lifecycle.Heartbeat, "DiskFull",
		},
		"nobody knows when its time began": {
			func(l *lifecycle.Launch) { l.Services[0].Fault, l.Beat = false, time.Time{} }, lifecycle.Heartbeat, "DiskFull",
		},
		"one of two that fail is its own fault": {
			func(l *lifecycle.Launch) {
				l.Services = append([]lifecycle.Service{{Name: "web/shop", Reason: "HookFailed", Fault: true, Alike: 2}}, l.Services...)
			},
			lifecycle.Abandon, "web/blog: DiskFull",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			l := launch()
			c.change(&l)
			d := lifecycle.Launched(l)
			g.Expect(d.Action).To(Equal(c.action))
			g.Expect(d.Reason + "; " + d.Withheld).To(ContainSubstring(c.says))
			if d.Action == lifecycle.None || d.Action == lifecycle.Heartbeat {
				g.Expect(d.After).To(And(BeNumerically(">", 0), BeNumerically("<=", l.Hook.Timeout/2)))
			}
		})
	}
}

// Why an instance is not replaced is news to people only when it would be otherwise.
func TestWithheld(t *testing.T) {
	g := NewWithT(t)
	l := launch()
	l.Services[0].Well = 0
	g.Expect(lifecycle.Launched(l).Withheld).To(ContainSubstring("no other host"))
	l.Launched = ago(time.Minute)
	g.Expect(lifecycle.Launched(l).Withheld).To(BeEmpty(), "it is young")
	l = launch()
	l.Services[0].Fault = false
	g.Expect(lifecycle.Launched(l).Withheld).To(BeEmpty(), "it is not its own fault")
}

func TestEnded(t *testing.T) {
	hook := lifecycle.Hook{Name: "down", Transition: lifecycle.Terminating, Timeout: 2 * time.Minute}
	for name, c := range map[string]struct {
		change func(*lifecycle.Ending)
		action lifecycle.Action
		after  time.Duration
	}{
		"its Target is there":           {func(*lifecycle.Ending) {}, lifecycle.None, 30 * time.Second},
		"half of its time is over":      {func(e *lifecycle.Ending) { e.Beat = ago(time.Minute) }, lifecycle.Heartbeat, time.Minute},
		"its Targets are gone":          {func(e *lifecycle.Ending) { e.Targets = 0 }, lifecycle.Continue, 0},
		"it was held for long enough":   {func(e *lifecycle.Ending) { e.Since = ago(10 * time.Minute) }, lifecycle.Continue, 0},
		"the limit comes before a beat": {func(e *lifecycle.Ending) { e.Since = ago(10*time.Minute - time.Second) }, lifecycle.None, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			e := lifecycle.Ending{Hook: hook, Targets: 1, Since: ago(time.Minute), Beat: ago(30 * time.Second), Now: now}
			c.change(&e)
			d := lifecycle.Ended(e)
			g.Expect(d.Action).To(Equal(c.action))
			g.Expect(d.After).To(Equal(c.after))
			g.Expect(d.Reason).NotTo(BeEmpty())
		})
	}
}

// Whatever befalls: an instance goes into service only if all of its Services are ready, no more are replaced within an hour
// than may be, and a hook never runs out of time while the instance is held.
func TestLaunchedUnderRandomHistories(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 1))
		clock, beat := now, time.Time{}
		var abandoned []time.Time
		hook := lifecycle.Hook{Name: "up", Transition: lifecycle.Launching, Timeout: time.Duration(30+random.IntN(3600)) * time.Second}
		deadline := clock.Add(hook.Timeout)
		launched := clock
		for range 200 {
			services := make([]lifecycle.Service, 1+random.IntN(3))
			for i := range services {
				services[i] = lifecycle.Service{
					Name: "s", Ready: random.IntN(2) == 0, Fault: random.IntN(2) == 0, Alike: random.IntN(2), Well: random.IntN(2),
				}
			}
			l := lifecycle.Launch{
				Hook: hook, Services: services, Launched: launched, Beat: beat, Abandoned: abandoned, Grace: time.Minute, MaxAbandons: 2, Now: clock,
			}
			d := lifecycle.Launched(l)
			switch d.Action {
			case lifecycle.Continue:
				for _, s := range services {
					if !s.Ready {
						t.Fatalf("seed %d: %+v went into service", seed, l)
					}
				}
				launched, beat, deadline = clock, time.Time{}, clock.Add(hook.Timeout) // the next instance
			case lifecycle.Abandon:
				if c := d.Culprit; c.Ready || !c.Fault || c.Alike > 0 || c.Well == 0 || clock.Sub(launched) < l.Grace {
					t.Fatalf("seed %d: %+v was replaced", seed, l)
				}
				abandoned = append(abandoned, clock)
				if n := len(abandoned); n > 2 && clock.Sub(abandoned[n-3]) < time.Hour {
					t.Fatalf("seed %d: three were replaced within %s", seed, clock.Sub(abandoned[n-3]))
				}
				launched, beat, deadline = clock, time.Time{}, clock.Add(hook.Timeout)
			case lifecycle.Heartbeat:
				beat, deadline = clock, clock.Add(hook.Timeout)
				fallthrough
			case lifecycle.None:
				if d.After <= 0 {
					t.Fatalf("seed %d: %+v is never looked at again", seed, l)
				}
				clock = clock.Add(d.After)
				if !clock.Before(deadline) {
					t.Fatalf("seed %d: the hook's time ran out", seed)
				}
			}
		}
	}
}
