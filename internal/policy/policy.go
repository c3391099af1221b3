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
	refusal *refusal
}

// refusal is why a policy does not permit something.
type refusal struct {
	// what is not permitted, and why; why may be empty.
	what, why string
	// near is how many demands were met before: of several refusals, the nearest tells people most.
	near int
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
		if why := access(spec, &service.Spec); why != nil {
			p.refusal = nearer(p.refusal, why)
			continue
		}
		p.policies = append(p.policies, spec)
	}
	return p
}

// access says why a policy does not permit the SSH user and the paths of a Service; nil if it does.
func access(policy *v1alpha1.TargetPolicySpec, service *v1alpha1.ServiceSpec) *refusal {
	user := service.SSH.User
	if !slices.Contains(policy.SSHUsers, user) && (user == "root" || !slices.Contains(policy.SSHUsers, "*")) {
		return &refusal{what: fmt.Sprintf("ssh.user %q", user)}
	}
	for _, path := range []string{string(service.Deploy.Path), string(service.Deploy.StateDir)} {
		if path != "" && !slices.ContainsFunc(policy.PathPrefixes, func(prefix string) bool {
			return prefix == "/" || path == prefix || strings.HasPrefix(path, prefix+"/")
		}) {
			return &refusal{what: "the path " + path, near: 1}
		}
	}
	return nil
}

// unspoken says that nobody permitted what needs a policy.
func unspoken(what string) error {
	return fmt.Errorf("no TargetPolicy speaks for the namespace: %s need one", what)
}

// Host says whether a host that a person wrote down may be reached.
func (p *Permit) Host(address string) error {
	if !p.spoken {
		return nil
	}
	return p.any(func(policy *v1alpha1.TargetPolicySpec) *refusal {
		if !contains(policy.Addresses, address) {
			return &refusal{what: "the address " + address}
		}
		return nil
	})
}

// Source says whether a source may be looked at at all, so that nobody's role is assumed for somebody else.
func (p *Permit) Source(source *v1alpha1.EC2Source) error {
	if !p.spoken {
		return unspoken("instances of EC2")
	}
	return p.any(func(policy *v1alpha1.TargetPolicySpec) *refusal {
		return permitted("EC2 in "+discovery.AccountOf(source).String(), policy, source, nil)
	})
}

// Instance says whether an instance may be reached at an address, and looked for as the source has it.
func (p *Permit) Instance(source *v1alpha1.EC2Source, instance *discovery.Instance, address string) error {
	if !p.spoken {
		return unspoken("instances of EC2")
	}
	return p.any(func(policy *v1alpha1.TargetPolicySpec) *refusal {
		if len(policy.Addresses) > 0 && !contains(policy.Addresses, address) {
			return &refusal{what: fmt.Sprintf("the address %s of %s", address, instance.ID)}
		}
		return permitted(instance.ID, policy, source, instance)
	})
}

// TargetGroup says whether a target group of a load balancer may be named, by its ARN.
func (p *Permit) TargetGroup(arn string) error {
	if !p.spoken {
		return unspoken("target groups")
	}
	return p.any(func(policy *v1alpha1.TargetPolicySpec) *refusal {
		if !slices.ContainsFunc(policy.TargetGroupARNs, func(pattern string) bool { return matches(pattern, arn) }) {
			return &refusal{what: "the target group " + arn}
		}
		return nil
	})
}

// any says whether one policy permits it; if none does, why the one that came nearest does not.
func (p *Permit) any(refuses func(*v1alpha1.TargetPolicySpec) *refusal) error {
	var nearest *refusal
	for _, policy := range p.policies {
		why := refuses(policy)
		if why == nil {
			return nil
		}
		nearest = nearer(nearest, why)
	}
	if nearest == nil {
		nearest = p.refusal
	}
	text := nearest.what + " is not permitted by any TargetPolicy of namespace " + p.namespace
	if nearest.why != "" {
		text += ": " + nearest.why
	}
	return errors.New(text)
}

// nearer is the refusal that more demands were met before; of equals the second. The first may be nil.
func nearer(a, b *refusal) *refusal {
	if a == nil || b.near >= a.near {
		return b
	}
	return a
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
