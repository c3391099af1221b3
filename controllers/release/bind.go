// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// serviceGrace is how long a Release waits for its Service: manifests of one folder are applied in any order.
const serviceGrace = time.Minute

// adoptionGrace is how long a record that was re-created waits for a person.
const adoptionGrace = 15 * time.Minute

// bind ties the Release to the Service object and gives it its sequence number.
func (r *Reconciler) bind(ctx context.Context, l *life) outcome {
	status := &l.release.Status
	if l.service == nil || !l.service.DeletionTimestamp.IsZero() {
		if status.ServiceUID != "" {
			return fail(v1alpha1.ReasonServiceReplaced, fmt.Sprintf("Service %s was deleted while this Release was active; no host was changed any more", l.release.Spec.Service))
		}
		return wait(5*time.Second, v1alpha1.ReasonServiceNotFound, fmt.Sprintf(
			"there is no Service %q in namespace %q: create it, or correct spec.service in a new Release", l.release.Spec.Service, l.release.Namespace)).within(serviceGrace)
	}
	if status.ServiceUID != "" && !l.bound() {
		return fail(v1alpha1.ReasonServiceReplaced, fmt.Sprintf(
			"this Release belongs to an earlier Service %s that is gone; create a new Release for the one of that name now", l.service.Name))
	}
	if status.Sequence != 0 {
		return advance("", "")
	}
	if reason := l.recreated(); reason != "" {
		if missing := approvals(l.release).Missing(v1alpha1.GateAdoption); missing != "" {
			reason += fmt.Sprintf(". It goes on when it is approved by %s (gate %s of spec.approvals)", missing, v1alpha1.GateAdoption)
			return wait(10*time.Second, v1alpha1.ReasonAdoptionRequired, reason).within(adoptionGrace)
		}
	}
	if status.ServiceUID == "" {
		status.ServiceUID = v1alpha1.UID(l.service.UID)
	}
	sequence, err := r.allocateSequence(ctx, l.service)
	if err != nil {
		return retry(v1alpha1.ReasonPending, err)
	}
	status.Sequence = sequence
	return persist(v1alpha1.ReasonProgressing, "bound to the Service")
}

// recreated says why a Release without status must not run by itself: it looks like an old record that was applied
// again, not like somebody's wish of now.
func (l *life) recreated() string {
	for _, past := range l.service.Status.History {
		if past.Release == l.release.Name && past.UID != l.uid() {
			return fmt.Sprintf("a Release of this name ended before (%s): this looks like an old record applied again; to release %s now, create a Release with a new name",
				past.Outcome, l.release.Spec.Revision)
		}
	}
	if l.service.Status.Current != nil || l.service.Status.LastSequence > 0 {
		return ""
	}
	unseen := 0
	for i := range l.others {
		if l.others[i].Status.Sequence == 0 && !finished(&l.others[i]) && l.others[i].DeletionTimestamp.IsZero() {
			unseen++
		}
	}
	if unseen > 0 {
		return fmt.Sprintf("%d other new Releases wait for a Service that has completed none: these look like old records applied again; delete all but the one that is meant", unseen)
	}
	if c := findTrue(l.service.Status.Conditions, v1alpha1.ConditionAdoptionRequired); c != nil {
		return c.Message
	}
	return ""
}

// allocateSequence counts Service.status.lastSequence up by an optimistic lock: a number is given once.
func (r *Reconciler) allocateSequence(ctx context.Context, service *v1alpha1.Service) (int64, error) {
	changed := service.DeepCopy()
	changed.Status.LastSequence++
	patch := client.MergeFromWithOptions(service, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Status().Patch(ctx, changed, patch, client.FieldOwner(FieldOwner)); err != nil {
		return 0, fmt.Errorf("allocate a sequence number: %w", err)
	}
	*service = *changed
	return changed.Status.LastSequence, nil
}
