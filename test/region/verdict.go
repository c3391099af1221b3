// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package region

import (
	"fmt"
	"slices"
	"time"
)

// Rollout is what the instances should have served: the page of the release that was current, then that of the one that was
// rolled out, which completed at a time. The zero time means that it has not.
type Rollout struct {
	Before, After string
	Completed     time.Time
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

// Judge says of each instance whether it served what it should have. It is pure.
//
// While the rollout runs, an instance serves the release before, or, once the rollout has come to it, the new one; from the
// rollout's end on the new one alone. It has served a page before it comes into service, each answer from then on is a page, and
// it never goes back.
func Judge(events []Event, rollout Rollout) []Verdict {
	var verdicts []Verdict
	lives := map[string]int{}
	for _, e := range events {
		if e.Instance == "" {
			continue
		}
		at, known := lives[e.Instance]
		if !known {
			at = len(verdicts)
			lives[e.Instance] = at
			verdicts = append(verdicts, Verdict{Instance: e.Instance, Address: e.Address, Launched: e.Time})
		}
		verdicts[at].add(e, rollout)
	}
	for n := range verdicts {
		v := &verdicts[n]
		if v.Ended.IsZero() && !rollout.Completed.IsZero() && v.Last != rollout.After {
			v.wrong("it serves %q in the end", v.Last)
		}
	}
	return verdicts
}

// add goes on by one event.
func (v *Verdict) add(e Event, rollout Rollout) {
	switch e.What {
	case Serves:
		v.served(e, rollout)
	case "InService":
		v.InService, v.When = e.Time, v.Last
		switch {
		case v.Answered.IsZero():
			v.wrong("it came into service before it served anything")
		case v.Last != rollout.After && !rollout.Completed.IsZero() && e.Time.After(rollout.Completed):
			v.wrong("it came into service with %q after the rollout had completed", v.Last)
		}
	case "Terminating":
		v.Ended = e.Time
	}
}

// served judges another answer.
func (v *Verdict) served(e Event, rollout Rollout) {
	text, ok := page(e.Page)
	switch {
	case !v.Ended.IsZero():
		return // it ends: what it says no longer counts
	case !ok && v.Answered.IsZero():
		return // it has not begun
	case !ok:
		v.wrong("it answered %s", e.Page)
		return
	case !slices.Contains([]string{rollout.Before, rollout.After}, text):
		v.wrong("it served %q", text)
	case text == rollout.Before && v.Last == rollout.After:
		v.wrong("it went back to %q", text)
	case text == rollout.Before && !rollout.Completed.IsZero() && e.Time.After(rollout.Completed):
		v.wrong("it served %q after the rollout had completed", text)
	}
	if v.Answered.IsZero() {
		v.Answered, v.First = e.Time, text
	}
	v.Last = text
}

func (v *Verdict) wrong(format string, args ...any) {
	v.Wrong = append(v.Wrong, fmt.Sprintf(format, args...))
}
