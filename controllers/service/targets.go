// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package service

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	metaac "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	ac "github.com/slipway-dev/slipway/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/discovery"
)

// syncTargets makes a Target for each host, mends what differs, and deletes the Targets of hosts that left.
func (r *Reconciler) syncTargets(ctx context.Context, f *facts, hosts []v1alpha1.TargetHost) error {
	have := make(map[string]*v1alpha1.Target, len(f.targets))
	for i := range f.targets {
		have[f.targets[i].Name] = &f.targets[i]
	}
	want := make(map[string]bool, len(hosts))
	for _, host := range hosts {
		name := discovery.TargetName(f.service.Name, v1alpha1.UID(f.service.UID), host.ID)
		want[name] = true
		if existing, ok := have[name]; ok && equality.Semantic.DeepEqual(existing.Spec.Host, host) {
			continue
		}
		if err := r.Client.Apply(ctx, target(f.service, name, host), client.FieldOwner(FieldOwner), client.ForceOwnership); err != nil {
			return fmt.Errorf("write Target %s: %w", name, err)
		}
	}
	kept := f.targets[:0:0]
	for i := range f.targets {
		if want[f.targets[i].Name] {
			kept = append(kept, f.targets[i])
			continue
		}
		uid := f.targets[i].UID
		if err := r.Client.Delete(ctx, &f.targets[i], client.Preconditions{UID: &uid}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete Target %s: %w", f.targets[i].Name, err)
		}
	}
	f.targets = kept
	return nil
}

// target is the part of a Target that the Service decides.
func target(service *v1alpha1.Service, name string, host v1alpha1.TargetHost) *ac.TargetApplyConfiguration {
	return ac.Target(name, service.Namespace).
		WithLabels(map[string]string{v1alpha1.LabelService: service.Name, v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}).
		WithOwnerReferences(metaac.OwnerReference().
			WithAPIVersion(v1alpha1.GroupVersion.String()).WithKind("Service").
			WithName(service.Name).WithUID(service.UID).WithController(true).WithBlockOwnerDeletion(true)).
		WithSpec(ac.TargetSpec().
			WithService(service.Name).
			WithServiceUID(v1alpha1.UID(service.UID)).
			WithHost(ac.TargetHost().WithID(host.ID).WithName(host.Name).WithAddress(host.Address).WithPort(host.Port)))
}
