// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package service

import (
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/discovery"
)

// coalesce is how long events of Targets and Releases are gathered before the Service is looked at.
const coalesce = 500 * time.Millisecond

// ofTarget wakes the Service of a Target.
func ofTarget() handler.EventHandler {
	return coalesced(func(object client.Object) string {
		if target, ok := object.(*v1alpha1.Target); ok {
			return target.Spec.Service
		}
		return ""
	})
}

// ofRelease wakes the Service of a Release.
func ofRelease() handler.EventHandler {
	return coalesced(func(object client.Object) string {
		if release, ok := object.(*v1alpha1.Release); ok {
			return release.Spec.Service
		}
		return ""
	})
}

// coalesced wakes the Service that name gives, once for many events.
func coalesced(name func(client.Object) string) handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	enqueue := func(object client.Object, q queue) {
		if service := name(object); service != "" {
			q.AddAfter(reconcile.Request{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: service}}, coalesce)
		}
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { enqueue(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) { enqueue(e.ObjectNew, q) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { enqueue(e.Object, q) },
	}
}

// ofAccount wakes the Services that have hosts in an account.
func (r *Reconciler) ofAccount() handler.TypedEventHandler[discovery.Account, reconcile.Request] {
	return handler.TypedEnqueueRequestsFromMapFunc(func(ctx context.Context, account discovery.Account) []reconcile.Request {
		return r.those(ctx, func(service *v1alpha1.Service) bool { return usesAccount(service, account) })
	})
}

// all wakes every Service: what it may reach has changed.
func (r *Reconciler) all() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, _ client.Object) []reconcile.Request {
		return r.those(ctx, func(*v1alpha1.Service) bool { return true })
	})
}

// those lists the Services that wanted says yes to.
func (r *Reconciler) those(ctx context.Context, wanted func(*v1alpha1.Service) bool) []reconcile.Request {
	var services v1alpha1.ServiceList
	if err := r.Client.List(ctx, &services); err != nil {
		log.FromContext(ctx).Error(err, "list Services")
		return nil
	}
	var requests []reconcile.Request
	for i := range services.Items {
		if wanted(&services.Items[i]) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&services.Items[i])})
		}
	}
	return requests
}

// usesAccount says whether a Service looks for hosts in an account.
func usesAccount(service *v1alpha1.Service, account discovery.Account) bool {
	return slices.ContainsFunc(service.Spec.Targets, func(source v1alpha1.TargetSource) bool {
		return source.EC2 != nil && discovery.AccountOf(source.EC2) == account
	})
}

// wake brings a Service whose repository was looked at. One that finds no room comes back by its own time.
func (r *Reconciler) wake(name types.NamespacedName) {
	service := &v1alpha1.Service{}
	service.Namespace, service.Name = name.Namespace, name.Name
	select {
	case r.looked <- event.GenericEvent{Object: service}:
	default:
	}
}
