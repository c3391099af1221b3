// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
)

// ServiceField is the index of Targets by the name of their Service.
const ServiceField = "spec.service"

// HostField is the index of Targets by the id of their host.
const HostField = "spec.host.id"

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// targetsOfService wakes the hosts of a Service that was edited; those for whom nothing changed rest on.
func (r *Reconciler) targetsOfService() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, object client.Object) []reconcile.Request {
		targets := r.targetsOf(ctx, object.GetNamespace(), object.GetName())
		requests := make([]reconcile.Request, len(targets))
		for i := range targets {
			requests[i].NamespacedName = key(&targets[i])
		}
		return requests
	})
}

// ledOrLeft passes a Service that a Release began to lead, that the last one left, or whose hosts go back.
func ledOrLeft() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*v1alpha1.Service), e.ObjectNew.(*v1alpha1.Service)
		return idle(before) != idle(after) || before.Status.RollingBack != after.Status.RollingBack
	}}
}

// askedFor passes a Target for which a person consented to another host key, or that is to be tried again at once.
func askedFor() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.GetAnnotations(), e.ObjectNew.GetAnnotations()
		return before[v1alpha1.AnnotationRepin] != after[v1alpha1.AnnotationRepin] || before[v1alpha1.AnnotationRetry] != after[v1alpha1.AnnotationRetry]
	}}
}

// targetsOfInstance wakes the Targets of an instance that has booted.
func (r *Reconciler) targetsOfInstance() handler.TypedEventHandler[string, reconcile.Request] {
	return handler.TypedEnqueueRequestsFromMapFunc(func(ctx context.Context, instance string) []reconcile.Request {
		var list v1alpha1.TargetList
		if err := r.Client.List(ctx, &list, client.MatchingFields{HostField: instance}); err != nil {
			log.FromContext(ctx).Error(err, "list the Targets of an instance", "instance", instance)
			return nil
		}
		requests := make([]reconcile.Request, len(list.Items))
		for i := range list.Items {
			requests[i].NamespacedName = key(&list.Items[i])
		}
		return requests
	})
}

// siblingsOfDrifted has a Service's other hosts looked at when one is found to have drifted: whether it is an accident
// or a storm is known only then. Of a host that left nothing is remembered.
func (r *Reconciler) siblingsOfDrifted() handler.EventHandler {
	return handler.Funcs{
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			before, after := e.ObjectOld.(*v1alpha1.Target), e.ObjectNew.(*v1alpha1.Target)
			if drifted(before) || !drifted(after) {
				return
			}
			now := r.Clock.Now()
			for _, sibling := range r.targetsOf(ctx, after.Namespace, after.Spec.Service) {
				if sibling.Name != after.Name && r.memory.hasten(key(&sibling), now) {
					q.Add(reconcile.Request{NamespacedName: key(&sibling)})
				}
			}
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, _ queue) {
			r.memory.forget(e.Object.(*v1alpha1.Target)) // nobody reconciles what is not there any more
		},
	}
}

func drifted(t *v1alpha1.Target) bool {
	return conditions.IsTrue(t.Status.Conditions, v1alpha1.ConditionDrifted)
}

// targetsOf lists the Targets of a Service from the cache.
func (r *Reconciler) targetsOf(ctx context.Context, namespace, service string) []v1alpha1.Target {
	var list v1alpha1.TargetList
	if err := r.Client.List(ctx, &list, client.InNamespace(namespace), client.MatchingFields{ServiceField: service}); err != nil {
		log.FromContext(ctx).Error(err, "list the Service's Targets", "service", service)
		return nil
	}
	return list.Items
}
