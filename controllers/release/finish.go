// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
)

// maxHistory bounds Service.status.history.
const maxHistory = 50

// apply writes an outcome into the status. done says that the Release ends.
func (r *Reconciler) apply(l *life, out outcome) (result reconcile.Result, done bool) {
	status, generation := &l.release.Status, l.release.Generation
	status.ObservedGeneration = generation
	now := r.Clock.Now()
	if out.kind == waiting || out.kind == retrying {
		waited := r.waited(l, out.reason)
		if waited == 0 {
			since := metav1.NewTime(now)
			status.WaitingSince = &since
		}
		if out.limit > 0 && waited >= out.limit {
			return r.apply(l, fail(out.reason, fmt.Sprintf("gave up after %s: %s", out.limit, out.message)))
		}
		if out.kind == retrying {
			out.after = min(max(waited/2, time.Second), time.Minute)
		}
		if out.limit > 0 {
			out.after = min(out.after, max(out.limit-waited, time.Second))
		}
	}
	switch out.kind {
	case persisting:
		status.WaitingSince = nil
		conditions.Summarize(&status.Conditions, generation, conditions.InProgress, out.reason, out.message)
		result.RequeueAfter = time.Second // the write itself brings the Release back sooner
	case waiting, retrying:
		if l.phase != "" {
			conditions.Unknown(&status.Conditions, generation, l.phase, out.reason, out.message)
		}
		state := conditions.InProgress
		if out.kind == retrying {
			state = conditions.Waiting
		}
		conditions.Summarize(&status.Conditions, generation, state, out.reason, out.message)
		result.RequeueAfter = out.after
	case failed, ended:
		done = true
		r.conclude(l, out)
	}
	status.Phase = phaseOf(l.release)
	return result, done
}

// waited is how long the Release has waited for reason; 0 if it did not wait for it before.
func (r *Reconciler) waited(l *life, reason string) time.Duration {
	since := l.release.Status.WaitingSince
	if since == nil || conditions.Get(l.release.Status.Conditions, v1alpha1.ConditionReady).Reason != reason {
		return 0
	}
	return max(r.Clock.Now().Sub(since.Time), time.Millisecond)
}

// outcomeName is the word for how a Release ended.
func outcomeName(out outcome) string {
	if out.kind == failed {
		return v1alpha1.ReasonFailed
	}
	return out.reason
}

// conclude writes the final conditions. They never change again.
func (r *Reconciler) conclude(l *life, out outcome) {
	status, generation := &l.release.Status, l.release.Generation
	now := metav1.NewTime(r.Clock.Now())
	status.CompletionTime, status.WaitingSince = &now, nil
	if l.phase != "" && !conditions.IsTrue(status.Conditions, l.phase) {
		conditions.False(&status.Conditions, generation, l.phase, out.reason, out.message)
	}
	conditions.True(&status.Conditions, generation, v1alpha1.ConditionFinished, outcomeName(out), out.message)
	if outcomeName(out) == v1alpha1.ReasonSucceeded {
		conditions.True(&status.Conditions, generation, v1alpha1.ConditionSucceeded, out.reason, out.message)
		conditions.Summarize(&status.Conditions, generation, conditions.Current, out.reason, out.message)
		return
	}
	conditions.False(&status.Conditions, generation, v1alpha1.ConditionSucceeded, out.reason, out.message)
	conditions.Summarize(&status.Conditions, generation, conditions.Stalled, out.reason, out.message)
}

// record writes how the Release ended into the Service, together with what becomes of the slot: one write, so that no
// crash can leave one without the other.
func (r *Reconciler) record(ctx context.Context, l *life, _ outcome) error {
	if !l.bound() || l.recorded() != nil {
		return nil
	}
	status := &l.release.Status
	succeeded := conditions.Get(status.Conditions, v1alpha1.ConditionSucceeded)
	changed := l.service.DeepCopy()
	entry := v1alpha1.ReleaseOutcome{
		Release: l.release.Name, UID: l.uid(), Sequence: status.Sequence, Commit: status.Commit,
		Outcome: conditions.Get(status.Conditions, v1alpha1.ConditionFinished).Reason,
		Reason:  succeeded.Reason, Message: conditions.Shorten(succeeded.Message, 512), Time: status.CompletionTime,
	}
	if status.Artifact != nil {
		entry.Digest = status.Artifact.Digest
	}
	history := append([]v1alpha1.ReleaseOutcome{entry}, changed.Status.History...)
	changed.Status.History = history[:min(len(history), maxHistory)]
	if l.holdsSlot() {
		if succeeded.Status == metav1.ConditionTrue {
			if current := changed.Status.Current; current != nil && current.Digest != changed.Status.Rolling.Digest {
				changed.Status.Previous = current
			}
			changed.Status.Current = changed.Status.Rolling
			changed.Status.Current.Since = status.CompletionTime
		}
		changed.Status.Rolling, changed.Status.Stopping, changed.Status.RollingBack = nil, "", false
	}
	return r.patchSlot(ctx, l, changed)
}

