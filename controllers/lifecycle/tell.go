// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/lifecycle"
)

// maxAbandoned bounds Service.status.abandoned.
const maxAbandoned = 32

// record writes an instance that is about to be abandoned into the status of the Service for whose sake that is. The
// optimistic lock proves that nothing was recorded since it was decided.
func (r *Reconciler) record(ctx context.Context, subjects []*part, key action, d lifecycle.Decision) error {
	now := r.Clock.Now()
	for _, p := range subjects {
		if client.ObjectKeyFromObject(p.service).String() != d.Culprit.Name {
			continue
		}
		before := p.service.DeepCopy()
		kept := []v1alpha1.AbandonedInstance{{Instance: key.instance, AutoScalingGroup: key.group.Name, Reason: d.Culprit.Reason, Time: metav1.NewTime(now)}}
		for _, a := range p.service.Status.Abandoned {
			if now.Sub(a.Time.Time) < time.Hour && a.Instance != key.instance && len(kept) < maxAbandoned {
				kept = append(kept, a)
			}
		}
		p.service.Status.Abandoned = kept
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		if err := r.Client.Status().Patch(ctx, p.service, patch, client.FieldOwner(FieldOwner)); err != nil {
			return fmt.Errorf("record that %s is abandoned: %w", key.instance, err)
		}
	}
	return nil
}

// Events of one reason and one action about the same two objects are one to the recorder, which keeps the first's note: so each
// names the instance's Target as the related one, and what is told is told once for each instance.

// completed tells that a hook was completed.
func (r *Reconciler) completed(subjects []*part, key action, hook lifecycle.Hook, d lifecycle.Decision) {
	kind, reason, what := corev1.EventTypeNormal, v1alpha1.ReasonLaunchContinued, "may go into service"
	switch {
	case d.Action == lifecycle.Abandon:
		kind, reason, what = corev1.EventTypeWarning, v1alpha1.ReasonLaunchAbandoned, "is replaced"
	case hook.Transition == lifecycle.Terminating:
		reason, what = v1alpha1.ReasonTerminationContinued, "may end"
	}
	for _, p := range subjects {
		r.Events.Eventf(p.service, p.related(key.instance), kind, reason, callComplete, "instance %s of Auto Scaling group %s %s (%s, hook %s): %s",
			key.instance, key.group.Name, what, d.Action, key.hook, d.Reason)
	}
}

// held tells that an instance is held, and later why one that failed long enough is not replaced.
func (r *Reconciler) held(subjects []*part, key action, hook lifecycle.Hook, d lifecycle.Decision) {
	if hook.Transition != lifecycle.Launching {
		return
	}
	first, withheld := r.memory.news(key, v1alpha1.ReasonLaunchHeld, "held"), d.Withheld != "" && r.memory.news(key, v1alpha1.ReasonAbandonWithheld, d.Withheld)
	for _, p := range subjects {
		if first {
			r.Events.Eventf(p.service, p.related(key.instance), corev1.EventTypeNormal, v1alpha1.ReasonLaunchHeld, callHeartbeat,
				"instance %s of Auto Scaling group %s is kept from going into service (hook %s): %s", key.instance, key.group.Name, key.hook, d.Reason)
		}
		if withheld {
			r.Events.Eventf(p.service, p.related(key.instance), corev1.EventTypeWarning, v1alpha1.ReasonAbandonWithheld, callHeartbeat,
				"instance %s of Auto Scaling group %s can't go into service (hook %s): %s: %s; it is not replaced: %s",
				key.instance, key.group.Name, key.hook, d.Culprit.Name, d.Culprit.Reason, d.Withheld)
		}
	}
}

// Calls of Auto Scaling, for Events.
const (
	callDescribe  = "DescribeLifecycleHooks"
	callHeartbeat = "RecordLifecycleActionHeartbeat"
	callComplete  = "CompleteLifecycleAction"
)

// tell tells of trouble with a call, once for each kind.
func (r *Reconciler) tell(g *gathered, key action, call, message string) {
	if !r.memory.news(key, call, message) {
		return
	}
	for _, p := range g.parts {
		r.Events.Eventf(p.service, p.related(key.instance), corev1.EventTypeWarning, v1alpha1.ReasonLifecycleFailed, call,
			"instance %s waits at hook %s: %s", key.instance, key.hook, message)
	}
}

// related is the Service's Target on an instance, nil if it has none.
func (p *part) related(instance string) runtime.Object {
	if target := p.target(instance); target != nil {
		return target
	}
	return nil
}
