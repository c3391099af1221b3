// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"fmt"
	"strings"
	"unicode"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/delivery"
	"github.com/slipway-dev/slipway/internal/frozen"
)

const (
	maxHookMessage = 1024
	maxHookOutput  = 4096
)

// hookDue says whether the host has a hook to run for the whole Service of which it has not reported the end.
func (j *job) hookDue() bool {
	order := j.target.Spec.Hook
	return order != nil && (!j.target.Status.Hook.Answers(order) || !j.target.Status.Hook.State.Over())
}

// runHook runs a hook that runs once per Release, or asks how it went. The host itself sees to it that it is begun once.
func (r *Reconciler) runHook(ctx context.Context, j *job) (lesson, error) {
	order := j.target.Spec.Hook.DeepCopy()
	spec, err := frozen.Get(ctx, r.Client, j.target.Namespace, order.Release.Frozen)
	if err != nil {
		return lesson{}, fmt.Errorf("read the hook of Release %s: %w", order.Release.Release, err)
	}
	hook := spec.Deploy.Hooks.Of(order.Name)
	if hook == nil {
		return r.hookOver(ctx, j, order, v1alpha1.HookFailed, "the Release has no such hook", "")
	}
	runner, can := r.Delivery.(delivery.OnceRunner)
	if !can {
		return r.hookOver(ctx, j, order, v1alpha1.HookFailed, "this process can't run hooks on hosts", "")
	}
	wanted, err := r.hookWanted(ctx, j, order)
	if err != nil {
		return lesson{}, err
	}
	asked, begun := j.target.Status.Hook.Answers(order), false
	if asked {
		begun = j.target.Status.Hook.State == v1alpha1.HookRunning
	}
	if !asked {
		if !wanted {
			return r.hookOver(ctx, j, order, v1alpha1.HookCanceled, "it was not begun", "")
		}
		if err := r.reportHook(ctx, j, order, v1alpha1.HookResult{State: v1alpha1.HookPending, Message: "the host is asked to run it"}); err != nil {
			return lesson{}, err
		}
	}
	once := delivery.Once{
		ID: string(order.Release.UID) + "." + string(order.Name), Name: order.Name, Hook: *hook, PreviousCommit: order.PreviousCommit,
		Forbidden: !wanted || begun, // what has begun as far as is known does not begin again, whatever the host forgot
	}
	limited, cancel := context.WithTimeout(ctx, delivery.OnceLimit(&spec.Deploy, hook)+grace)
	defer cancel()
	result, err := runner.RunOnce(limited, j.host, r.hookDelivery(j, order, &spec.Deploy), once, func() {
		// Best effort: the host has it on record.
		_ = r.reportHook(ctx, j, order, v1alpha1.HookResult{State: v1alpha1.HookRunning, Message: "runs on " + j.target.Spec.Host.Name})
	})
	if ctx.Err() != nil {
		return lesson{}, nil // the process ends: whoever comes next asks the host
	}
	if err != nil {
		return r.hookFailed(ctx, j, order, asFailure(err, string(order.Name), v1alpha1.ReasonHookFailed))
	}
	if result.State == v1alpha1.HookCanceled && begun {
		result.State = v1alpha1.HookUnknown
		result.Message = "it began, and the host has no record of it any more: how it ended is not known"
	}
	return r.hookOver(ctx, j, order, result.State, result.Message, result.Output)
}

// hookWanted says whether the hook may still be begun: its Release goes on, and waits for it. It is read past the cache.
func (r *Reconciler) hookWanted(ctx context.Context, j *job, order *v1alpha1.HookOrder) (bool, error) {
	var release v1alpha1.Release
	err := r.Reader.Get(ctx, types.NamespacedName{Namespace: j.target.Namespace, Name: order.Release.Release}, &release)
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read Release %s: %w", order.Release.Release, err)
	}
	status := release.Status.Hook(order.Name)
	return v1alpha1.UID(release.UID) == order.Release.UID && release.DeletionTimestamp.IsZero() && !release.Spec.Abort && !release.Spec.RollBack &&
		!conditions.IsTrue(release.Status.Conditions, v1alpha1.ConditionFinished) &&
		status != nil && status.Target == j.target.Name && !status.State.Over(), nil
}

// hookDelivery is the artifact that the hook runs in. It is ordered by nobody, so that no fence speaks of it but those that
// the host has seen.
func (r *Reconciler) hookDelivery(j *job, order *v1alpha1.HookOrder, deploy *v1alpha1.DeploySpec) delivery.Order {
	record := order.Release
	of := *j
	of.order, of.deploy, of.asIs, of.fence = &record, *deploy, false, max(j.target.Spec.Fence, j.target.Status.Fence)
	return r.orderOf(&of, false)
}

// hookFailed reports what kept the hook from running, or from being heard of, and says when to ask again.
func (r *Reconciler) hookFailed(ctx context.Context, j *job, order *v1alpha1.HookOrder, failure *delivery.Failure) (lesson, error) {
	log.FromContext(ctx).Info("hook", "host", j.target.Spec.Host.Name, "hook", order.Name, "release", order.Release.Release,
		"step", failure.Step, "reason", failure.Reason, "error", failure.Message)
	before := v1alpha1.HookPending
	if j.target.Status.Hook.Answers(order) {
		before = j.target.Status.Hook.State
	}
	if failure.Terminal && !failure.Unknown && before == v1alpha1.HookPending {
		return r.hookOver(ctx, j, order, v1alpha1.HookFailed, "it could not begin: "+failure.Step+": "+failure.Message, "")
	}
	next := lesson{failures: j.last.failures + 1}
	next.after = r.jittered(min(backoff(next.failures), maxAccessBackoff))
	return next, r.reportHook(ctx, j, order, v1alpha1.HookResult{State: before, Message: failure.Step + ": " + failure.Message})
}

// hookOver reports the end, and has the host looked at as ever.
func (r *Reconciler) hookOver(ctx context.Context, j *job, order *v1alpha1.HookOrder, state v1alpha1.HookState, message, output string) (lesson, error) {
	now := metav1.NewTime(r.Clock.Now())
	log.FromContext(ctx).Info("hook", "host", j.target.Spec.Host.Name, "hook", order.Name, "release", order.Release.Release, "state", state, "message", message)
	return lesson{after: postponement}, r.reportHook(ctx, j, order, v1alpha1.HookResult{State: state, Message: message, Output: output, CompletionTime: &now})
}

// reportHook writes how the hook fares.
func (r *Reconciler) reportHook(ctx context.Context, j *job, order *v1alpha1.HookOrder, result v1alpha1.HookResult) error {
	result.Message, result.Output = conditions.Shorten(result.Message, maxHookMessage), ending(result.Output, maxHookOutput)
	return r.report(ctx, j, func(status *v1alpha1.TargetStatus) {
		result.StartTime = nil
		if status.Hook.Answers(order) {
			result.StartTime = status.Hook.StartTime
		}
		if result.StartTime == nil {
			now := metav1.NewTime(r.Clock.Now())
			result.StartTime = &now
		}
		status.Hook = &v1alpha1.TargetHookStatus{Name: order.Name, Release: order.Release.UID, HookResult: result}
	})
}

// ending is the end of a text of several lines, as UTF-8 without control characters.
func ending(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "�"))
	if len(text) > limit {
		text = strings.ToValidUTF8(text[len(text)-limit:], "")
	}
	return text
}
