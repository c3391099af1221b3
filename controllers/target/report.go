// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/delivery"
	"github.com/slipway-dev/slipway/internal/loadbalancer"
	"github.com/slipway-dev/slipway/internal/rollout"
)

// reportFirst writes the very first status, so that nobody takes a Target without one for a ready one.
func (r *Reconciler) reportFirst(ctx context.Context, j *job) error {
	return r.report(ctx, j, func(status *v1alpha1.TargetStatus) {
		for _, kind := range []string{v1alpha1.ConditionReachable, v1alpha1.ConditionAvailable} {
			conditions.Unknown(&status.Conditions, j.generation, kind, v1alpha1.ReasonProbing, "the host was not looked at yet")
		}
		conditions.Summarize(&status.Conditions, j.generation, conditions.InProgress, v1alpha1.ReasonProbing, "looking at the host")
	})
}

// reportSeen writes what a look at the host found.
func (r *Reconciler) reportSeen(ctx context.Context, j *job, seen *delivery.Observation, v verdict) error {
	return r.report(ctx, j, func(status *v1alpha1.TargetStatus) {
		j.observe(status, seen)
		j.availability(status, seen)
		conditions.Summarize(&status.Conditions, j.generation, v.state, v.reason, v.message)
	})
}

// reportBegun writes that a delivery begins: the intent is on record before the effect, and so is a key that was pinned.
func (r *Reconciler) reportBegun(ctx context.Context, j *job, v verdict, began metav1.Time) error {
	return r.report(ctx, j, func(status *v1alpha1.TargetStatus) {
		status.Delivery = j.delivery(status, began)
		conditions.Summarize(&status.Conditions, j.generation, v.state, v.reason, v.message)
	})
}

// reportDelivered writes that a delivery ended well, or that only the host's health remains to be seen.
func (r *Reconciler) reportDelivered(ctx context.Context, j *job, result *delivery.Result, began metav1.Time) error {
	j.handOver(r.Clock.Now())
	if j.health == nil && !j.out() {
		r.Metrics.Delivered(j.target, r.Clock.Since(began.Time), result.BytesReceived)
	}
	log.FromContext(ctx).Info("delivered", "host", j.target.Spec.Host.Name, "digest", j.order.Digest, "fence", j.fence,
		"bytes", result.BytesReceived)
	return r.report(ctx, j, func(status *v1alpha1.TargetStatus) {
		d := j.delivery(status, began)
		d.Steps = steps(append(d.Steps, result.Steps...))
		d.BytesReceived += result.BytesReceived
		switch {
		case j.health != nil:
			d.Step = v1alpha1.StepHealth
		case loadbalancer.Out(status.LoadBalancer):
			d.Step = v1alpha1.StepReturn
		default:
			done := metav1.NewTime(r.Clock.Now())
			d.Outcome, d.Failures, d.Reason, d.CompletionTime = rollout.Succeeded, 0, "", &done
		}
		status.Delivery = d
		j.observe(status, &result.Observation)
		j.conclude(status, r.Clock.Now())
		f := j.facts(&result.Observation)
		f.status = status
		v := decide(f)
		if v.action == deliver { // cannot be: the order is complete now
			v = waiting(v1alpha1.ReasonDeliveryFailed, "the host says something else than what was delivered")
		}
		j.availability(status, &result.Observation)
		if result.PruneError != "" {
			conditions.False(&status.Conditions, j.generation, v1alpha1.ConditionPruned, v1alpha1.ReasonFailed, result.PruneError)
		} else {
			conditions.True(&status.Conditions, j.generation, v1alpha1.ConditionPruned, v1alpha1.ReasonSucceeded, "old releases were removed")
		}
		conditions.Summarize(&status.Conditions, j.generation, v.state, v.reason, v.message)
	})
}

// reportFailed writes that a delivery failed, and says when to try again.
func (r *Reconciler) reportFailed(ctx context.Context, j *job, failure *delivery.Failure, began metav1.Time) (lesson, error) {
	next := lesson{known: !failure.Unknown && !failure.Switched && !unreached(failure), failures: j.last.failures + 1}
	next.after = r.jittered(backoff(next.failures))
	r.Metrics.DeliveryFailed(j.target, failure.Reason)
	log.FromContext(ctx).Info("delivery failed", "host", j.target.Spec.Host.Name, "fence", j.fence, "step", failure.Step,
		"reason", failure.Reason, "error", failure.Message, "failures", next.failures, "after", next.after)
	err := r.report(ctx, j, func(status *v1alpha1.TargetStatus) {
		d := j.delivery(status, began)
		d.Outcome, d.Failures, d.Step, d.Steps = rollout.Failed, d.Failures+1, conditions.Shorten(failure.Step, 32), steps(failure.Steps)
		d.Reason = conditions.Shorten(failure.Reason, 64)
		done := metav1.NewTime(r.Clock.Now())
		d.CompletionTime = &done
		status.Delivery = d
		j.fail(status, failure)
		if failure.Switched {
			conditions.False(&status.Conditions, j.generation, v1alpha1.ConditionAvailable, failure.Reason, failure.Message)
		}
	})
	return next, err
}

// reportProblem writes that the host could not be looked at.
func (r *Reconciler) reportProblem(ctx context.Context, j *job, failure *delivery.Failure) (lesson, error) {
	next := lesson{failures: j.last.failures + 1}
	wait := backoff(next.failures)
	if failure.Step == accessStep {
		wait = min(wait, maxAccessBackoff)
	}
	next.after = r.jittered(wait)
	return next, r.report(ctx, j, func(status *v1alpha1.TargetStatus) { j.fail(status, failure) })
}

// report writes the status in one patch. A Target that changed meanwhile is read anew and patched again: nobody else
// writes its status, and what was found out holds for the generation that was acted on.
func (r *Reconciler) report(ctx context.Context, j *job, mutate func(*v1alpha1.TargetStatus)) error {
	for attempt := 1; ; attempt++ {
		before := j.target.DeepCopy()
		after := j.target.DeepCopy()
		mutate(&after.Status)
		after.Status.ObservedGeneration = j.generation
		err := conditions.PatchStatus(ctx, r.Client, before, after, FieldOwner)
		if err == nil {
			j.target = after
			return nil
		}
		if !apierrors.IsConflict(err) || attempt == 5 {
			return fmt.Errorf("report on the host: %w", err)
		}
		var latest v1alpha1.Target
		if err := r.Reader.Get(ctx, client.ObjectKeyFromObject(j.target), &latest); err != nil {
			return fmt.Errorf("read the Target anew: %w", err)
		}
		if latest.UID != before.UID {
			return apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("targets").GroupResource(), latest.Name)
		}
		j.target = &latest
	}
}
