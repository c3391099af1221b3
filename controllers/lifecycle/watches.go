// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// ofService wakes the groups of which a Service names hooks. Each looks again by itself from then on.
func ofService() handler.TypedEventHandler[client.Object, Group] {
	return handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, object client.Object) []Group {
		return groups(object.(*v1alpha1.Service))
	})
}

// ofTarget wakes the groups of a Target's Service: an instance may be ready now, or its Target gone.
func (r *Reconciler) ofTarget() handler.TypedEventHandler[client.Object, Group] {
	return handler.TypedEnqueueRequestsFromMapFunc(func(ctx context.Context, object client.Object) []Group {
		target := object.(*v1alpha1.Target)
		if target.Status.Instance == nil || target.Status.Instance.AutoScalingGroup == "" {
			return nil
		}
		var service v1alpha1.Service
		if r.Client.Get(ctx, types.NamespacedName{Namespace: target.Namespace, Name: target.Spec.Service}, &service) != nil {
			return nil
		}
		return slices.DeleteFunc(groups(&service), func(g Group) bool { return g.Name != target.Status.Instance.AutoScalingGroup })
	})
}

// groups lists the groups of which a Service names hooks.
func groups(service *v1alpha1.Service) []Group {
	var groups []Group
	for i := range service.Spec.Targets {
		if source := service.Spec.Targets[i].EC2; source != nil {
			if g := groupOf(source); g != (Group{}) && !slices.Contains(groups, g) {
				groups = append(groups, g)
			}
		}
	}
	return groups
}
