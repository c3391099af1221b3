// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/gate"
)

// hold is why a Release may not begin its rollout.
type hold struct {
	gate            v1alpha1.Gate
	reason, message string
	// until is when it ends by itself; nil if it does not.
	until *metav1.Time
}

// lookAgain is how often a gate is looked at that holds a Release: it may be somebody else's object.
const lookAgain = time.Minute

// after is when to look again.
func (h *hold) after(now time.Time) time.Duration {
	if h.until == nil {
		return lookAgain
	}
	return min(lookAgain, max(h.until.Sub(now), time.Second))
}

// gates are what holds every rollout of a Service up now, and none is gone through twice.
type gates []hold

// holding is the first gate that holds a Release, nil if none does.
func (g gates) holding(release *v1alpha1.Release) *hold {
	for i := range g {
		if o := release.Spec.Override; o == nil || !slices.Contains(o.Gates, g[i].gate) {
			return &g[i]
		}
	}
	return nil
}

// gatesOf are the gates of a Service: its lock, that of its namespace, its windows.
func (r *Reconciler) gatesOf(ctx context.Context, service *v1alpha1.Service) (gates, error) {
	var namespace corev1.Namespace
	if err := r.Client.Get(ctx, types.NamespacedName{Name: service.Namespace}, &namespace); err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("read the namespace: %w", err)
	}
	return gatesAt(service, namespace.Annotations, r.Clock.Now()), nil
}

// gatesAt lists them. annotations are those of the namespace.
func gatesAt(service *v1alpha1.Service, annotations map[string]string, now time.Time) gates {
	var list gates
	for _, h := range gate.At(service, annotations, now) {
		list = append(list, hold{gate: h.Gate, reason: h.Reason, message: h.Message, until: h.Until})
	}
	return list
}

// tellOverride tells that a Release goes through gates that would hold it.
func (r *Reconciler) tellOverride(l *life) {
	o := l.release.Spec.Override
	if o == nil || len(l.gates) == 0 {
		return
	}
	var gone []string
	for i := range l.gates {
		gone = append(gone, l.gates[i].message)
	}
	r.Events.Eventf(l.release, l.service, corev1.EventTypeWarning, v1alpha1.ReasonOverridden, "Override", "%s let Release %s through (%s): %s",
		o.By, l.release.Name, strings.Join(gone, "; "), o.Reason)
}
