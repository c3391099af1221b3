// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/discovery"
)

// permitted says why a policy does not let an instance be reached, or, without an instance, be looked for; nil if it does.
func permitted(what string, policy *v1alpha1.TargetPolicySpec, source *v1alpha1.EC2Source, instance *discovery.Instance) *refusal {
	nearest := &refusal{what: what, why: "they permit no EC2"}
	for i := range policy.EC2 {
		near, why := refuses(&policy.EC2[i], source, instance)
		if why == "" {
			return nil
		}
		nearest = nearer(nearest, &refusal{what: what, why: why, near: near})
	}
	return nearest
}

// refuses says what a permission lacks, and how many of its demands were met before; why is empty if it lacks nothing. The
// demands stand in order: where is looked, as whom, and what was found.
func refuses(e *v1alpha1.EC2Permission, source *v1alpha1.EC2Source, instance *discovery.Instance) (near int, why string) {
	role := accountOf(source.RoleARN)
	switch {
	case !slices.Contains(e.Regions, source.Region) && !slices.Contains(e.Regions, "*"):
		return 1, "its region " + source.Region
	case source.RoleARN == "" && len(e.RoleARNs) > 0:
		return 2, "looking as the manager itself; name a role in roleARN"
	case source.RoleARN != "" && !slices.ContainsFunc(e.RoleARNs, func(pattern string) bool { return matches(pattern, source.RoleARN) }):
		return 2, "the role " + source.RoleARN
	case source.RoleARN != "" && len(e.Accounts) > 0 && !slices.Contains(e.Accounts, role):
		return 3, "the account " + role + " of the role"
	case instance == nil:
		return 0, ""
	case len(e.Accounts) > 0 && !slices.Contains(e.Accounts, instance.Account):
		return 4, fmt.Sprintf("its account %q", instance.Account)
	case len(e.Tags) == 0 && !e.AllInstances: // admission knows no such permission
		return 5, "its tags"
	}
	for _, key := range slices.Sorted(maps.Keys(e.Tags)) {
		if have, there := instance.Tags[key]; !there || have != string(e.Tags[key]) {
			return 5, fmt.Sprintf("its tags lack %s=%s", key, e.Tags[key])
		}
	}
	group := instance.Tags[discovery.GroupTag]
	switch {
	case len(e.AutoScalingGroups) == 0:
		return 0, ""
	case group == "":
		return 6, "it belongs to no Auto Scaling group"
	case !slices.ContainsFunc(e.AutoScalingGroups, func(pattern string) bool { return matches(pattern, group) }):
		return 6, fmt.Sprintf("its Auto Scaling group %q", group)
	}
	return 0, ""
}

// accountOf is the account of a role, by its ARN.
func accountOf(roleARN string) string {
	if parts := strings.SplitN(roleARN, ":", 6); len(parts) == 6 {
		return parts[4]
	}
	return ""
}
