// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// ServiceField is the index of Releases and Targets by spec.service.
const ServiceField = "spec.service"

// coalesce is how long Target events are gathered before a Release is looked at: a wave is many events.
const coalesce = time.Second

// controllerOptions caps the back-off of unexpected errors.
func controllerOptions(concurrency int) controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: concurrency,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](200*time.Millisecond, 10*time.Minute),
	}
}

// active lists the Releases of a Service that have not ended.
func active(ctx context.Context, c client.Reader, namespace, service string) []reconcile.Request {
	var list v1alpha1.ReleaseList
	if err := c.List(ctx, &list, client.InNamespace(namespace), client.MatchingFields{ServiceField: service}); err != nil {
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if !finished(&list.Items[i]) && !list.Items[i].IsDryRun() {
			requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: list.Items[i].Name}})
		}
	}
	return requests
}

// releasesOfService wakes the active Releases of a changed Service.
func releasesOfService(c client.Reader) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, object client.Object) []reconcile.Request {
		return active(ctx, c, object.GetNamespace(), object.GetName())
	})
}

// releasesOfRelease wakes the other active Releases of the same Service: a newer one may take an older one's place.
func releasesOfRelease(c client.Reader) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, object client.Object) []reconcile.Request {
		release, ok := object.(*v1alpha1.Release)
		if !ok {
			return nil
		}
		return active(ctx, c, release.Namespace, release.Spec.Service)
	})
}

// releasesOfTarget wakes the active Releases of a changed Target's Service, once for many events.
func releasesOfTarget(c client.Reader) handler.EventHandler {
	enqueue := func(ctx context.Context, object client.Object, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
		target, ok := object.(*v1alpha1.Target)
		if !ok {
			return
		}
		for _, request := range active(ctx, c, target.Namespace, target.Spec.Service) {
			queue.AddAfter(request, coalesce)
		}
	}
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) { enqueue(ctx, e.Object, q) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) { enqueue(ctx, e.ObjectNew, q) },
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) { enqueue(ctx, e.Object, q) },
	}
}

// findTrue returns a condition if it is True.
func findTrue(list []metav1.Condition, kind string) *metav1.Condition {
	if c := meta.FindStatusCondition(list, kind); c != nil && c.Status == metav1.ConditionTrue {
		return c
	}
	return nil
}
