// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/rollout"
)

// verifyLimit is how long the Targets have to be all seen well at once after the rollout.
const verifyLimit = 10 * time.Minute

// verify looks once more at all Targets: a host that went bad right after its switch must not count as released.
func (r *Reconciler) verify(ctx context.Context, l *life) outcome {
	strategy, err := r.strategy(ctx, l)
	if err != nil {
		return retry(v1alpha1.ReasonProgressing, err)
	}
	return r.bake(ctx, l, strategy)
}

// bake watches the Targets until all of them, but for those that may fail, have been well for the bake time.
func (r *Reconciler) bake(ctx context.Context, l *life, strategy rollout.Strategy) outcome {
	l.count()
	status := &l.release.Status
	standing := rollout.Stand(rollout.SlotOf(l.service, false), strategy, l.targets, r.Clock.Now())
	switch {
	case l.service.Status.Stopping != "":
		return r.giveUp(ctx, l, strategy, l.service.Status.Stopping, l.whyStopping())
	case standing.Over() && len(standing.Failed) > 0:
		return r.giveUp(ctx, l, strategy, v1alpha1.ReasonTooManyFailed, standing.Sentence())
	case standing.Done(), l.release.Status.Hook(v1alpha1.HookAfterRollout) != nil:
		if out := r.hook(ctx, l, strategy, v1alpha1.HookAfterRollout); out != nil {
			return *out
		}
	}
	switch {
	case standing.Done():
		return advance(v1alpha1.ReasonSucceeded, l.arrivedMessage(&standing))
	case l.release.Spec.Paused:
		return wait(time.Minute, v1alpha1.ReasonPaused, "paused").within(0)
	case standing.Arrived():
		message := fmt.Sprintf("%d of %d Targets are watched for %s after their switch", standing.Baking, standing.Total, strategy.BakeTime)
		return wait(standing.After, v1alpha1.ReasonBaking, message).within(0)
	}
	if l.progressed { // hosts that appeared meanwhile are on their way
		now := metav1.NewTime(r.Clock.Now())
		status.ProgressTime, status.WaitingSince = &now, nil
	}
	if r.waited(l, v1alpha1.ReasonTargetsNotReady) >= verifyLimit {
		return r.giveUp(ctx, l, strategy, v1alpha1.ReasonTargetsNotReady, "not all Targets stayed well: "+l.progressMessage())
	}
	return wait(5*time.Second, v1alpha1.ReasonTargetsNotReady, l.progressMessage()).within(0)
}
