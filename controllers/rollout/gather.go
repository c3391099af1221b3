// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/frozen"
	"github.com/slipway-dev/slipway/internal/rollout"
)

// gather reads what the planner looks at.
func (r *Reconciler) gather(ctx context.Context, service *v1alpha1.Service, targets []v1alpha1.Target) (rollout.Input, error) {
	specs, err := r.frozenSpecs(ctx, service, targets)
	if err != nil {
		return rollout.Input{}, err
	}
	slot, step, err := r.slot(ctx, service, specs)
	if err != nil {
		return rollout.Input{}, err
	}
	strategy := rollout.StrategyOf(service.Spec.Rollout)
	for _, record := range []*v1alpha1.ReleaseRecord{slot.Current, slot.Rolling} { // the rolling one's holds
		if record != nil {
			strategy = rollout.StrategyOf(specs[record.Frozen].Rollout)
		}
	}
	strategy.Concurrency, strategy.DriftQuiet, strategy.UnreachableAfter = r.Concurrency, r.DriftQuiet, r.UnreachableAfter
	input := rollout.Input{
		Slot: slot, Strategy: strategy, Step: step, Hosts: rollout.Hosts(targets), Now: r.Clock.Now(),
		ReportOnly: func(name string) bool { return specs[name].Deploy.Drift == v1alpha1.DriftReport },
	}
	if service.Spec.Adopt != nil {
		input.AdoptFrom = service.Spec.Adopt.FromUID
	}
	return input, nil
}

// slot reads what is released, whether a person or the Release's end holds it, and at which of its steps it is.
func (r *Reconciler) slot(ctx context.Context, service *v1alpha1.Service, specs map[string]v1alpha1.FrozenSpec) (slot rollout.Slot, step int, err error) {
	slot = rollout.SlotOf(service, false)
	if slot.Rolling == nil || slot.Held != "" {
		return slot, 0, nil
	}
	var release v1alpha1.Release
	err = r.Client.Get(ctx, types.NamespacedName{Namespace: service.Namespace, Name: slot.Rolling.Release}, &release)
	switch {
	case apierrors.IsNotFound(err):
		slot.Held = v1alpha1.ReasonDeleted
	case err != nil:
		return slot, 0, fmt.Errorf("read the rolling Release: %w", err)
	case v1alpha1.UID(release.UID) != slot.Rolling.UID, !release.DeletionTimestamp.IsZero():
		slot.Held = v1alpha1.ReasonDeleted
	case release.Spec.Abort:
		slot.Held = v1alpha1.ReasonAborted
	case release.Spec.RollBack:
		slot.Held = v1alpha1.ReasonRollbackRequested
	case release.Spec.Paused:
		slot.Held = v1alpha1.ReasonPaused
	case release.Status.Rollback != nil: // it was decided; the Service will say so
		slot.Held = release.Status.Rollback.Reason
	case awaitsHook(&release.Status, specs[slot.Rolling.Frozen].Deploy.Hooks):
		slot.Held = v1alpha1.ReasonHookRunning
	case release.Status.Step != nil:
		step = int(release.Status.Step.Index)
	}
	return slot, step, nil
}

// awaitsHook says whether the hook that comes before any host is moved has not ended well yet.
func awaitsHook(status *v1alpha1.ReleaseStatus, hooks v1alpha1.Hooks) bool {
	if hooks.BeforeRollout == nil {
		return false
	}
	hook := status.Hook(v1alpha1.HookBeforeRollout)
	return hook == nil || hook.State != v1alpha1.HookSucceeded && hook.State != v1alpha1.HookSkipped
}

// frozenSpecs reads the frozen specs that the Targets and the slot name.
func (r *Reconciler) frozenSpecs(ctx context.Context, service *v1alpha1.Service, targets []v1alpha1.Target) (map[string]v1alpha1.FrozenSpec, error) {
	records := []*v1alpha1.ReleaseRecord{service.Status.Current, service.Status.Rolling}
	for i := range targets {
		records = append(records, targets[i].Spec.Artifact)
	}
	specs := map[string]v1alpha1.FrozenSpec{}
	for _, record := range records {
		if record == nil {
			continue
		}
		if _, read := specs[record.Frozen]; read {
			continue
		}
		spec, err := frozen.Get(ctx, r.Client, service.Namespace, record.Frozen)
		if err != nil {
			return nil, fmt.Errorf("plan for Release %s: %w", record.Release, err)
		}
		specs[record.Frozen] = spec
	}
	return specs, nil
}
