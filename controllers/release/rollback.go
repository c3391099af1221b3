// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/rollout"
)

// giveUp ends a Release that failed on the hosts, as rollout.onFailure says.
func (r *Reconciler) giveUp(ctx context.Context, l *life, strategy rollout.Strategy, reason, message string) outcome {
	current, rolling := l.service.Status.Current, l.service.Status.Rolling
	back := strategy.OnFailure == v1alpha1.OnFailureRollback && current != nil && !rollout.Same(current, rolling)
	if hook := l.service.Status.Irreversible; back && reason != v1alpha1.ReasonRollbackRequested && rollout.Bars(hook, current) {
		back = false
		message += fmt.Sprintf("; no Target is returned to %s, as hook %s of Release %s is irreversible", rollout.Label(current), field(hook.Hook), hook.Release)
	}
	if back && l.service.Status.Stopping == "" {
		l.release.Status.Rollback = &v1alpha1.RollbackStatus{
			To: current.Release, Reason: reason, Message: conditions.Shorten(message, 1024), StartTime: metav1.NewTime(r.Clock.Now()), Targets: l.ordered(),
		}
		return persist(v1alpha1.ReasonRollingBack, message+"; the Targets that were switched return to "+rollout.Label(current))
	}
	out := r.stop(ctx, l, reason, message)
	if out.kind == ended {
		return fail(reason, out.message+"; "+whatNext(current))
	}
	return out
}

// turnBack does what a person wants who had enough of a Release, at whatever point it is.
func (r *Reconciler) turnBack(ctx context.Context, l *life) outcome {
	if !l.holdsSlot() {
		return r.stop(ctx, l, v1alpha1.ReasonAborted, "stopped by spec.rollBack before any Target was moved")
	}
	strategy, err := r.strategy(ctx, l)
	if err != nil {
		return retry(v1alpha1.ReasonRollingBack, err)
	}
	if current := l.service.Status.Current; current == nil || rollout.Same(current, l.service.Status.Rolling) {
		return r.stop(ctx, l, v1alpha1.ReasonAborted, "stopped by spec.rollBack, and there is no other Release to return to")
	}
	if out := r.settleHooks(ctx, l); out != nil {
		return *out
	}
	if hook := l.service.Status.Irreversible; rollout.Bars(hook, l.service.Status.Current) && len(strategy.Approvals.Confirmed(v1alpha1.GateIrreversible)) == 0 {
		return awaitConfirmation(hook, "spec.rollBack")
	}
	strategy.OnFailure = v1alpha1.OnFailureRollback
	l.recount()
	return r.giveUp(ctx, l, strategy, v1alpha1.ReasonRollbackRequested, "a person wants it rolled back (spec.rollBack)")
}

// whatNext says what a person can do when a Release has failed and nothing was returned.
func whatNext(current *v1alpha1.ReleaseRecord) string {
	if current == nil {
		return "mend the hosts or the revision and create a new Release"
	}
	return fmt.Sprintf("mend the hosts or the revision and create a new Release, or release %s to go back", current.Revision)
}

// rollBack watches the rollout controller return the Targets. It was decided before: neither hosts that recover nor an edit
// of the Service change that.
func (r *Reconciler) rollBack(ctx context.Context, l *life) outcome {
	status := &l.release.Status
	if !l.holdsSlot() || l.service.Status.Current == nil {
		return fail(v1alpha1.ReasonRollbackIncomplete, status.Rollback.Message+"; the Service has no Release to return to any more")
	}
	strategy, err := r.strategy(ctx, l)
	if err != nil {
		return retry(v1alpha1.ReasonRollingBack, err)
	}
	if !l.service.Status.RollingBack {
		changed := l.service.DeepCopy()
		changed.Status.Stopping, changed.Status.RollingBack = status.Rollback.Reason, true
		if err := r.patchSlot(ctx, l, changed); err != nil {
			return retry(v1alpha1.ReasonRollingBack, err)
		}
	}
	l.recount()
	now, current := r.Clock.Now(), l.service.Status.Current
	way := rollout.Back(rollout.SlotOf(l.service, false), strategy, l.targets, now)
	returned := max(int(status.Rollback.Targets)-way.Returning-len(way.Stuck), 0)
	if status.ProgressTime == nil || l.returnedSince(current, status.ProgressTime.Time) {
		progress := metav1.NewTime(now)
		status.ProgressTime = &progress
	}
	message := fmt.Sprintf("%s. %d of %d Targets are back at %s", status.Rollback.Message, returned, status.Rollback.Targets, rollout.Label(current))
	if way.Returning == 0 {
		if out := r.settleHooks(ctx, l); out != nil {
			return *out
		}
		if len(way.Stuck) > 0 {
			message += fmt.Sprintf("; %d could not be returned yet, and will be once they can: %s", len(way.Stuck), rollout.Names(way.Stuck))
		}
		return end(v1alpha1.ReasonRolledBack, message+". Mend the revision and create a new Release")
	}
	left := strategy.ProgressDeadline - now.Sub(status.ProgressTime.Time)
	if left <= 0 {
		if len(way.Stuck) > 0 {
			message += "; could not be returned: " + rollout.Names(way.Stuck)
		}
		return fail(v1alpha1.ReasonRollbackIncomplete, fmt.Sprintf("%s; no Target was returned for %s. Those that are left go on by themselves; see kubectl get sltgt",
			message, strategy.ProgressDeadline))
	}
	return wait(sooner(min(left, 10*time.Second), way.After), v1alpha1.ReasonRollingBack, message).within(0)
}

// ordered counts the Targets that were moved to this Release.
func (l *life) ordered() (n int32) {
	for i := range l.targets {
		if order := l.targets[i].Spec.Artifact; order != nil && rollout.Same(order, l.service.Status.Rolling) {
			n++
		}
	}
	return n
}

// returnedSince says whether a Target got back after a time.
func (l *life) returnedSince(current *v1alpha1.ReleaseRecord, since time.Time) bool {
	for i := range l.targets {
		if rollout.Runs(&l.targets[i], current) && arrived(&l.targets[i]).After(since) {
			return true
		}
	}
	return false
}
