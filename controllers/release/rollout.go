// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/frozen"
	"github.com/slipway-dev/slipway/internal/rollout"
)

// rollOut takes the Service's slot and then watches the rollout controller move the Targets.
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
	if len(l.targets) > 0 && int(status.Targets.Updated) == len(l.targets) {
		return advance(v1alpha1.ReasonSucceeded, fmt.Sprintf("%d of %d Targets run it", status.Targets.Updated, status.Targets.Total))
	}
	spec, err := frozen.Get(ctx, r.Client, l.release.Namespace, status.Frozen)
	if err != nil {
		return retry(v1alpha1.ReasonProgressing, err)
	}
	now := r.Clock.Now()
	deadline := spec.Rollout.ProgressDeadline.Duration
	if status.ProgressTime == nil || l.progressed {
		progress := metav1.NewTime(now)
		status.ProgressTime = &progress
	}
	if left := deadline - now.Sub(status.ProgressTime.Time); left > 0 && l.service.Status.Stopping == "" {
		if len(l.targets) == 0 {
			return wait(left, v1alpha1.ReasonNoTargets, "the Service has no Targets: name hosts in spec.targets").within(0)
		}
		return wait(left, v1alpha1.ReasonRollingOut, l.progressMessage()).within(0)
	}
	out := r.stop(ctx, l, v1alpha1.ReasonProgressDeadlineExceeded, l.progressMessage())
	if out.kind == ended {
		return fail(v1alpha1.ReasonProgressDeadlineExceeded, fmt.Sprintf(
			"no Target became ready for %s: %s; mend the hosts and create a new Release, or release the earlier revision to roll back", deadline, l.progressMessage()))
	}
	return out
}

// takeSlot takes the Service's rollout slot by an optimistic lock. It waits while another Release holds it: an older one
// sees this one and stops.
func (r *Reconciler) takeSlot(ctx context.Context, l *life) outcome {
	if l.release.Spec.Paused {
		return wait(time.Minute, v1alpha1.ReasonPaused, "paused before the rollout; set spec.paused to false to go on").within(0)
	}
	if rolling := l.service.Status.Rolling; rolling != nil {
		return wait(2*time.Second, v1alpha1.ReasonWaitingForSlot, "Release "+rolling.Release+" is being rolled out")
	}
	now := metav1.NewTime(r.Clock.Now())
	changed := l.service.DeepCopy()
	changed.Status.Rolling = &v1alpha1.ReleaseRecord{
		Release: l.release.Name, UID: l.uid(), Sequence: l.release.Status.Sequence, Revision: string(l.release.Spec.Revision),
		Commit: l.release.Status.Commit, Digest: l.release.Status.Artifact.Digest, Frozen: l.release.Status.Frozen, Since: &now,
	}
	changed.Status.Stopping = ""
	if err := r.patchSlot(ctx, l, changed); err != nil {
		return retry(v1alpha1.ReasonProgressing, err)
	}
	l.release.Status.ProgressTime = &now
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
	if !rollout.Settled(l.service, l.targets, l.service.Status.Rolling) && r.waited(l, reason) < stopLimit {
		return wait(2*time.Second, reason, "stopping: the Targets in flight finish first").within(0)
	}
	if reason != v1alpha1.ReasonProgressDeadlineExceeded {
		message = fmt.Sprintf("%s: %d of %d Targets run this Release's artifact, the others stay as they are", message, l.release.Status.Targets.Updated, l.release.Status.Targets.Total)
	}
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
