// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/rollout"
)

// maxFailures bounds the failures in a Release's status; the rest is on the Targets.
const maxFailures = 50

// recount writes the counts alone: while the Targets return, the failures stay those that they return for.
func (l *life) recount() {
	failures := l.release.Status.Failures
	l.count()
	l.release.Status.Failures = failures
}

// count writes the counts and the first failures of the Targets into the Release's status.
func (l *life) count() {
	status := &l.release.Status
	if status.Artifact == nil {
		return
	}
	counts := v1alpha1.TargetCounts{Total: int32(len(l.targets))}
	l.progressed = l.firstHosts()
	var failures []v1alpha1.TargetFailure
	for i := range l.targets {
		target := &l.targets[i]
		ready := conditions.Get(target.Status.Conditions, v1alpha1.ConditionReady)
		isReady := ready.Status == "True" && target.Status.ObservedGeneration == target.Generation
		if isReady {
			counts.Ready++
		}
		if isReady && l.runs(target) {
			counts.Updated++
			l.progressed = l.progressed || status.ProgressTime == nil || arrived(target).After(status.ProgressTime.Time)
		}
		if !conditions.IsTrue(target.Status.Conditions, v1alpha1.ConditionAvailable) {
			counts.Unavailable++
		}
		if conditions.IsTrue(target.Status.Conditions, v1alpha1.ConditionDrifted) {
			counts.Drifted++
		}
		if ready.Status == "False" && ready.Reason != v1alpha1.ReasonWaitingForWave && ready.Reason != v1alpha1.ReasonNothingDelivered {
			failures = append(failures, v1alpha1.TargetFailure{
				Target: target.Name, Host: target.Spec.Host.Name, Reason: ready.Reason, Message: ready.Message,
			})
		}
	}
	sort.Slice(failures, func(i, j int) bool { return failures[i].Target < failures[j].Target })
	status.Failures = failures[:min(len(failures), maxFailures)]
	status.Targets = counts
	status.TargetsUpdated = fmt.Sprintf("%d/%d", counts.Updated, counts.Total)
}

// arrived is when a Target got to what it runs. Counts do not tell: hosts leave, and one that flaps arrives nowhere.
func arrived(target *v1alpha1.Target) time.Time {
	if d := target.Status.Delivery; d != nil && d.CompletionTime != nil {
		return d.CompletionTime.Time
	}
	return time.Time{}
}

// firstHosts says whether the Release took the slot while there were no hosts, and now there are: the time without any
// is not theirs. It is so once: a fleet whose only host is replaced again and again must not hold a Release for ever.
func (l *life) firstHosts() bool {
	status := &l.release.Status
	return l.holdsSlot() && status.Targets.Total == 0 && len(l.targets) > 0 &&
		status.ProgressTime != nil && status.ProgressTime.Equal(l.service.Status.Rolling.Since)
}

// runs says whether a Target runs this Release's artifact as this Release froze the Service.
func (l *life) runs(target *v1alpha1.Target) bool {
	status := &l.release.Status
	want := target.Spec.Artifact
	return want != nil && want.Digest == status.Artifact.Digest && want.Frozen == status.Frozen &&
		target.Status.Running != nil && target.Status.Running.Digest == want.Digest
}

// progressMessage says in one sentence how far the rollout is and what holds it.
func (l *life) progressMessage() string {
	status := &l.release.Status
	message := fmt.Sprintf("%d of %d Targets run it", status.Targets.Updated, status.Targets.Total)
	if len(status.Failures) == 0 {
		return message
	}
	var parts []string
	for _, failure := range status.Failures[:min(3, len(status.Failures))] {
		parts = append(parts, failure.Host+": "+failure.Message)
	}
	if more := len(status.Failures) - len(parts); more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return message + "; " + strings.Join(parts, "; ")
}

// arrivedMessage says in one sentence who runs it and who was left behind.
func (l *life) arrivedMessage(standing *rollout.Standing) string {
	message := fmt.Sprintf("%d of %d Targets run it", standing.Baked+standing.Baking, standing.Total)
	if behind := standing.Sentence(); behind != "" {
		message += "; left behind: " + behind
	}
	return message
}

// stepMessage says at which step the rollout is, in front of another sentence.
func (l *life) stepMessage() string {
	if step := l.release.Status.Step; step != nil && step.Message != "" {
		return step.Message + "; "
	}
	return ""
}

// successMessage says in one sentence what the Release did.
func (l *life) successMessage() string {
	what := fmt.Sprintf("%s (%s)", l.release.Spec.Revision, l.release.Status.ShortCommit)
	if counts := l.release.Status.Targets; counts.Updated < counts.Total {
		behind := conditions.Get(l.release.Status.Conditions, v1alpha1.ConditionVerified).Message
		return fmt.Sprintf("%d of %d Targets run %s: %s", counts.Updated, counts.Total, what, behind)
	}
	return fmt.Sprintf("%d Targets run %s", l.release.Status.Targets.Total, what)
}