// fromRecord is the outcome that the Service has on record.
func fromRecord(entry *v1alpha1.ReleaseOutcome) outcome {
	if entry.Outcome == v1alpha1.ReasonFailed {
		return fail(entry.Reason, entry.Message)
	}
	return end(entry.Reason, entry.Message)
}

// letGo removes what a finished Release does not need any more: its credential, a Job that still runs, the finalizer.
func (r *Reconciler) letGo(ctx context.Context, release *v1alpha1.Release) error {
	if !controllerutil.ContainsFinalizer(release, v1alpha1.Finalizer) {
		return nil
	}
	if b := release.Status.Build; b != nil && b.Job != "" {
		meta := metav1.ObjectMeta{Namespace: release.Namespace, Name: b.Job}
		if b.JobUID != "" {
			if err := r.deleteOwned(ctx, release, &corev1.Secret{ObjectMeta: meta}); err != nil {
				return err
			}
		}
		if err := r.cancelJob(ctx, release, &batchv1.Job{ObjectMeta: meta}); err != nil {
			return err
		}
	}
	before := release.DeepCopy()
	controllerutil.RemoveFinalizer(release, v1alpha1.Finalizer)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, release, patch, client.FieldOwner(FieldOwner)); err != nil {
		return client.IgnoreNotFound(err)
	}
	return nil
}

// cancelJob deletes a Job of the Release that has not ended: nobody waits for it any more.
func (r *Reconciler) cancelJob(ctx context.Context, release *v1alpha1.Release, job *batchv1.Job) error {
	if err := r.Reader.Get(ctx, client.ObjectKeyFromObject(job), job); err != nil {
		return client.IgnoreNotFound(err)
	}
	for _, c := range job.Status.Conditions {
		if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) {
			return nil
		}
	}
	return r.deleteOwned(ctx, release, job)
}

// deleteOwned deletes a child of the Release, and nothing that has its name but another owner.
func (r *Reconciler) deleteOwned(ctx context.Context, release *v1alpha1.Release, child client.Object) error {
	if err := r.Reader.Get(ctx, client.ObjectKeyFromObject(child), child); err != nil {
		return client.IgnoreNotFound(err)
	}
	if !metav1.IsControlledBy(child, release) {
		return nil
	}
	uid := child.GetUID()
	err := r.Client.Delete(ctx, child, client.Preconditions{UID: &uid}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	return client.IgnoreNotFound(err)
}

// announce tells of each phase, and of the end, by one Event, and counts them.
func (r *Reconciler) announce(before *v1alpha1.Release, l *life, out outcome) {
	release := l.release
	if b := before.Status.Build; b != nil && b.CompletionTime == nil {
		r.Metrics.BuildEnded(release)
	}
	for _, p := range r.phases() {
		if !conditions.IsTrue(before.Status.Conditions, p.condition) && conditions.IsTrue(release.Status.Conditions, p.condition) {
			c := conditions.Get(release.Status.Conditions, p.condition)
			r.Events.Eventf(release, nil, corev1.EventTypeNormal, c.Reason, p.condition, "%s: %s", p.condition, c.Message)
		}
	}
	if !finished(before) && finished(release) {
		c := conditions.Get(release.Status.Conditions, v1alpha1.ConditionSucceeded)
		r.Metrics.ReleaseFinished(release, outcomeName(out), c.Reason)
		kind := corev1.EventTypeNormal
		if out.kind == failed || out.reason == v1alpha1.ReasonRolledBack {
			kind = corev1.EventTypeWarning
		}
		r.Events.Eventf(release, nil, kind, c.Reason, "Finish", "%s", c.Message)
	}
}

// phaseOf names the phase for printing.
func phaseOf(release *v1alpha1.Release) string {
	list := release.Status.Conditions
	if finished(release) {
		return conditions.Get(list, v1alpha1.ConditionFinished).Reason
	}
	switch conditions.Get(list, v1alpha1.ConditionReady).Reason {
	case v1alpha1.ReasonPaused:
		return "Paused"
	case v1alpha1.ReasonLocked, v1alpha1.ReasonWindowClosed, v1alpha1.ReasonAwaitingPromotion:
		return "Held"
	}
	if release.Status.Rollback != nil {
		return "RollingBack"
	}
	for _, p := range []struct{ condition, phase string }{
		{v1alpha1.ConditionResolved, "Resolving"}, {v1alpha1.ConditionBuilt, "Building"}, {v1alpha1.ConditionPublished, "Publishing"},
		{v1alpha1.ConditionRolledOut, "RollingOut"}, {v1alpha1.ConditionVerified, "Verifying"},
	} {
		if !conditions.IsTrue(list, p.condition) {
			return p.phase
		}
	}
	return "Finishing"
}
