// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/delivery"
	"github.com/slipway-dev/slipway/internal/discovery"
	"github.com/slipway-dev/slipway/internal/frozen"
	"github.com/slipway-dev/slipway/internal/loadbalancer"
	"github.com/slipway-dev/slipway/internal/policy"
)

const (
	// balancePoll is how often a target group is asked how a host stands that leaves it or returns; seldom once it is late.
	balancePoll     = 3 * time.Second
	balancePollLate = 30 * time.Second
)

// out says whether Slipway took the host out of its load balancer and has not brought it back.
func (j *job) out() bool { return loadbalancer.Out(j.target.Status.LoadBalancer) }

// live is the digest that is live on the host as it was seen last.
func (j *job) live() string {
	if running := j.target.Status.Running; running != nil {
		return running.Digest
	}
	return ""
}

// mustLeave says whether the host has to be out of its load balancer for a delivery.
func (j *job) mustLeave(repair bool) bool {
	return !j.asIs && loadbalancer.MustLeave(loadbalancer.Content{
		Configured: j.deploy.LoadBalancer != nil, Status: j.target.Status.LoadBalancer, Live: j.live(), Ordered: j.order.Digest, Repair: repair,
	})
}

// balancer says how the host was taken out, if it was, and else how it is.
func (r *Reconciler) balancer(ctx context.Context, j *job) *v1alpha1.LoadBalancer {
	if record := j.target.Status.LoadBalancer; j.out() && record.Frozen != "" && (j.order == nil || record.Frozen != j.order.Frozen) {
		if spec, err := frozen.Get(ctx, r.Client, j.target.Namespace, record.Frozen); err == nil && spec.Deploy.LoadBalancer != nil {
			return spec.Deploy.LoadBalancer
		}
	}
	return j.deploy.LoadBalancer
}

// drain takes the host out before a delivery, step by step: done says that the delivery may begin. Each step is written
// down before it is taken.
func (r *Reconciler) drain(ctx context.Context, j *job) (done bool, next lesson, err error) {
	began, by := metav1.NewTime(r.Clock.Now()), r.balancer(ctx, j)
	if record := j.target.Status.LoadBalancer; loadbalancer.Leaving(record) {
		began = record.Since
	}
	fail := func(failure *delivery.Failure) (bool, lesson, error) {
		if ctx.Err() != nil {
			return false, lesson{}, nil // the process ends
		}
		if j.out() {
			r.undo(ctx, j, failure.Message)
		}
		next, err := r.reportFailed(ctx, j, failure, began)
		return false, next, err
	}
	members, failure := r.members(ctx, j, by)
	if failure != nil {
		return fail(failure)
	}
	if by != nil && by.Commands != nil && len(members) == 0 {
		if j.live() == "" && !j.out() {
			return true, lesson{}, nil
		}
		if err := r.reportBalance(ctx, j, v1alpha1.Draining, nil, "the command drain runs"); err != nil {
			return false, lesson{}, err
		}
		if failure := r.command(ctx, j, v1alpha1.StepDrain, by.Commands.Drain); failure != nil {
			return fail(failure)
		}
		return true, lesson{}, r.reportBalance(ctx, j, v1alpha1.Drained, nil, "the command drain ended well")
	}
	if len(members) == 0 {
		return true, lesson{}, nil // it is in no group
	}
	if !loadbalancer.Leaving(j.target.Status.LoadBalancer) {
		if err := r.reportBalance(ctx, j, v1alpha1.Draining, members, "leaves "+names(members)); err != nil {
			return false, lesson{}, err
		}
	}
	waitsFor, failure := r.deregister(ctx, j, members)
	record := j.target.Status.LoadBalancer
	switch {
	case failure != nil && record.State == v1alpha1.Drained:
		return true, lesson{}, nil // it is out already: whoever can't be asked does not hold up a rollback
	case failure != nil:
		return fail(failure)
	}
	if waitsFor == "" {
		if record.State != v1alpha1.Drained {
			err = r.reportBalance(ctx, j, v1alpha1.Drained, members, "out of "+names(members))
		}
		return err == nil, lesson{}, err
	}
	if limit := loadbalancer.DrainTimeout(by); record.State == v1alpha1.Draining && loadbalancer.Late(record, limit, r.Clock.Now()) {
		return fail(&delivery.Failure{Step: v1alpha1.StepDrain, Reason: v1alpha1.ReasonDrainFailed, Message: fmt.Sprintf(
			"not drained within %s: %s. Raise deploy.loadBalancer.drainTimeout above the target group's deregistration delay", limit, waitsFor)})
	}
	if record.State != v1alpha1.Draining || record.Message != conditions.Shorten(waitsFor, maxStepMessage) {
		if err := r.reportBalance(ctx, j, v1alpha1.Draining, members, waitsFor); err != nil {
			return false, lesson{}, err
		}
	}
	return false, lesson{known: j.last.known, failures: j.last.failures, after: balancePoll}, nil
}

