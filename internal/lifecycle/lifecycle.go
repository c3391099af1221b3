// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package lifecycle decides what Auto Scaling is told of an instance that waits at a lifecycle hook. It is pure: how the
// instance's Targets stand and the clock go in, an action with its reason comes out.
package lifecycle

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrNoAction says that an instance does not wait at a hook any more: somebody completed it, or its time was over.
var ErrNoAction = errors.New("the instance waits at the hook no longer")

// Transition is what an instance that waits at a hook is about to do, in Auto Scaling's words.
type Transition string

const (
	// Launching instances go into service, or into the warm pool.
	Launching Transition = "autoscaling:EC2_INSTANCE_LAUNCHING"
	// Terminating instances end.
	Terminating Transition = "autoscaling:EC2_INSTANCE_TERMINATING"
)

// Waiting says what an instance in a lifecycle state waits for; empty if it does not wait at a hook.
func Waiting(state string) Transition {
	switch state {
	case "Pending:Wait", "Warmed:Pending:Wait":
		return Launching
	case "Terminating:Wait", "Warmed:Terminating:Wait":
		return Terminating
	}
	return ""
}

// Action is what Auto Scaling is told.
type Action string

const (
	// None is nothing yet.
	None Action = ""
	// Heartbeat has the hook's time begin anew.
	Heartbeat Action = "Heartbeat"
	// Continue is Auto Scaling's word for a lifecycle action that ended well.
	Continue Action = "CONTINUE"
	// Abandon is Auto Scaling's word for one that did not: an instance that was about to launch is terminated and replaced.
	Abandon Action = "ABANDON"
)

const (
	// DefaultGrace is how long after its launch an instance is given before it may be abandoned.
	DefaultGrace = 10 * time.Minute
	// DefaultMaxAbandons is how many instances of a group may be abandoned within an hour.
	DefaultMaxAbandons = 3
	// terminationLimit is how long an instance's end is held up at most: a group must always be able to shrink.
	terminationLimit = 10 * time.Minute
)

// Hook is a lifecycle hook as Auto Scaling describes it.
type Hook struct {
	Name       string
	Transition Transition
	// Timeout is how long Auto Scaling waits after the last heartbeat.
	Timeout time.Duration
}

// Service is how a Service stands that the instance is a host of.
type Service struct {
	// Name for people.
	Name string
	// Ready: the instance runs what it should, by what is known of it now.
	Ready bool
	// Reason says in one word why it is not ready. What the host said about it stays on the Target: others read this.
	Reason string
	// Fault: that is the instance's own fault, and trying again did not help.
	Fault bool
	// Alike is how many other hosts of the Service fail for the same reason, Well how many run the same artifact and are ready.
	Alike, Well int
}

// Launch is an instance that waits to go into service.
type Launch struct {
	Hook     Hook
	Services []Service
	// Launched is when the instance was started.
	Launched time.Time
	// Beat is when the hook's time began anew last, as far as that is known.
	Beat time.Time
	// Abandoned are the times at which instances of the group were abandoned.
	Abandoned []time.Time
	// Grace and MaxAbandons bound ABANDON.
	Grace       time.Duration
	MaxAbandons int
	Now         time.Time
}

// Decision is an action and why, in words.
type Decision struct {
	Action Action
	// Reason says in words why. It is the same as long as nothing changed.
	Reason string
	// Culprit is the Service for whose sake the instance is abandoned, or would be but for Withheld.
	Culprit *Service
	// Withheld says why an instance that failed long enough is not abandoned all the same.
	Withheld string
	// After is when to decide anew even if nothing happens.
	After time.Duration
}

// Launched decides on an instance that waits to go into service. Only what is the instance's own fault ends it: trouble of the
// depot, the manager or the release would end its replacement too, and so on for ever.
func Launched(l Launch) Decision {
	var waits []string
	for i := range l.Services {
		if s := &l.Services[i]; !s.Ready {
			waits = append(waits, fmt.Sprintf("%s: %s", s.Name, s.Reason))
		}
	}
	if len(waits) == 0 {
		return Decision{Action: Continue, Reason: fmt.Sprintf("it runs what it should, for %d Services", len(l.Services))}
	}
	why := strings.Join(waits, "; ")
	culprit, withheld := l.culprit()
	if culprit != nil && withheld == "" {
		return Decision{Action: Abandon, Culprit: culprit, Reason: fmt.Sprintf("%s: %s, while %d other hosts of the Service run the same artifact well",
			culprit.Name, culprit.Reason, culprit.Well)}
	}
	d := beat(l.Hook, l.Beat, l.Now, why)
	if l.Now.Sub(l.Launched) >= l.Grace {
		d.Culprit, d.Withheld = culprit, withheld
	}
	return d
}

// culprit is the Service for whose sake the instance would be abandoned; withheld says why it is not.
func (l *Launch) culprit() (culprit *Service, withheld string) {
	for i := range l.Services {
		s := &l.Services[i]
		if s.Ready || !s.Fault {
			continue
		}
		reason := l.withheld(s)
		if culprit == nil || reason == "" {
			culprit, withheld = s, reason
		}
	}
	return culprit, withheld
}

// withheld says why an instance that failed is not abandoned; empty if it is.
func (l *Launch) withheld(s *Service) string {
	recent := 0
	for _, at := range l.Abandoned {
		if l.Now.Sub(at) < time.Hour {
			recent++
		}
	}
	switch {
	case l.Now.Sub(l.Launched) < l.Grace:
		return fmt.Sprintf("it was launched less than %s ago", l.Grace)
	case s.Alike > 0:
		return fmt.Sprintf("%d other hosts fail alike", s.Alike)
	case s.Well == 0:
		return "no other host of the Service runs the same artifact well"
	case recent >= l.MaxAbandons:
		return fmt.Sprintf("%d instances of the group were replaced within the last hour", recent)
	}
	return ""
}

// Ending is an instance that waits to end.
type Ending struct {
	Hook Hook
	// Targets are those that are still there.
	Targets int
	// Since is when it was first seen to wait.
	Since time.Time
	Beat  time.Time
	Now   time.Time
}

// Ended decides on an instance that waits to end.
func Ended(e Ending) Decision {
	left := terminationLimit - e.Now.Sub(e.Since)
	switch {
	case e.Targets == 0:
		return Decision{Action: Continue, Reason: "its Targets are gone"}
	case left <= 0:
		return Decision{Action: Continue, Reason: fmt.Sprintf("%d Targets are still there after %s; it is held up no longer", e.Targets, terminationLimit)}
	}
	d := beat(e.Hook, e.Beat, e.Now, fmt.Sprintf("%d Targets are still there", e.Targets))
	d.After = min(d.After, left)
	return d
}

// beat keeps a hook waiting: its time begins anew when half of it is over.
func beat(hook Hook, last, now time.Time, why string) Decision {
	half := max(hook.Timeout/2, time.Second)
	if left := half - now.Sub(last); left > 0 {
		return Decision{Action: None, Reason: why, After: left}
	}
	return Decision{Action: Heartbeat, Reason: why, After: half}
}
