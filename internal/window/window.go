// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package window says when rollouts may begin. It is pure: the windows and the clock go in.
package window

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // images hold no time zones

	"github.com/robfig/cron/v3"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// Windows are a Service's windows, read.
type Windows struct {
	allow, deny []span
	location    *time.Location
}

// span is open for a while from each time of a schedule on.
type span struct {
	schedule cron.Schedule
	duration time.Duration
	reason   string
}

// Parse reads windows. Nil ones are always open.
func Parse(spec *v1alpha1.Windows) (*Windows, error) {
	w := &Windows{location: time.UTC}
	if spec == nil {
		return w, nil
	}
	if spec.TimeZone != "" {
		location, err := time.LoadLocation(spec.TimeZone)
		if err != nil || spec.TimeZone == "Local" {
			return nil, fmt.Errorf("windows.timeZone: there is no time zone %q", spec.TimeZone)
		}
		w.location = location
	}
	for name, list := range map[string]struct {
		specs []v1alpha1.Window
		spans *[]span
	}{"allow": {spec.Allow, &w.allow}, "deny": {spec.Deny, &w.deny}} {
		for i := range list.specs {
			schedule, err := parseSchedule(list.specs[i].Schedule)
			if err != nil {
				return nil, fmt.Errorf("windows.%s[%d].schedule %q: %w", name, i, list.specs[i].Schedule, err)
			}
			*list.spans = append(*list.spans, span{schedule: schedule, duration: list.specs[i].Duration.Duration, reason: list.specs[i].Reason})
		}
	}
	return w, nil
}

// parseSchedule reads cron's five fields, and none of the library's own additions: names such as @daily, or a time zone in front.
func parseSchedule(text string) (cron.Schedule, error) {
	if strings.ContainsAny(text, "@=") {
		return nil, errors.New("must be cron's five fields")
	}
	return cron.ParseStandard(text)
}

// Closed says why no rollout may begin at a time, and when one may; empty if one may then. Zero is not within the next years.
func (w *Windows) Closed(now time.Time) (why string, reopens time.Time) {
	now = now.In(w.location)
	why, next := w.closed(now)
	if why == "" {
		return "", time.Time{}
	}
	for range attempts {
		if next.IsZero() {
			return why, time.Time{}
		}
		again, after := w.closed(next)
		if again == "" {
			return why, next
		}
		next = after
	}
	return why, time.Time{}
}

// attempts bounds the search for the next opening, where windows that allow and that deny lie on each other for long.
const attempts = 2000

// closed says why no rollout may begin at a time, and when to look again.
func (w *Windows) closed(now time.Time) (why string, again time.Time) {
	for i := range w.deny {
		if ends, open := w.deny[i].open(now); open {
			return w.deny[i].words("rollouts are denied now"), ends
		}
	}
	if len(w.allow) == 0 {
		return "", time.Time{}
	}
	for i := range w.allow {
		if _, open := w.allow[i].open(now); open {
			return "", time.Time{}
		}
		if next := w.allow[i].schedule.Next(now); !next.IsZero() && (again.IsZero() || next.Before(again)) {
			again = next
		}
	}
	return "no window is open now", again
}

func (s *span) words(what string) string {
	if s.reason == "" {
		return what
	}
	return what + ": " + s.reason
}

// open says whether the span is open at a time, and until when.
func (s *span) open(now time.Time) (ends time.Time, open bool) {
	for begin := s.schedule.Next(now.Add(-s.duration)); !begin.IsZero() && !begin.After(now); begin = s.schedule.Next(begin) {
		ends, open = begin.Add(s.duration), true
	}
	return ends, open
}
