// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/frozen"
	"github.com/slipway-dev/slipway/internal/rollout"
)

const (
	// hookGrace is what a hook gets beyond its own limit and the delivery's, for a host that was lost and came back.
	hookGrace = 10 * time.Minute
	// confirmLimit is how long a way back waits for somebody to confirm it.
	confirmLimit = 24 * time.Hour
)

// hook leads a hook that runs once per Release: choose a host, write that down, order it, write down what came of it. nil says
// that there is none, or that it ended well.
func (r *Reconciler) hook(ctx context.Context, l *life, strategy rollout.Strategy, name v1alpha1.ReleaseHookName) *outcome {
	spec, err := frozen.Get(ctx, r.Client, l.release.Namespace, l.release.Status.Frozen)
	if err != nil {
		return ptr(retry(v1alpha1.ReasonProgressing, err))
	}
	hook := spec.Deploy.Hooks.Of(name)
	if hook == nil {
		return nil
	}
	status := l.release.Status.Hook(name)
	switch {
	case status == nil:
		return ptr(r.chooseHost(ctx, l, strategy, hook, name))
	case !status.State.Over():
		return ptr(r.followHook(ctx, l, status))
	}
	if err := r.dismiss(ctx, l, status); err != nil {
		return ptr(retry(v1alpha1.ReasonHookRunning, err))
	}
	reason, message := hookProblem(status)
	if reason == "" {
		return nil
	}
	if name == v1alpha1.HookBeforeRollout || reason == v1alpha1.ReasonHookUnknown {
		strategy.OnFailure = v1alpha1.OnFailureStop // no host was moved, or a person has to look first
	}
	return ptr(r.giveUp(ctx, l, strategy, reason, message))
}

func ptr(out outcome) *outcome { return &out }

// hookProblem says why a Release can't go on after a hook; empty if it can.
func hookProblem(status *v1alpha1.ReleaseHookStatus) (reason, message string) {
	switch status.State {
	case v1alpha1.HookSucceeded, v1alpha1.HookSkipped:
		return "", ""
	case v1alpha1.HookUnknown:
		return v1alpha1.ReasonHookUnknown, fmt.Sprintf("nobody can tell how hook %s ended on %s: %s. Look there, and create a new Release, "+
			"with skipHooks: [%s] if the hook has done its work",
			field(status.Name), status.Host, status.Message, status.Name)
	}
	message = fmt.Sprintf("hook %s failed on %s: %s", field(status.Name), status.Host, status.Message)
	if status.Output != "" {
		message += "; what it printed ends with " + lastLine(status.Output) + " (see status.hooks)"
	}
	return v1alpha1.ReasonHookFailed, message
}

// whyStopping says again why a Release stops that a hook brought to that.
func (l *life) whyStopping() string {
	for i := range l.release.Status.Hooks {
		if reason, message := hookProblem(&l.release.Status.Hooks[i]); reason != "" && l.release.Status.Hooks[i].State.Over() {
			return message
		}
	}
	return l.progressMessage()
}

// field is a hook's name as people write it in a Service.
func field(name v1alpha1.ReleaseHookName) string {
	return strings.ToLower(string(name[:1])) + string(name[1:])
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return fmt.Sprintf("%q", conditions.Shorten(lines[len(lines)-1], 200))
}

// chooseHost writes down which host runs the hook, or why none does.
func (r *Reconciler) chooseHost(ctx context.Context, l *life, strategy rollout.Strategy, hook *v1alpha1.ReleaseHook, name v1alpha1.ReleaseHookName) outcome {
	now := metav1.NewTime(r.Clock.Now())
	status := v1alpha1.ReleaseHookStatus{Name: name, HookResult: v1alpha1.HookResult{State: v1alpha1.HookSkipped, StartTime: &now, CompletionTime: &now}}
	switch {
	case slices.Contains(l.release.Spec.SkipHooks, name):
		status.Message = "spec.skipHooks names it"
	case rollout.GoesBack(&l.service.Status, l.release.Status.Artifact.Digest):
		status.Message = "the Release goes back to an artifact that was released before: its hooks ran then"
	default:
		host := l.hookHost(name)
		if host == nil {
			limit := cmp.Or(strategy.ProgressDeadline, defaultLimit)
			return wait(5*time.Second, v1alpha1.ReasonTargetsNotReady, "no host answers that could run hook "+field(name)).within(limit)
		}
		if err := r.recordIrreversible(ctx, l, hook, name); err != nil {
			return retry(v1alpha1.ReasonHookRunning, err)
		}
		status.Target, status.Host, status.CompletionTime = host.Name, host.Spec.Host.Name, nil
		status.State, status.Message = v1alpha1.HookPending, "the host is asked to run it"
		r.Events.Eventf(l.release, host, corev1.EventTypeNormal, v1alpha1.ReasonHookRunning, string(name), "hook %s runs on %s", field(name), status.Host)
	}
	l.release.Status.Hooks = append(l.release.Status.Hooks, status)
	return persist(v1alpha1.ReasonHookRunning, "hook "+field(name)+": "+status.Message)
}

