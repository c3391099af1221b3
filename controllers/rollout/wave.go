// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/rollout"
)

// record writes a wave to the Service before any member is written. The optimistic lock proves that the plan was made
// from the newest Service: nobody paused by status, took the slot or recorded another wave since.
func (r *Reconciler) record(ctx context.Context, service *v1alpha1.Service, plan rollout.Plan) (*v1alpha1.Wave, error) {
	number := int64(1)
	if service.Status.Wave != nil {
		number = service.Status.Wave.Number + 1
	}
	before := service.DeepCopy()
	service.Status.Wave = rollout.NewWave(number, plan)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Status().Patch(ctx, service, patch, client.FieldOwner(FieldOwner)); err != nil {
		return nil, fmt.Errorf("record wave %d: %w", number, err)
	}
	return service.Status.Wave, nil
}

// unseen says whether a member of the recorded wave is there and the cache does not show it: its switch would not count.
func (r *Reconciler) unseen(ctx context.Context, service *v1alpha1.Service, targets []v1alpha1.Target) (bool, error) {
	missing := rollout.Missing(service.Status.Wave, targets)
	if len(missing) == 0 {
		return false, nil
	}
	var list metav1.PartialObjectMetadataList
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("TargetList"))
	err := r.Reader.List(ctx, &list, client.InNamespace(service.Namespace), client.MatchingLabels{v1alpha1.LabelService: service.Name})
	if err != nil {
		return false, fmt.Errorf("look for %d members of wave %d: %w", len(missing), service.Status.Wave.Number, err)
	}
	there := make(map[string]*metav1.PartialObjectMetadata, len(list.Items))
	for i := range list.Items {
		there[list.Items[i].Name] = &list.Items[i]
	}
	return slices.ContainsFunc(missing, func(member v1alpha1.WaveMember) bool {
		item := there[member.Target]
		return item != nil && item.DeletionTimestamp.IsZero() && rollout.IsMember(member, item)
	}), nil
}

// order writes the orders of a recorded wave. Each write is conditioned on the version of the Target that was seen: one
// that is conflicted is written when the cache shows the newer Target.
func (r *Reconciler) order(ctx context.Context, targets []v1alpha1.Target, writes []rollout.Write) error {
	var errs []error
	var conflict error
	for _, write := range writes {
		target := targets[write.Index].DeepCopy()
		before := target.DeepCopy()
		target.Spec.Artifact, target.Spec.Fence, target.Spec.AsIs, target.Spec.Wave = &write.Record, write.Fence, write.AsIs, write.Wave
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		err := r.Client.Patch(ctx, target, patch, client.FieldOwner(FieldOwner))
		switch {
		case apierrors.IsConflict(err):
			conflict = err
		case client.IgnoreNotFound(err) != nil:
			errs = append(errs, fmt.Errorf("order Target %s: %w", target.Name, err))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return conflict
}