// members of target groups that have to be out: those that Slipway took out before, or those that are in service now. One that
// somebody else took out is not Slipway's to bring back.
func (r *Reconciler) members(ctx context.Context, j *job, by *v1alpha1.LoadBalancer) ([]v1alpha1.LoadBalancerMember, *delivery.Failure) {
	if j.out() && len(j.target.Status.LoadBalancer.Members) > 0 {
		return j.target.Status.LoadBalancer.Members, nil
	}
	if by == nil {
		return nil, nil
	}
	host := loadbalancer.Host{Address: j.target.Spec.Host.Address}
	if instance := j.target.Status.Instance; instance != nil {
		host.Instance = instance.ID
	}
	var members []v1alpha1.LoadBalancerMember
	for _, group := range by.TargetGroups {
		of, failure := r.mayBalance(ctx, j, v1alpha1.StepDrain, string(group.ARN))
		if failure != nil {
			return nil, failure
		}
		member, err := r.Balancers.Member(ctx, of, string(group.ARN), group.Port, host)
		if err != nil {
			return nil, drainFailed(err)
		}
		stands, err := r.Balancers.Health(ctx, of, member)
		if err != nil {
			return nil, drainFailed(err)
		}
		if stands.Serving() {
			members = append(members, member)
		}
	}
	return members, nil
}

func drainFailed(err error) *delivery.Failure {
	return &delivery.Failure{Step: v1alpha1.StepDrain, Reason: v1alpha1.ReasonDrainFailed, Message: err.Error()}
}

// failedAt is the reason of a step that failed.
func failedAt(step string) string {
	if step == v1alpha1.StepReturn {
		return v1alpha1.ReasonReturnFailed
	}
	return v1alpha1.ReasonDrainFailed
}

// mayBalance says with whose rights a target group is talked to, if policies permit it now.
func (r *Reconciler) mayBalance(ctx context.Context, j *job, step, arn string) (discovery.Account, *delivery.Failure) {
	refused := func(err error) *delivery.Failure {
		return &delivery.Failure{Step: step, Reason: v1alpha1.ReasonNotPermitted, Terminal: true, Message: err.Error()}
	}
	of, source := loadbalancer.AccountOf(arn, j.service.Spec.Targets)
	if r.Balancers == nil {
		return of, &delivery.Failure{Step: step, Reason: failedAt(step), Message: "this process can't talk to target groups"}
	}
	var policies v1alpha1.TargetPolicyList
	if err := r.Client.List(ctx, &policies); err != nil {
		return of, &delivery.Failure{Step: step, Reason: v1alpha1.ReasonNotPermitted, Message: fmt.Sprintf("list TargetPolicies: %v", err)}
	}
	permit := policy.For(j.service, policies.Items)
	if err := permit.TargetGroup(arn); err != nil {
		return of, refused(err)
	}
	if source != nil {
		if err := permit.Source(source); err != nil {
			return of, refused(err)
		}
	}
	return of, nil
}

