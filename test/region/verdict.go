// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package region

import (
	"fmt"
	"slices"
	"time"
)

// Release is what instances should serve: its page, from the time on when its rollout completed. The zero time means that it has not.
type Release struct {
	Page      string
	Completed time.Time
}

// releases are in the order of their rollouts.
type releases []Release

// serial is the place of a page's release, and -1 of what is none.
func (r releases) serial(page string) int {
	return slices.IndexFunc(r, func(release Release) bool { return release.Page == page })
}

// current is the place of the release whose rollout was the last to complete by a time, and -1 before any has.
func (r releases) current(by time.Time) int {
	current := -1
	for n, release := range r {
		if !release.Completed.IsZero() && by.After(release.Completed) {
			current = n
		}
	}
	return current
}

// Verdict is the life of one instance, and what was wrong with it.
type Verdict struct {
	Instance, Address string
	// Launched, Answered (its first page), InService and Ended are zero for what did not happen.
	Launched, Answered, InService, Ended time.Time
	// First page it served, the one When it came into service, and the Last one.
	First, When, Last string
	Wrong             []string
}

// Judge says of each instance whether it served what it should have, of releases in the order of their rollouts. It is pure.
//
// An instance serves the release that was the last to complete or, once a rollout has come to it, a newer one. It has served a page
// before it comes into service, each answer from then on is a page, and it never goes back.
func Judge(events []Event, rollouts ...Release) []Verdict {
	var verdicts []Verdict
	lives := map[string]int{}
	var end time.Time
	for _, e := range events {
		end = e.Time
		if e.Instance == "" {
			continue
		}
		at, known := lives[e.Instance]
		if !known {
			at = len(verdicts)
			lives[e.Instance] = at
			verdicts = append(verdicts, Verdict{Instance: e.Instance, Address: e.Address, Launched: e.Time})
		}
		verdicts[at].add(e, rollouts)
	}
	for _, release := range rollouts {
		if release.Completed.After(end) {
			end = release.Completed
		}
	}
	for n := range verdicts {
		v := &verdicts[n]
		if v.Ended.IsZero() && releases(rollouts).serial(v.Last) < releases(rollouts).current(end.Add(1)) {
			v.wrong("it serves %q in the end", v.Last)
		}
	}
	return verdicts
}

// add goes on by one event.
func (v *Verdict) add(e Event, r releases) {
	switch e.What {
	case Serves:
		v.served(e, r)
	case "InService":
		v.InService, v.When = e.Time, v.Last
		switch current := r.current(e.Time); {
		case v.Answered.IsZero():
			v.wrong("it came into service before it served anything")
		case r.serial(v.Last) < current:
			v.wrong("it came into service with %q after %q had completed", v.Last, r[current].Page)
		}
	case "Terminating":
		v.Ended = e.Time
	}
}

// served judges another answer.
func (v *Verdict) served(e Event, r releases) {
	text, ok := page(e.Page)
	serial, current := r.serial(text), r.current(e.Time)
	switch {
	case !v.Ended.IsZero():
		return // it ends: what it says no longer counts
	case !ok && v.Answered.IsZero():
		return // it has not begun
	case !ok:
		v.wrong("it answered %s", e.Page)
		return
	case serial < 0:
		v.wrong("it served %q", text)
	case serial < r.serial(v.Last):
		v.wrong("it went back to %q", text)
	case serial < current:
		v.wrong("it served %q after %q had completed", text, r[current].Page)
	}
	if v.Answered.IsZero() {
		v.Answered, v.First = e.Time, text
	}
	v.Last = text
}

func (v *Verdict) wrong(format string, args ...any) {
	v.Wrong = append(v.Wrong, fmt.Sprintf(format, args...))
}
