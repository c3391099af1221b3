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

// syncTargets makes a Target for each host, mends what differs, and deletes the Targets of hosts that left for sure.
func (r *Reconciler) syncTargets(ctx context.Context, f *facts) error {
	have := make(map[string]*v1alpha1.Target, len(f.targets))
	for i := range f.targets {
		have[f.targets[i].Name] = &f.targets[i]
	}
	want := make(map[string]bool, len(f.fleet.Hosts))
	for _, host := range f.fleet.Hosts {
		name := discovery.TargetName(f.service.Name, v1alpha1.UID(f.service.UID), host.ID)
		want[name] = true
		existing := have[name]
		if existing == nil || !equality.Semantic.DeepEqual(existing.Spec.Host, host.TargetHost) {
			if err := r.Client.Apply(ctx, target(f.service, name, host.TargetHost), client.FieldOwner(FieldOwner), client.ForceOwnership); err != nil {
				return fmt.Errorf("write Target %s: %w", name, err)
			}
		}
		if host.Instance == nil || existing != nil && equality.Semantic.DeepEqual(existing.Status.Instance, host.Instance) {
			continue
		}
		if err := r.Client.Status().Apply(ctx, describe(f.service, name, host.Instance), client.FieldOwner(FieldOwner), client.ForceOwnership); err != nil {
			return fmt.Errorf("describe the instance of Target %s: %w", name, err)
		}
	}
	kept := f.targets[:0:0]
	f.hosts = len(f.fleet.Hosts)
	for i := range f.targets {
		if want[f.targets[i].Name] {
			kept = append(kept, f.targets[i])
			continue
		}
		if !f.fleet.Gone(f.targets[i].Spec.Host.ID) {
			kept = append(kept, f.targets[i])
			f.hosts++
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

// describe is what the Service's controller knows of a Target's instance.
func describe(service *v1alpha1.Service, name string, instance *v1alpha1.InstanceStatus) *ac.TargetApplyConfiguration {
	status := ac.InstanceStatus().WithID(instance.ID).WithAccount(instance.Account).WithZone(instance.Zone).WithType(instance.Type).
		WithAutoScalingGroup(instance.AutoScalingGroup).WithLifecycleState(instance.LifecycleState)
	if instance.LaunchTime != nil {
		status.WithLaunchTime(*instance.LaunchTime)
	}
	return ac.Target(name, service.Namespace).WithStatus(ac.TargetStatus().WithInstance(status))
}
