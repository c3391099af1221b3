// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/build"
)

// approvalLimit is how long a Release waits for an approval before its rollout.
const approvalLimit = 24 * time.Hour

// shrunk waits for people who say that an artifact with less than half the files of the last one is right. Then it is built once
// more, with the depot's consent: what it refused it did not keep.
func (r *Reconciler) shrunk(ctx context.Context, l *life) outcome {
	if out, found := r.reuse(ctx, l); found {
		return out
	}
	gate, b := v1alpha1.GateShrunkenArtifact, l.release.Status.Build
	if missing := approvals(l.release).Missing(gate); missing != "" {
		return wait(lookAgain, v1alpha1.ReasonAwaitingApproval, fmt.Sprintf("%s: it waits until that is approved by %s (gate %s of spec.approvals)",
			b.Shrunk, missing, gate)).within(approvalLimit)
	}
	spent := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: l.release.Namespace, Name: b.Job}}
	if err := r.deleteOwned(ctx, l.release, spent); err != nil {
		return retry(v1alpha1.ReasonBuilding, err)
	}
	b.Attempt++
	b.Job, b.JobUID = build.JobName(v1alpha1.UID(l.service.UID), b.Key, b.Attempt), ""
	b.StartTime, b.CompletionTime = nil, nil
	by := strings.Join(approvals(l.release).Of(gate), " and ")
	r.Events.Eventf(l.release, l.service, corev1.EventTypeNormal, v1alpha1.ReasonApproved, gate, "approved by %s: %s", by, b.Shrunk)
	b.Shrunk = ""
	return persist(v1alpha1.ReasonBuilding, "approved by "+by+"; it is built once more")
}
