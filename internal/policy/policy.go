// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package policy decides which hosts a Service may reach, after the administrators' TargetPolicies. It is pure.
package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/discovery"
)

// Permit is what one Service may reach. It implements discovery.Permit.
type Permit struct {
	namespace string
	// policies that speak for the namespace, and permit the Service's SSH user and paths.
	policies []*v1alpha1.TargetPolicySpec
	// spoken: some policy speaks for the namespace. refusal is why none permits user and paths.
	spoken  bool
	refusal error
}

// For is what a Service may reach after these policies.
func For(service *v1alpha1.Service, policies []v1alpha1.TargetPolicy) *Permit {
	p := &Permit{namespace: service.Namespace}
	for i := range policies {
		spec := &policies[i].Spec
		if !spec.SpeaksFor(service.Namespace) {
			continue
		}
		p.spoken = true
		if err := access(spec, &service.Spec); err != nil {
			p.refusal = err
			continue
		}
		p.policies = append(p.policies, spec)
	}
	return p
}

// access says whether a policy permits the SSH user and the paths of a Service.
func access(policy *v1alpha1.TargetPolicySpec, service *v1alpha1.ServiceSpec) error {
	user := service.SSH.User
	if !slices.Contains(policy.SSHUsers, user) && (user == "root" || !slices.Contains(policy.SSHUsers, "*")) {
		return fmt.Errorf("ssh.user %q is not permitted", user)
	}
	for _, path := range []string{string(service.Deploy.Path), string(service.Deploy.StateDir)} {
		if path != "" && !slices.ContainsFunc(policy.PathPrefixes, func(prefix string) bool {
			return prefix == "/" || path == prefix || strings.HasPrefix(path, prefix+"/")
		}) {
			return fmt.Errorf("the path %s is not permitted", path)
		}
	}
	return nil
}

// errNoPolicy says that nobody permitted EC2.
var errNoPolicy = errors.New("no TargetPolicy speaks for the namespace: instances of EC2 need one")

// Host says whether a host that a person wrote down may be reached.
func (p *Permit) Host(address string) error {
	if !p.spoken {
		return nil
	}
	return p.any(func(policy *v1alpha1.TargetPolicySpec) error {
		if !contains(policy.Addresses, address) {
			return fmt.Errorf("the address %s is not permitted", address)
		}
		return nil
	})
}

// Instance says whether an instance may be reached at an address, and looked for as the source has it.
func (p *Permit) Instance(source *v1alpha1.EC2Source, instance *discovery.Instance, address string) error {
	if !p.spoken {
		return errNoPolicy
	}
	return p.any(func(policy *v1alpha1.TargetPolicySpec) error {
		if len(policy.Addresses) > 0 && !contains(policy.Addresses, address) {
			return fmt.Errorf("the address %s of %s is not permitted", address, instance.ID)
		}
		if !slices.ContainsFunc(policy.EC2, func(e v1alpha1.EC2Permission) bool { return looks(&e, source) && bears(&e, instance) }) {
			return fmt.Errorf("%s is not permitted: its tags, its group, its region or the role", instance.ID)
		}
		return nil
	})
}

// Source says whether a source may be looked at at all, so that nobody's role is assumed for somebody else.
func (p *Permit) Source(source *v1alpha1.EC2Source) error {
	if !p.spoken {
		return errNoPolicy
	}
	return p.any(func(policy *v1alpha1.TargetPolicySpec) error {
		if !slices.ContainsFunc(policy.EC2, func(e v1alpha1.EC2Permission) bool { return looks(&e, source) }) {
			return fmt.Errorf("EC2 in %s is not permitted", discovery.AccountOf(source))
		}
		return nil
	})
}

// any says whether one policy permits it; if none does, why the last one does not.
func (p *Permit) any(permits func(*v1alpha1.TargetPolicySpec) error) error {
	refusal := p.refusal
	for _, policy := range p.policies {
		if refusal = permits(policy); refusal == nil {
			return nil
		}
	}
	return fmt.Errorf("%w by any TargetPolicy of namespace %s", refusal, p.namespace)
}

// looks says whether a permission covers where a source looks, and as whom.
func looks(e *v1alpha1.EC2Permission, source *v1alpha1.EC2Source) bool {
	if !slices.Contains(e.Regions, source.Region) && !slices.Contains(e.Regions, "*") {
		return false
	}
	if source.RoleARN == "" {
		return len(e.RoleARNs) == 0
	}
	return slices.ContainsFunc(e.RoleARNs, func(pattern string) bool { return matches(pattern, source.RoleARN) })
}

// bears says whether an instance bears what a permission demands.
func bears(e *v1alpha1.EC2Permission, instance *discovery.Instance) bool {
	if len(e.Tags) == 0 && !e.AllInstances {
		return false
	}
	for key, value := range e.Tags {
		if have, there := instance.Tags[key]; !there || have != string(value) {
			return false
		}
	}
	group := instance.Tags[discovery.GroupTag]
	return len(e.AutoScalingGroups) == 0 ||
		group != "" && slices.ContainsFunc(e.AutoScalingGroups, func(pattern string) bool { return matches(pattern, group) })
}

// contains says whether an address is one of a list's addresses or names, or lies in one of its networks or domains.
func contains(list []string, address string) bool {
	address = strings.ToLower(strings.TrimSuffix(address, "."))
	ip, err := netip.ParseAddr(address)
	isIP := err == nil
	return slices.ContainsFunc(list, func(entry string) bool {
		if entry == "*" {
			return true
		}
		entry = strings.ToLower(entry)
		if !isIP {
			return entry == address || strings.HasPrefix(entry, ".") && strings.HasSuffix(address, entry)
		}
		if network, err := netip.ParsePrefix(entry); err == nil {
			return network.Contains(ip.Unmap())
		}
		one, err := netip.ParseAddr(entry)
		return err == nil && one.Unmap() == ip.Unmap()
	})
}

// matches says whether a name is what a pattern says; a trailing * stands for any end.
func matches(pattern, name string) bool {
	if start, open := strings.CutSuffix(pattern, "*"); open {
		return strings.HasPrefix(name, start)
	}
	return pattern == name
}
