// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/audit"
)

// audit writes down what people did to the Release since it was last looked at.
func (r *Reconciler) audit(ctx context.Context, l *life) error {
	if !l.bound() {
		return nil
	}
	due := audit.OfRelease(l.service.Status.Audit, l.release, r.Clock.Now())
	if len(due) == 0 {
		return nil
	}
	changed := l.service.DeepCopy()
	changed.Status.Audit = audit.Add(changed.Status.Audit, due)
	if err := r.patchSlot(ctx, l, changed); err != nil {
		return err
	}
	for i := range due {
		switch due[i].Action {
		case v1alpha1.AuditApproved, v1alpha1.AuditOverridden: // told of when they take effect
		default:
			r.Events.Eventf(l.release, l.service, corev1.EventTypeNormal, string(due[i].Action), "Audit", "%s", audit.Sentence(&due[i]))
		}
	}
	return nil
}
