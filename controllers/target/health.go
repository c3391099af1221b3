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

// closely is how long after a switch a host's health is looked at every interval. Later it is at each look at the host, and
// every interval only while looks speak against the verdict.
const closely = 10 * time.Minute

// postponement of a look at a host's health when as many run as may.
const postponement = time.Second

// watch is what is remembered of a host's health from one look to the next.
type watch struct {
	// fence of the order that it speaks of; 0 if there is nothing to remember.
	fence int64
	state health.State
	// until is how long the host is watched closely.
	until time.Time
}

// next is when the host's health is due, at a time after a look.
func (w *watch) next(check *v1alpha1.HealthCheck, now time.Time) (due time.Duration, urgent bool) {
	if w == nil || w.state.Settled() && !now.Before(w.until) {
		return 0, false
	}
	return health.Interval(check), true
}

// asksHealth says whether the host's health is that of what was ordered: its release is live, and there is a check.
func (j *job) asksHealth(seen *delivery.Observation) bool {
	f := j.facts(seen)
	return j.deploy.HealthCheck != nil && j.order != nil && seen != nil && !f.foreign() && seen.Digest == j.order.Digest &&
		(f.complete() || f.handedOver())
}

// handOver begins to watch a host that was switched.
func (j *job) handOver(now time.Time) {
	if check := j.deploy.HealthCheck; check != nil {
		j.health = &watch{fence: j.fence, state: health.Begin(check, now), until: now.Add(closely)}
	}
}

// resume goes on with what is remembered of the host's health. Of a host that this process sees for the first time, or that
// could not be asked for a while, only the last verdict is on record.
func (j *job) resume(now time.Time) {
	if j.health != nil { // it was handed over just now
		return
	}
	if w := j.last.health; w != nil && w.fence == j.fence {
		j.health = w
		return
	}
	j.handOver(now)
	condition := conditions.Get(j.target.Status.Conditions, v1alpha1.ConditionHealthy)
	switch condition.Status {
	case metav1.ConditionTrue:
		j.health.state = health.State{Verdict: health.Healthy, Said: condition.Message}
	case metav1.ConditionFalse:
		j.health.state = health.State{Verdict: health.Unhealthy, Said: condition.Message, Refused: condition.Reason == v1alpha1.ReasonForwardingRefused}
	}
	if d := j.target.Status.Delivery; d.Outcome == rollout.Succeeded && d.CompletionTime != nil {
		j.health.until = d.CompletionTime.Add(closely)
	}
}

// askHealth looks at the host's health once.
func (r *Reconciler) askHealth(ctx context.Context, j *job) *delivery.Failure {
	if r.Health == nil {
		return &delivery.Failure{Step: v1alpha1.StepHealth, Reason: v1alpha1.ReasonCheckingHealth, Message: "this process can't ask hosts for their health"}
	}
	limited, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	answer, err := r.Health.Check(limited, j.host, j.deploy, j.authorities)
	if err != nil {
		return asFailure(err, v1alpha1.StepHealth, v1alpha1.ReasonUnreachable)
	}
	after := *j.health
	after.state = after.state.Look(j.deploy.HealthCheck, answer, r.Clock.Now())
	j.health = &after
	return nil
}

// settle has the health of a host asked for that needs no delivery, reports, and says when to look again. lookDue is when
// the host itself is to be looked at again.
func (r *Reconciler) settle(ctx context.Context, j *job, seen *delivery.Observation, lookDue time.Time) (lesson, error) {
	postponed := false
	if j.asksHealth(seen) {
		j.resume(r.Clock.Now())
		var failure *delivery.Failure
		select {
		case r.looks <- struct{}{}:
			failure = r.askHealth(ctx, j)
			<-r.looks
		default:
			postponed = true
		}
		if ctx.Err() != nil {
			return lesson{}, nil // the process ends: whoever comes next looks at the host first
		}
		if failure != nil {
			return r.reportProblem(ctx, j, failure)
		}
	}
	if err := r.reportSettled(ctx, j, seen); err != nil {
		return lesson{}, err
	}
	var returning time.Duration
	if j.mayReturn(seen) {
		var err error
		if returning, err = r.comeBack(ctx, j); err != nil || ctx.Err() != nil {
			return lesson{}, err
		}
		if err := r.reportSettled(ctx, j, seen); err != nil {
			return lesson{}, err
		}
	}
	now := r.Clock.Now()
	next := lesson{known: true, looked: j.last.looked, after: max(lookDue.Sub(now), time.Second)}
	if due, urgent := j.health.next(j.deploy.HealthCheck, now); urgent {
		next.after = min(next.after, due)
	}
	if postponed {
		next.after = min(next.after, r.jittered(postponement))
	}
	if j.out() && returning > 0 {
		next.after = min(next.after, returning)
	}
	if j.health != nil || j.out() {
		next.health, next.lookDue, next.seen, next.host, next.authorities = j.health, lookDue, seen, j.host, j.authorities
	}
	return next, nil
}

// onlyHealth says whether nothing but the health of a host is due, or its return into its load balancer: the host itself was looked at lately. It is reached as
// it was then.
func (j *job) onlyHealth(now time.Time) bool {
	if j.last.seen == nil || !now.Before(j.last.lookDue) || !j.asksHealth(j.last.seen) && !j.mayReturn(j.last.seen) {
		return false
	}
	j.host, j.authorities = j.last.host, j.last.authorities
	return true
}

