// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/frozen"
	"github.com/slipway-dev/slipway/internal/rollout"
)

// rollOut takes the Service's slot and then watches the rollout controller move the Targets, step by step.
func (r *Reconciler) rollOut(ctx context.Context, l *life) outcome {
	status := &l.release.Status
	l.count()
	if !l.holdsSlot() {
		return r.takeSlot(ctx, l)
	}
	if l.release.Spec.Paused {
		status.ProgressTime = nil
		return wait(time.Minute, v1alpha1.ReasonPaused, fmt.Sprintf("paused with %s Targets updated; set spec.paused to false to go on", status.TargetsUpdated)).within(0)
	}
	strategy, err := r.strategy(ctx, l)
	if err != nil {
		return retry(v1alpha1.ReasonProgressing, err)
	}
	now := r.Clock.Now()
	standing := rollout.Stand(rollout.SlotOf(l.service, false), strategy, l.targets, now)
	if reason := l.service.Status.Stopping; reason != "" { // a decision that is on record stands, whatever the hosts do since
		return r.giveUp(ctx, l, strategy, reason, l.whyStopping())
	}
	if out := r.hook(ctx, l, strategy, v1alpha1.HookBeforeRollout); out != nil {
		return *out
	}
	if standing.Over() && len(standing.Failed) > 0 {
		return r.giveUp(ctx, l, strategy, v1alpha1.ReasonTooManyFailed, standing.Sentence())
	}
	if out := r.walk(l, strategy, &standing); out != nil {
		return *out
	}
	if standing.Arrived() && l.stepsDone(strategy) {
		return advance(v1alpha1.ReasonSucceeded, l.arrivedMessage(&standing))
	}
	if status.ProgressTime == nil || l.progressed || standing.Baking > 0 {
		progress := metav1.NewTime(now)
		status.ProgressTime = &progress
	}
	deadline := strategy.ProgressDeadline
	if left := deadline - now.Sub(status.ProgressTime.Time); left > 0 {
		if len(l.targets) == 0 {
			return wait(left, v1alpha1.ReasonNoTargets, "the Service has no Targets: name hosts in spec.targets").within(0)
		}
		return wait(sooner(left, standing.After), v1alpha1.ReasonRollingOut, l.stepMessage()+l.progressMessage()).within(0)
	}
	return r.giveUp(ctx, l, strategy, v1alpha1.ReasonProgressDeadlineExceeded, fmt.Sprintf("no Target became ready for %s: %s", deadline, l.progressMessage()))
}

// walk goes through the steps. nil means that the rollout goes on as it does.
func (r *Reconciler) walk(l *life, strategy rollout.Strategy, standing *rollout.Standing) *outcome {
	status, now := &l.release.Status, metav1.NewTime(r.Clock.Now())
	if len(strategy.Steps) == 0 {
		return nil
	}
	if status.Step == nil {
		status.Step = &v1alpha1.StepStatus{Since: now}
	}
	words, done, after := strategy.Step(int(status.Step.Index), status.Step.Since.Time, standing, now.Time)
	status.Step.Message = words
	var out outcome
	switch {
	case int(status.Step.Index) >= len(strategy.Steps):
		return nil
	case done:
		if strategy.Awaiting(int(status.Step.Index)) {
			r.Events.Eventf(l.release, l.service, corev1.EventTypeNormal, v1alpha1.ReasonApproved, rollout.StepGate(int(status.Step.Index)), "%s", words)
		}
		status.Step.Index++
		status.Step.Since, status.ProgressTime = now, &now
		status.Step.Message, _, _ = strategy.Step(int(status.Step.Index), now.Time, standing, now.Time)
		out = persist(v1alpha1.ReasonRollingOut, "done: "+words)
	case strategy.Pausing(int(status.Step.Index)):
		status.ProgressTime = nil
		reason := v1alpha1.ReasonStepPause
		if strategy.Awaiting(int(status.Step.Index)) {
			reason, after = v1alpha1.ReasonAwaitingApproval, time.Minute
		}
		out = wait(sooner(after, standing.After), reason, words+"; "+l.progressMessage()).within(0)
	default:
		return nil
	}
	return &out
}

