// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package notify decides what the places that a Service names are told of its Releases, and says it in their words. Sender
// alone reaches outside.
package notify

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/rollout"
)

const (
	// recent is how long after its end a Release is still told of that nobody was told of before: longer than a manager takes
	// to be back, and short enough that a new notification is not told of old times.
	recent = 15 * time.Minute
	// maxRecords is the API's bound of a Release's notifications.
	maxRecords = 50
)

// Due lists what is to be told of a Release and is not on its record yet.
func Due(service *v1alpha1.Service, release *v1alpha1.Release, now time.Time) []v1alpha1.NotificationStatus {
	var due []v1alpha1.NotificationStatus
	for _, event := range events(release, now) {
		for i := range service.Spec.Notifications {
			n := &service.Spec.Notifications[i]
			kind, _, _ := strings.Cut(event, "/")
			if len(n.Events) > 0 && !slices.Contains(n.Events, v1alpha1.NotificationEvent(kind)) || recorded(release, n.Name, event) ||
				len(release.Status.Notifications)+len(due) >= maxRecords {
				continue
			}
			due = append(due, v1alpha1.NotificationStatus{Name: n.Name, Event: event, State: v1alpha1.NotificationPending, Time: metav1.NewTime(now)})
		}
	}
	return due
}

func recorded(release *v1alpha1.Release, name, event string) bool {
	return slices.ContainsFunc(release.Status.Notifications, func(s v1alpha1.NotificationStatus) bool { return s.Name == name && s.Event == event })
}

// events of a Release as it stands. One that has ended is told of by its end alone, and only for a while.
func events(release *v1alpha1.Release, now time.Time) []string {
	status := &release.Status
	if release.IsDryRun() {
		return nil
	}
	end := conditions.Get(status.Conditions, v1alpha1.ConditionFinished)
	switch {
	case end.Status == metav1.ConditionTrue && (status.CompletionTime == nil || now.Sub(status.CompletionTime.Time) > recent):
		return nil
	case end.Status == metav1.ConditionTrue:
		return []string{string(outcome(end.Reason))}
	case status.Sequence == 0:
		return nil
	}
	list := []string{string(v1alpha1.NotifyStarted)}
	if gate := Gate(release); gate != "" {
		list = append(list, string(v1alpha1.NotifyApprovalWanted)+"/"+gate)
	}
	return list
}

func outcome(reason string) v1alpha1.NotificationEvent {
	switch reason {
	case v1alpha1.ReasonSucceeded:
		return v1alpha1.NotifySucceeded
	case v1alpha1.ReasonRolledBack:
		return v1alpha1.NotifyRolledBack
	case v1alpha1.ReasonFailed:
		return v1alpha1.NotifyFailed
	}
	return v1alpha1.NotifyStopped
}

// Gate is where a Release waits for approval; empty if it does not.
func Gate(release *v1alpha1.Release) string {
	status := &release.Status
	if conditions.Get(status.Conditions, v1alpha1.ConditionReady).Reason != v1alpha1.ReasonAwaitingApproval {
		return ""
	}
	switch {
	case status.Build != nil && status.Build.Shrunk != "":
		return v1alpha1.GateShrunkenArtifact
	case release.Spec.RollBack || status.Step == nil:
		return v1alpha1.GateIrreversible
	}
	return rollout.StepGate(int(status.Step.Index))
}

// backoffs are the waits before the attempts after the first.
var backoffs = []time.Duration{10 * time.Second, 30 * time.Second, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute}

// maxRetryAfter bounds how long the other side may ask to be left alone.
const maxRetryAfter = 15 * time.Minute

// Attempt writes down how an attempt went.
func Attempt(s *v1alpha1.NotificationStatus, answer Answer, now time.Time) {
	s.Attempts++
	s.NextTime, s.Message = nil, conditions.Shorten(answer.Message, 256)
	switch {
	case answer.Sent:
		s.State, s.Message = v1alpha1.NotificationSent, ""
	case answer.Final || int(s.Attempts) > len(backoffs):
		s.State = v1alpha1.NotificationFailed
	default:
		next := metav1.NewTime(now.Add(max(backoffs[s.Attempts-1], min(answer.RetryAfter, maxRetryAfter))))
		s.NextTime = &next
	}
}
