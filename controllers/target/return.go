// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/delivery"
	"github.com/slipway-dev/slipway/internal/health"
	"github.com/slipway-dev/slipway/internal/loadbalancer"
	"github.com/slipway-dev/slipway/internal/rollout"
)

// undo has a host come back that could not be drained, or to which nothing was delivered afterwards: what it served before it
// still serves. What fails here is done once there is nothing else to do with the host.
func (r *Reconciler) undo(ctx context.Context, j *job, why string) {
	if status := &j.target.Status; !loadbalancer.Untouched(status.LoadBalancer, status.SwitchedFence) {
		return
	}
	if err := r.reportBalance(ctx, j, v1alpha1.Registering, nil, "comes back as it was: "+why); err != nil {
		log.FromContext(ctx).Error(err, "bring the host back")
		return
	}
	if _, failure := r.register(ctx, j); failure != nil {
		log.FromContext(ctx).Info("the host could not be brought back into its load balancer", "host", j.target.Spec.Host.Name, "error", failure.Message)
	}
}

// mayReturn says whether the host comes back now.
func (j *job) mayReturn(seen *delivery.Observation) bool {
	if !j.out() || seen == nil {
		return false
	}
	f := j.facts(seen)
	facts := loadbalancer.Facts{
		Status: j.target.Status.LoadBalancer, Live: seen.Digest, Foreign: f.foreign(), Half: half(j.target.Status.Delivery, seen),
		Healthy: !j.asksHealth(seen) || j.health != nil && j.health.state.Verdict == health.Healthy,
	}
	if j.order != nil && !j.withdrawn {
		facts.Ordered = j.order.Digest
	}
	return loadbalancer.MayReturn(facts)
}

// comeBack brings the host back, step by step, and says how soon to go on.
func (r *Reconciler) comeBack(ctx context.Context, j *job) (after time.Duration, err error) {
	by := r.balancer(ctx, j)
	if j.target.Status.LoadBalancer.State != v1alpha1.Registering {
		if err := r.reportBalance(ctx, j, v1alpha1.Registering, nil, "comes back"); err != nil {
			return 0, err
		}
	}
	waitsFor, failure := r.register(ctx, j)
	switch {
	case ctx.Err() != nil:
		return 0, nil
	case failure == nil && waitsFor == "":
		return 0, r.report(ctx, j, func(status *v1alpha1.TargetStatus) {
			status.LoadBalancer = &v1alpha1.LoadBalancerStatus{State: v1alpha1.InService, Since: metav1.NewTime(r.Clock.Now()), By: status.LoadBalancer.By,
				Fence: status.LoadBalancer.Fence, Message: "serves requests again"}
		})
	}
	reason, limit := v1alpha1.ReasonReturnFailed, loadbalancer.HealthyTimeout(by)
	late := loadbalancer.Late(j.target.Status.LoadBalancer, limit, r.Clock.Now())
	if failure != nil {
		waitsFor, reason = failure.Message, failure.Reason
		late = late || failure.Terminal || reason == v1alpha1.ReasonReturnFailed && by != nil && by.Commands != nil
	}
	after = balancePoll
	if late {
		after = balancePollLate
	}
	before := outcome(j.target)
	err = r.report(ctx, j, func(status *v1alpha1.TargetStatus) {
		status.LoadBalancer.Message = conditions.Shorten(waitsFor, maxStepMessage)
		if d := status.Delivery; late && d != nil && d.Step == v1alpha1.StepReturn && d.Fence == j.fence && d.Outcome != rollout.Failed {
			ended := metav1.NewTime(r.Clock.Now())
			d.Outcome, d.Failures, d.Reason, d.CompletionTime = rollout.Failed, d.Failures+1, reason, &ended
		}
	})
	if err == nil && outcome(j.target) != before {
		r.Metrics.DeliveryFailed(j.target, reason)
	}
	return after, err
}

// register brings back what Slipway took out, and says what is still to be waited for; empty if all is in service.
func (r *Reconciler) register(ctx context.Context, j *job) (waitsFor string, failure *delivery.Failure) {
	record := j.target.Status.LoadBalancer
	if len(record.Members) == 0 {
		by := r.balancer(ctx, j)
		if by == nil || by.Commands == nil {
			return "", &delivery.Failure{Step: v1alpha1.StepReturn, Reason: v1alpha1.ReasonReturnFailed, Terminal: true,
				Message: "nobody knows any more by which command the host comes back: bring it back by hand, and release with deploy.loadBalancer.commands"}
		}
		return "", r.command(ctx, j, v1alpha1.StepReturn, by.Commands.Undrain)
	}
	failed := func(err error) *delivery.Failure {
		return &delivery.Failure{Step: v1alpha1.StepReturn, Reason: v1alpha1.ReasonReturnFailed, Message: err.Error()}
	}
	for _, member := range record.Members {
		of, refused := r.mayBalance(ctx, j, v1alpha1.StepReturn, member.TargetGroupARN)
		if refused != nil {
			failure = refused
			continue // the other groups get it back all the same
		}
		stands, err := r.Balancers.Health(ctx, of, member)
		if err == nil && !stands.Serving() {
			if err = r.Balancers.Register(ctx, of, member); err == nil {
				stands, err = r.Balancers.Health(ctx, of, member)
			}
		}
		switch {
		case err != nil:
			failure = failed(err)
		case !stands.InService():
			waitsFor = loadbalancer.Describe(member, stands)
		}
	}
	return waitsFor, failure
}