// deregister takes out what is in service, and says what is still to be waited for; empty if all is out.
func (r *Reconciler) deregister(ctx context.Context, j *job, members []v1alpha1.LoadBalancerMember) (waitsFor string, failure *delivery.Failure) {
	for _, member := range members {
		of, failure := r.mayBalance(ctx, j, v1alpha1.StepDrain, member.TargetGroupARN)
		if failure != nil {
			return "", failure
		}
		stands, err := r.Balancers.Health(ctx, of, member)
		if err == nil && stands.Serving() {
			if err = r.Balancers.Deregister(ctx, of, member); err == nil {
				stands, err = r.Balancers.Health(ctx, of, member)
			}
		}
		if err != nil {
			return "", drainFailed(err)
		}
		if !stands.Drained() {
			waitsFor = loadbalancer.Describe(member, stands)
		}
	}
	return waitsFor, nil
}

// command runs one of the load balancer's commands on the host.
func (r *Reconciler) command(ctx context.Context, j *job, step string, hook v1alpha1.HostHook) *delivery.Failure {
	commander, can := r.Delivery.(delivery.Commander)
	if !can {
		return &delivery.Failure{Step: step, Reason: failedAt(step), Message: "this process can't run commands on hosts"}
	}
	err := commander.Command(ctx, j.host, j.deploy, step, hook)
	if err == nil {
		return nil
	}
	var failure *delivery.Failure
	if !errors.As(err, &failure) {
		failure = &delivery.Failure{Reason: failedAt(step), Message: err.Error()}
	}
	failure.Step, failure.Unknown = step, false // of the release nothing is unknown
	return failure
}

// reportBalance writes what is about to be done with the host in its load balancer, or was done.
func (r *Reconciler) reportBalance(
	ctx context.Context, j *job, state v1alpha1.LoadBalancerState, members []v1alpha1.LoadBalancerMember, message string,
) error {
	now := metav1.NewTime(r.Clock.Now())
	return r.report(ctx, j, func(status *v1alpha1.TargetStatus) {
		record := &v1alpha1.LoadBalancerStatus{State: state, Since: now, Members: members}
		if before := status.LoadBalancer; before != nil {
			if loadbalancer.Out(before) {
				record.By, record.Frozen, record.Fence = before.By, before.Frozen, before.Fence
				if members == nil {
					record.Members = before.Members
				}
			}
			if before.State == state {
				record.Since = before.Since
			}
		}
		if state == v1alpha1.Draining && !loadbalancer.Out(status.LoadBalancer) {
			record.By, record.Frozen, record.Fence = j.order.Release, j.order.Frozen, j.fence
		}
		record.Message = conditions.Shorten(message, maxStepMessage)
		status.LoadBalancer = record
		available(status, j.generation)
		if state != v1alpha1.Registering {
			conditions.Summarize(&status.Conditions, j.generation, conditions.InProgress, reasonOf(state), record.Message)
		}
	})
}

// available says that a host which is out serves nobody.
func available(status *v1alpha1.TargetStatus, generation int64) {
	if record := status.LoadBalancer; loadbalancer.Out(record) {
		conditions.False(&status.Conditions, generation, v1alpha1.ConditionAvailable, reasonOf(record.State), "out of the load balancer: "+record.Message)
	}
}

func reasonOf(state v1alpha1.LoadBalancerState) string {
	return map[v1alpha1.LoadBalancerState]string{
		v1alpha1.Draining: v1alpha1.ReasonDraining, v1alpha1.Drained: v1alpha1.ReasonDrained, v1alpha1.Registering: v1alpha1.ReasonRegistering,
	}[state]
}

// names of the members' groups, for people.
func names(members []v1alpha1.LoadBalancerMember) string {
	text := "target group "
	for i, member := range members {
		if i > 0 {
			text += ", "
		}
		text += loadbalancer.Name(member.TargetGroupARN)
	}
	return text
}