// hookHost is the first host, by name, that answers and is the Service's: before the rollout preferably one that serves, after
// it one that runs the new release.
func (l *life) hookHost(name v1alpha1.ReleaseHookName) *v1alpha1.Target {
	var best *v1alpha1.Target
	serves := func(t *v1alpha1.Target) int {
		if conditions.IsTrue(t.Status.Conditions, v1alpha1.ConditionAvailable) {
			return 0
		}
		return 1
	}
	for i := range l.targets {
		target := &l.targets[i]
		if !conditions.IsTrue(target.Status.Conditions, v1alpha1.ConditionReachable) || target.Status.Owner != nil ||
			name == v1alpha1.HookAfterRollout && !rollout.Runs(target, l.service.Status.Rolling) {
			continue
		}
		if best == nil || cmp.Or(serves(target)-serves(best), cmp.Compare(target.Name, best.Name)) < 0 {
			best = target
		}
	}
	return best
}

// recordIrreversible writes down that there is no way back by itself from here on.
func (r *Reconciler) recordIrreversible(ctx context.Context, l *life, hook *v1alpha1.ReleaseHook, name v1alpha1.ReleaseHookName) error {
	record := l.service.Status.Irreversible
	if !hook.Irreversible || record != nil && record.Sequence == l.release.Status.Sequence && record.Hook == name {
		return nil
	}
	changed := l.service.DeepCopy()
	changed.Status.Irreversible = &v1alpha1.IrreversibleRecord{
		Hook: name, Release: l.release.Name, Sequence: l.release.Status.Sequence, Digest: l.release.Status.Artifact.Digest, Time: metav1.NewTime(r.Clock.Now()),
	}
	return r.patchSlot(ctx, l, changed)
}

// followHook orders the hook that is on record, or writes down how it fares.
func (r *Reconciler) followHook(ctx context.Context, l *life, status *v1alpha1.ReleaseHookStatus) outcome {
	now := metav1.NewTime(r.Clock.Now())
	over := func(result v1alpha1.HookResult) outcome {
		result.StartTime, result.CompletionTime = status.StartTime, &now
		status.HookResult = result
		l.release.Status.ProgressTime = &now
		r.tellHook(l, status)
		return persist(v1alpha1.ReasonHookRunning, "hook "+field(status.Name)+" is over: "+status.Message)
	}
	target := l.target(status.Target)
	if target == nil {
		return over(v1alpha1.HookResult{State: v1alpha1.HookUnknown, Message: "the host left meanwhile"})
	}
	order := target.Spec.Hook
	if order == nil || order.Name != status.Name || order.Release.UID != l.uid() {
		if err := r.orderHook(ctx, l, target, status.Name); err != nil {
			return retry(v1alpha1.ReasonHookRunning, err)
		}
		return wait(5*time.Second, v1alpha1.ReasonHookRunning, "hook "+field(status.Name)+" is ordered on "+status.Host).within(0)
	}
	result := &v1alpha1.HookResult{State: v1alpha1.HookPending, Message: "the host is asked to run it"}
	if target.Status.Hook.Answers(order) {
		result = &target.Status.Hook.HookResult
	}
	if result.State.Over() {
		return over(*result)
	}
	status.State, status.Message = result.State, result.Message
	limit, err := r.hookLimit(ctx, l, status.Name)
	if err != nil {
		return retry(v1alpha1.ReasonHookRunning, err)
	}
	left := limit - now.Sub(status.StartTime.Time)
	if left <= 0 {
		return over(v1alpha1.HookResult{State: v1alpha1.HookUnknown, Message: fmt.Sprintf("the host did not tell within %s: %s", limit, result.Message)})
	}
	return wait(min(left, time.Minute), v1alpha1.ReasonHookRunning, "hook "+field(status.Name)+" on "+status.Host+": "+result.Message).within(0)
}