// stepsDone says whether the rollout has gone through all its steps.
func (l *life) stepsDone(strategy rollout.Strategy) bool {
	return len(strategy.Steps) == 0 || l.release.Status.Step != nil && int(l.release.Status.Step.Index) >= len(strategy.Steps)
}

// strategy is that of the Service as the Release froze it.
func (r *Reconciler) strategy(ctx context.Context, l *life) (rollout.Strategy, error) {
	spec, err := frozen.Get(ctx, r.Client, l.release.Namespace, l.release.Status.Frozen)
	if err != nil {
		return rollout.Strategy{}, err
	}
	strategy := rollout.StrategyOf(spec.Rollout)
	strategy.UnreachableAfter = r.UnreachableAfter
	strategy.Approvals = approvals(l.release)
	return strategy, nil
}

// sooner is the smaller of two delays, where 0 is never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// takeSlot takes the Service's rollout slot by an optimistic lock. It waits while another Release holds it: an older one
// sees this one and stops.
func (r *Reconciler) takeSlot(ctx context.Context, l *life) outcome {
	if l.release.Spec.Paused {
		return wait(time.Minute, v1alpha1.ReasonPaused, "paused before the rollout; set spec.paused to false to go on").within(0)
	}
	if rolling := l.service.Status.Rolling; rolling != nil {
		l.release.Status.HeldUntil = nil
		return wait(2*time.Second, v1alpha1.ReasonWaitingForSlot, "Release "+rolling.Release+" is being rolled out")
	}
	now := metav1.NewTime(r.Clock.Now())
	if hold := l.gates.holding(l.release); hold != nil {
		l.release.Status.HeldUntil = hold.until
		return wait(hold.after(now.Time), hold.reason, hold.message).within(0)
	}
	l.release.Status.HeldUntil = nil
	if hook := l.unconfirmed(l.release); hook != nil {
		return awaitConfirmation(hook, "the Release")
	}
	changed := l.service.DeepCopy()
	changed.Status.Rolling = &v1alpha1.ReleaseRecord{
		Release: l.release.Name, UID: l.uid(), Sequence: l.release.Status.Sequence, Revision: string(l.release.Spec.Revision),
		Commit: l.release.Status.Commit, Digest: l.release.Status.Artifact.Digest, Frozen: l.release.Status.Frozen, Since: &now,
	}
	changed.Status.Stopping, changed.Status.RollingBack = "", false
	if err := r.patchSlot(ctx, l, changed); err != nil {
		return retry(v1alpha1.ReasonProgressing, err)
	}
	l.release.Status.ProgressTime = &now
	r.tellOverride(l)
	return persist(v1alpha1.ReasonRollingOut, fmt.Sprintf("rolling out to %d Targets", len(l.targets)))
}

// stop leaves the slot at a wave's edge: no new wave, then the Targets in flight settle, then the Release ends.
func (r *Reconciler) stop(ctx context.Context, l *life, reason, message string) outcome {
	if !l.holdsSlot() {
		return end(reason, message)
	}
	l.count()
	if l.service.Status.Stopping == "" {
		changed := l.service.DeepCopy()
		changed.Status.Stopping = reason
		if err := r.patchSlot(ctx, l, changed); err != nil {
			return retry(reason, err)
		}
		return wait(time.Second, reason, "stopping: no more Targets are started").within(0)
	}
	if out := r.settleHooks(ctx, l); out != nil {
		return *out
	}
	if !rollout.Settled(l.service, l.targets, l.service.Status.Rolling) && r.waited(l, reason) < stopLimit {
		return wait(2*time.Second, reason, "stopping: the Targets in flight finish first").within(0)
	}
	message = fmt.Sprintf("%s: %d of %d Targets run this Release's artifact, the others stay as they are", message, l.release.Status.Targets.Updated, l.release.Status.Targets.Total)
	return end(reason, message)
}

// stopLimit is how long a stop waits for the Targets in flight: longer than most deliveries may take.
const stopLimit = 15 * time.Minute

// patchSlot writes the slot by an optimistic lock.
func (r *Reconciler) patchSlot(ctx context.Context, l *life, changed *v1alpha1.Service) error {
	patch := client.MergeFromWithOptions(l.service, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Status().Patch(ctx, changed, patch, client.FieldOwner(rolloutOwner)); err != nil {
		return fmt.Errorf("write the Service's rollout slot: %w", err)
	}
	l.service = changed
	return nil
}