// reportSettled writes what was found out of a host and its health, and how the delivery ended if that was what it lacked.
func (r *Reconciler) reportSettled(ctx context.Context, j *job, seen *delivery.Observation) error {
	before := outcome(j.target)
	err := r.report(ctx, j, func(status *v1alpha1.TargetStatus) {
		j.observe(status, seen)
		j.conclude(status, r.Clock.Now())
		j.availability(status, seen)
		f := j.facts(seen)
		f.status = status
		v := decide(f)
		if v.action == deliver { // cannot be: whoever comes here has nothing to deliver
			v = waiting(v1alpha1.ReasonDeliveryFailed, "the host says something else than what was delivered")
		}
		conditions.Summarize(&status.Conditions, j.generation, v.state, v.reason, v.message)
	})
	if err != nil || outcome(j.target) == before {
		return err
	}
	d := j.target.Status.Delivery
	said := ""
	if j.health != nil {
		said = j.health.state.Said
	}
	log.FromContext(ctx).Info("health", "host", j.target.Spec.Host.Name, "fence", j.fence, "outcome", d.Outcome, "said", said)
	switch d.Outcome {
	case rollout.Succeeded:
		r.Metrics.Delivered(j.target, d.CompletionTime.Sub(d.StartTime.Time), d.BytesReceived)
	case rollout.Failed:
		r.Metrics.DeliveryFailed(j.target, d.Reason)
	}
	return nil
}

func outcome(t *v1alpha1.Target) string {
	if t.Status.Delivery == nil {
		return ""
	}
	return t.Status.Delivery.Outcome
}

// conclude writes what is known of the health of what is live, and with it how a delivery ended that only lacked that, or the
// host's return into its load balancer.
func (j *job) conclude(status *v1alpha1.TargetStatus, now time.Time) {
	d := status.Delivery
	open := d != nil && d.Fence == j.fence && switchedBefore(d.Step)
	if j.health == nil {
		f := j.facts(nil)
		f.status = status
		if open && d.Step == v1alpha1.StepReturn && j.deploy.HealthCheck == nil && !loadbalancer.Out(status.LoadBalancer) {
			succeed(d, now, v1alpha1.StepReturn, status.LoadBalancer)
		}
		if j.deploy.HealthCheck == nil && f.order != nil && f.complete() {
			conditions.Remove(&status.Conditions, v1alpha1.ConditionHealthy)
		}
		return
	}
	state := j.health.state
	value := map[health.Verdict]metav1.ConditionStatus{health.Healthy: metav1.ConditionTrue, health.Unhealthy: metav1.ConditionFalse, health.Open: metav1.ConditionUnknown}
	said := state.Said
	if said == "" {
		said = "the health check has not been made yet"
	}
	conditions.Set(&status.Conditions, j.generation, v1alpha1.ConditionHealthy, value[state.Verdict], state.Reason(), said)
	if !open || state.Verdict == health.Open {
		return
	}
	if state.Verdict == health.Unhealthy {
		d.Step = v1alpha1.StepHealth
		if d.Outcome != rollout.Failed {
			ended := metav1.NewTime(now)
			d.Outcome, d.Failures, d.Reason, d.CompletionTime = rollout.Failed, d.Failures+1, state.Reason(), &ended
			addStep(d, v1alpha1.StepHealth, state.Said, now)
		}
		return
	}
	if d.Step == v1alpha1.StepHealth {
		addStep(d, v1alpha1.StepHealth, state.Said, now)
		if loadbalancer.Out(status.LoadBalancer) {
			d.Step, d.Outcome = v1alpha1.StepReturn, ""
			return
		}
		succeed(d, now, "", nil)
	} else if !loadbalancer.Out(status.LoadBalancer) {
		succeed(d, now, v1alpha1.StepReturn, status.LoadBalancer)
	}
}

// succeed ends a delivery well, with its last step if that is not written down yet.
func succeed(d *v1alpha1.DeliveryStatus, now time.Time, step string, record *v1alpha1.LoadBalancerStatus) {
	if step != "" {
		message := ""
		if record != nil {
			message = record.Message
		}
		addStep(d, step, message, now)
	}
	ended := metav1.NewTime(now)
	d.Outcome, d.Failures, d.Reason, d.Step, d.CompletionTime = rollout.Succeeded, 0, "", "", &ended
}

// addStep writes down a step that took the time since the others, in place of an earlier one of its name at the end.
func addStep(d *v1alpha1.DeliveryStatus, name, message string, now time.Time) {
	step := v1alpha1.DeliveryStep{Name: name, Message: message}
	if n := len(d.Steps); n > 0 && d.Steps[n-1].Name == name {
		d.Steps = d.Steps[:n-1]
	}
	if d.StartTime != nil {
		step.Milliseconds = now.Sub(d.StartTime.Time).Milliseconds()
		for i := range d.Steps {
			step.Milliseconds -= d.Steps[i].Milliseconds
		}
		step.Milliseconds = max(step.Milliseconds, 0)
	}
	d.Steps = steps(append(d.Steps, step))
}