// hookLimit is how long a hook may take, until the host is heard of.
func (r *Reconciler) hookLimit(ctx context.Context, l *life, name v1alpha1.ReleaseHookName) (time.Duration, error) {
	spec, err := frozen.Get(ctx, r.Client, l.release.Namespace, l.release.Status.Frozen)
	if err != nil {
		return 0, err
	}
	limit := hookGrace + spec.Deploy.Timeout.Duration
	if hook := spec.Deploy.Hooks.Of(name); hook != nil {
		limit += hook.Timeout.Duration
	}
	return limit, nil
}

// orderHook tells the host.
func (r *Reconciler) orderHook(ctx context.Context, l *life, target *v1alpha1.Target, name v1alpha1.ReleaseHookName) error {
	order := &v1alpha1.HookOrder{Name: name, Release: *l.service.Status.Rolling}
	if current := l.service.Status.Current; current != nil {
		order.PreviousCommit = current.Commit
	}
	return r.patchHook(ctx, target, order)
}

// dismiss takes an order back that was carried out.
func (r *Reconciler) dismiss(ctx context.Context, l *life, status *v1alpha1.ReleaseHookStatus) error {
	target := l.target(status.Target)
	if target == nil || target.Spec.Hook == nil || target.Spec.Hook.Release.UID != l.uid() || target.Spec.Hook.Name != status.Name {
		return nil
	}
	return r.patchHook(ctx, target, nil)
}

func (r *Reconciler) patchHook(ctx context.Context, target *v1alpha1.Target, order *v1alpha1.HookOrder) error {
	changed := target.DeepCopy()
	changed.Spec.Hook = order
	patch := client.MergeFromWithOptions(target, client.MergeFromWithOptimisticLock{})
	if err := client.IgnoreNotFound(r.Client.Patch(ctx, changed, patch, client.FieldOwner(rolloutOwner))); err != nil {
		return fmt.Errorf("order the hook on %s: %w", target.Spec.Host.Name, err)
	}
	return nil
}

// settleHooks waits for hooks that are under way when a Release stops: one that was not begun is not begun any more.
func (r *Reconciler) settleHooks(ctx context.Context, l *life) *outcome {
	for i := range l.release.Status.Hooks {
		status := &l.release.Status.Hooks[i]
		if !status.State.Over() {
			return ptr(r.followHook(ctx, l, status))
		}
		if err := r.dismiss(ctx, l, status); err != nil {
			return ptr(retry(v1alpha1.ReasonHookRunning, err))
		}
	}
	return nil
}

// tellHook tells how a hook ended.
func (r *Reconciler) tellHook(l *life, status *v1alpha1.ReleaseHookStatus) {
	if reason, message := hookProblem(status); reason != "" {
		r.Events.Eventf(l.release, l.service, corev1.EventTypeWarning, reason, string(status.Name), "%s", conditions.Shorten(message, 1000))
		return
	}
	r.Events.Eventf(l.release, l.service, corev1.EventTypeNormal, v1alpha1.ReasonSucceeded, string(status.Name), "hook %s on %s: %s", field(status.Name), status.Host, status.Message)
}

// target finds a Target by its name.
func (l *life) target(name string) *v1alpha1.Target {
	for i := range l.targets {
		if l.targets[i].Name == name {
			return &l.targets[i]
		}
	}
	return nil
}

// unconfirmed says which irreversible hook a Release would go back behind that nobody has confirmed; nil if none.
func (l *life) unconfirmed(release *v1alpha1.Release) *v1alpha1.IrreversibleRecord {
	if l.service == nil || release.Status.Artifact == nil || len(approvals(release).Confirmed(v1alpha1.GateIrreversible)) > 0 {
		return nil
	}
	return rollout.GoesBehind(&l.service.Status, release.Status.Artifact.Digest)
}

// awaitConfirmation waits for a person who knows what lies between.
func awaitConfirmation(hook *v1alpha1.IrreversibleRecord, what string) outcome {
	return wait(lookAgain, v1alpha1.ReasonAwaitingApproval, fmt.Sprintf("%s goes back behind hook %s of Release %s, which is irreversible: "+
		"somebody who knows that it will work confirms it (gate %s of spec.approvals)",
		what, field(hook.Hook), hook.Release, v1alpha1.GateIrreversible)).within(confirmLimit)
}

// approvals of a Release.
func approvals(release *v1alpha1.Release) rollout.Approvals {
	return rollout.Approvals{RequestedBy: release.Spec.RequestedBy, Given: release.Spec.Approvals}
}
