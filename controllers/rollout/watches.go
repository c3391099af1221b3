// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// ServiceField is the index of Targets by the name of their Service.
const ServiceField = "spec.service"

// coalesce is how long events are gathered before a Service is planned for: the members of a wave change together.
const coalesce = 200 * time.Millisecond

func targetService(object client.Object) string { return object.(*v1alpha1.Target).Spec.Service }

func releaseService(object client.Object) string { return object.(*v1alpha1.Release).Spec.Service }

// serviceOf wakes the Service of an object, once for many events.
func serviceOf(name func(client.Object) string) handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	enqueue := func(object client.Object, q queue) {
		q.AddAfter(reconcile.Request{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: name(object)}}, coalesce)
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { enqueue(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) { enqueue(e.ObjectNew, q) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { enqueue(e.Object, q) },
	}
}

// stepped passes a Release that went on to its next step, whose hook ended, or that is given up.
func stepped() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := &e.ObjectOld.(*v1alpha1.Release).Status, &e.ObjectNew.(*v1alpha1.Release).Status
		return index(before) != index(after) || state(before) != state(after) || (before.Rollback == nil) != (after.Rollback == nil)
	}}
}

// index of the step that a Release is at.
func index(status *v1alpha1.ReleaseStatus) int32 {
	if status.Step == nil {
		return 0
	}
	return status.Step.Index
}

// state of the hook that comes before any host is moved.
func state(status *v1alpha1.ReleaseStatus) v1alpha1.HookState {
	if hook := status.Hook(v1alpha1.HookBeforeRollout); hook != nil {
		return hook.State
	}
	return ""
}

// all wakes all Services: the depot is told of policies too.
func (r *Reconciler) all() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, _ client.Object) []reconcile.Request {
		var services v1alpha1.ServiceList
		if err := r.Client.List(ctx, &services); err != nil {
			log.FromContext(ctx).Error(err, "list Services")
			return nil
		}
		requests := make([]reconcile.Request, len(services.Items))
		for i := range services.Items {
			requests[i].NamespacedName = client.ObjectKeyFromObject(&services.Items[i])
		}
		return requests
	})
}
