// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"context"
	"fmt"

	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// CacheOptions leave out of what is cached what no page shows. A Service's managedFields say whether a repository is behind it.
func CacheOptions() map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{
		&v1alpha1.Service{}: {},
		&v1alpha1.Release{}: {Transform: cache.TransformStripManagedFields()},
		&v1alpha1.Target{}:  {Transform: cache.TransformStripManagedFields()},
	}
}

// Watch indexes a cache as the pages read it, and has them follow it. It comes before the cache starts.
func (c *Console) Watch(ctx context.Context, objects cache.Cache) error {
	if err := objects.IndexField(ctx, &v1alpha1.Release{}, ServiceField, func(o client.Object) []string { return []string{o.(*v1alpha1.Release).Spec.Service} }); err != nil {
		return fmt.Errorf("index Releases: %w", err)
	}
	if err := objects.IndexField(ctx, &v1alpha1.Target{}, ServiceField, func(o client.Object) []string { return []string{o.(*v1alpha1.Target).Spec.Service} }); err != nil {
		return fmt.Errorf("index Targets: %w", err)
	}
	tell := func(o any) {
		if gone, is := o.(toolscache.DeletedFinalStateUnknown); is {
			o = gone.Obj
		}
		if object, is := o.(client.Object); is {
			c.changed(object)
		}
	}
	for _, object := range []client.Object{&v1alpha1.Service{}, &v1alpha1.Release{}, &v1alpha1.Target{}} {
		informer, err := objects.GetInformer(ctx, object, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watch %T: %w", object, err)
		}
		if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{AddFunc: tell, DeleteFunc: tell, UpdateFunc: func(_, o any) { tell(o) }}); err != nil {
			return fmt.Errorf("watch %T: %w", object, err)
		}
	}
	return nil
}
