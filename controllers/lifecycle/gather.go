// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/discovery"
	"github.com/slipway-dev/slipway/internal/lifecycle"
	"github.com/slipway-dev/slipway/internal/policy"
)

// part is a Service that names hooks of a group.
type part struct {
	service *v1alpha1.Service
	// hooks that it names, by their transition.
	hooks   map[lifecycle.Transition][]string
	permit  *policy.Permit
	targets []v1alpha1.Target
}

// gathered is what is known of a group.
type gathered struct {
	group     Group
	parts     []*part
	instances []discovery.Instance
	// targets counts the Targets of each instance, of any Service.
	targets map[string]int
}

// gather reads the Services that name hooks of the group, their Targets, and what the sweeps have seen of the group.
func (r *Reconciler) gather(ctx context.Context, group Group) (*gathered, error) {
	g := &gathered{group: group, targets: map[string]int{}}
	var services v1alpha1.ServiceList
	if err := r.Client.List(ctx, &services); err != nil {
		return nil, fmt.Errorf("list Services: %w", err)
	}
	var policies v1alpha1.TargetPolicyList
	if err := r.Client.List(ctx, &policies); err != nil {
		return nil, fmt.Errorf("list TargetPolicies: %w", err)
	}
	for i := range services.Items {
		if service := &services.Items[i]; service.DeletionTimestamp.IsZero() {
			permit := policy.For(service, policies.Items)
			if hooks := hooksOf(service, group, permit); len(hooks) > 0 {
				g.parts = append(g.parts, &part{service: service, hooks: hooks, permit: permit})
			}
		}
	}
	if len(g.parts) == 0 {
		return g, nil
	}
	var targets v1alpha1.TargetList
	if err := r.Client.List(ctx, &targets); err != nil {
		return nil, fmt.Errorf("list Targets: %w", err)
	}
	for i := range targets.Items {
		target := &targets.Items[i]
		g.targets[target.Spec.Host.ID]++
		for _, p := range g.parts {
			if target.Namespace == p.service.Namespace && string(target.Spec.ServiceUID) == string(p.service.UID) && target.DeletionTimestamp.IsZero() {
				p.targets = append(p.targets, *target)
			}
		}
	}
	for _, instance := range r.AutoScaling.View(group.Account, []string{discovery.GroupTag}).Instances {
		if instance.Tags[discovery.GroupTag] == group.Name {
			g.instances = append(g.instances, instance)
		}
	}
	slices.SortFunc(g.instances, func(a, b discovery.Instance) int { return cmp.Compare(a.ID, b.ID) })
	return g, nil
}

// hooksOf lists the hooks of a group that a Service names and may, by their transition.
func hooksOf(service *v1alpha1.Service, group Group, permit discovery.Permit) map[lifecycle.Transition][]string {
	hooks := map[lifecycle.Transition][]string{}
	for i := range service.Spec.Targets {
		source := service.Spec.Targets[i].EC2
		if source == nil || groupOf(source) != group || permit.Source(source) != nil {
			continue
		}
		for transition, name := range map[lifecycle.Transition]v1alpha1.LifecycleHookName{
			lifecycle.Launching: source.LaunchHook, lifecycle.Terminating: source.TerminateHook,
		} {
			if name != "" && !slices.Contains(hooks[transition], string(name)) {
				hooks[transition] = append(hooks[transition], string(name))
			}
		}
	}
	return hooks
}

// groupOf is the group of a source that names a hook; the zero Group of others.
func groupOf(source *v1alpha1.EC2Source) Group {
	if source.LaunchHook == "" && source.TerminateHook == "" {
		return Group{}
	}
	return Group{Account: discovery.AccountOf(source), Name: source.AutoScalingGroup}
}

// hooks are the names of the hooks of a transition that any Service names.
func (g *gathered) hooks(transition lifecycle.Transition) []string {
	var names []string
	for _, p := range g.parts {
		names = append(names, p.hooks[transition]...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// naming lists the Services that name a hook and have the instance as a host.
func (g *gathered) naming(hook lifecycle.Hook, instance *discovery.Instance) []*part {
	var parts []*part
	for _, p := range g.parts {
		if slices.Contains(p.hooks[hook.Transition], hook.Name) && p.serves(g.group, *instance) {
			parts = append(parts, p)
		}
	}
	return parts
}

// abandoned are the times at which instances of the group were abandoned, each once.
func (g *gathered) abandoned() []time.Time {
	seen := map[string]bool{}
	var times []time.Time
	for _, p := range g.parts {
		for _, a := range p.service.Status.Abandoned {
			if a.AutoScalingGroup == g.group.Name && !seen[a.Instance] {
				seen[a.Instance] = true
				times = append(times, a.Time.Time)
			}
		}
	}
	return times
}

// serves says whether an instance that waits at a hook is a host of the Service, or was one until it began to end.
func (p *part) serves(group Group, instance discovery.Instance) bool {
	instance.Lifecycle, instance.State = "", discovery.Running
	return slices.ContainsFunc(p.service.Spec.Targets, func(s v1alpha1.TargetSource) bool {
		return s.EC2 != nil && groupOf(s.EC2) == group && discovery.Serves(s.EC2, instance, p.permit) == nil
	})
}

// target is the Service's Target on an instance, nil if it has none.
func (p *part) target(instance string) *v1alpha1.Target {
	for i := range p.targets {
		if p.targets[i].Spec.Host.ID == instance {
			return &p.targets[i]
		}
	}
	return nil
}

// stands says how the Service stands on an instance.
func (p *part) stands(instance string, now time.Time) lifecycle.Service {
	if target := p.target(instance); target != nil {
		return lifecycle.Stands(target, p.targets, now)
	}
	return lifecycle.Service{Name: client.ObjectKeyFromObject(p.service).String(), Reason: v1alpha1.ReasonProbing}
}
