// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package loadbalancer decides how a host leaves its load balancer and comes back. It is pure; Groups is how target groups
// are talked to.
package loadbalancer

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/discovery"
)

// Defaults of deploy.loadBalancer.
const (
	DefaultDrainTimeout   = 5 * time.Minute
	DefaultHealthyTimeout = 5 * time.Minute
)

// Host is a host as target groups name it.
type Host struct {
	// Instance is its id at EC2; empty for a host that a person wrote down.
	Instance string
	// Address that it is reached at.
	Address string
}

// Health is how a target group sees one registration.
type Health struct {
	// State as DescribeTargetHealth names it: initial, healthy, unhealthy, unhealthy.draining, draining, unused, unavailable.
	State string
	// Reason as DescribeTargetHealth names it, such as Target.NotRegistered.
	Reason string
	// Description for people.
	Description string
}

// Groups talks to target groups of an account. Errors say in words what was asked, where, and what the answer was.
type Groups interface {
	// Member says how a host is or would be registered in a group; port 0 is the group's own.
	Member(ctx context.Context, of discovery.Account, arn string, port int32, host Host) (v1alpha1.LoadBalancerMember, error)
	// Health of one registration.
	Health(ctx context.Context, of discovery.Account, member v1alpha1.LoadBalancerMember) (Health, error)
	// Deregister takes a registration out. One that is not there is no error.
	Deregister(ctx context.Context, of discovery.Account, member v1alpha1.LoadBalancerMember) error
	// Register brings it back. One that is there is no error.
	Register(ctx context.Context, of discovery.Account, member v1alpha1.LoadBalancerMember) error
}

// notInUse is the reason of a registration in a group that serves no load balancer, or none in the host's zone.
const notInUse = "Target.NotInUse"

// Serving says whether a registration may get requests, now or once its checks succeed: it is there, and nobody drains it.
func (h Health) Serving() bool {
	switch h.State {
	case "draining", "unhealthy.draining":
		return false
	case "unused":
		return h.Reason != "" && h.Reason != "Target.NotRegistered"
	}
	return true
}

// Drained says whether a registration gets no request any more.
func (h Health) Drained() bool { return h.State == "unused" && !h.Serving() }

// InService says whether a registration gets all the requests that it will ever get.
func (h Health) InService() bool {
	return h.State == "healthy" || h.State == "unavailable" || h.State == "unused" && h.Reason == notInUse
}

// Text says it for people.
func (h Health) Text() string {
	return strings.TrimRight(strings.TrimSpace(strings.Join([]string{h.State, h.Reason, h.Description}, " ")), " .")
}

// Region of a target group's ARN, and the account that owns it.
func Region(arn string) (region, account string) {
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 {
		return parts[3], parts[4]
	}
	return "", ""
}

// Name of a target group, for people.
func Name(arn string) string {
	if parts := strings.Split(arn, "/"); len(parts) == 3 {
		return parts[1]
	}
	return arn
}

// AccountOf is with whose rights a target group is talked to: those of the source whose role belongs to the group's account,
// else those of the first source of EC2; without one, the manager's own.
func AccountOf(arn string, sources []v1alpha1.TargetSource) (of discovery.Account, source *v1alpha1.EC2Source) {
	region, owner := Region(arn)
	for i := range sources {
		candidate := sources[i].EC2
		if candidate == nil {
			continue
		}
		if account := discovery.AccountOf(candidate); source == nil || account.Owner() == owner && of.Owner() != owner {
			of, source = account, candidate
		}
	}
	of.Region = region
	return of, source
}

// Out says whether Slipway took the host out, or was about to, and has not brought it back whole.
func Out(status *v1alpha1.LoadBalancerStatus) bool {
	return status != nil && status.State != v1alpha1.InService
}

// Facts are all that it depends on whether a host may come back.
type Facts struct {
	// Status as it was reported last.
	Status *v1alpha1.LoadBalancerStatus
	// Ordered is the digest that the host is to run; empty if nothing is ordered or the order was withdrawn.
	Ordered string
	// Live is the digest that is live; empty if none is. Foreign: it is somebody else's.
	Live    string
	Foreign bool
	// Half: the host was switched, and the delivery did not end well, or nobody knows yet.
	Half bool
	// Healthy: the health check succeeded, or there is none.
	Healthy bool
}

// MayReturn says whether a host that is out comes back now: it runs what it should, and is well.
func MayReturn(f Facts) bool {
	return Out(f.Status) && f.Live != "" && !f.Foreign && !f.Half && f.Healthy && (f.Ordered == "" || f.Live == f.Ordered)
}

// Content is what it depends on whether a host leaves for a delivery.
type Content struct {
	// Configured: the order's Release says how.
	Configured bool
	Status     *v1alpha1.LoadBalancerStatus
	// Live is the digest that is live, Ordered the one to deliver. Repair: the live files are not what they should be.
	Live, Ordered string
	Repair        bool
}

// MustLeave says whether a host has to be out before a delivery: its content changes under requests. One that serves nothing
// yet leaves too if it is registered, which only the target group knows.
func MustLeave(c Content) bool {
	if c.Live == c.Ordered && !c.Repair {
		return false
	}
	return c.Configured || Out(c.Status)
}

// Leaving says whether the host has begun to leave, or has left.
func Leaving(status *v1alpha1.LoadBalancerStatus) bool {
	return status != nil && (status.State == v1alpha1.Draining || status.State == v1alpha1.Drained)
}

// Untouched says whether a host that is out still serves what it served in its load balancer: it was not switched since.
// switched is the fence under which it was last. Fences only grow.
func Untouched(status *v1alpha1.LoadBalancerStatus, switched int64) bool {
	return Out(status) && switched < status.Fence
}

// Late says whether the time of a state is over.
func Late(status *v1alpha1.LoadBalancerStatus, limit time.Duration, now time.Time) bool {
	return now.Sub(status.Since.Time) >= limit
}

// Describe says for people how registrations stand that are waited for.
func Describe(member v1alpha1.LoadBalancerMember, health Health) string {
	return fmt.Sprintf("%s:%d is %s in target group %s", member.ID, member.Port, health.Text(), Name(member.TargetGroupARN))
}

// DrainTimeout of a load balancer, and HealthyTimeout; nil has the defaults.
func DrainTimeout(lb *v1alpha1.LoadBalancer) time.Duration {
	if lb != nil && lb.DrainTimeout.Duration > 0 {
		return lb.DrainTimeout.Duration
	}
	return DefaultDrainTimeout
}

// HealthyTimeout is how long a host may take until the target group calls it healthy.
func HealthyTimeout(lb *v1alpha1.LoadBalancer) time.Duration {
	if lb != nil && lb.HealthyTimeout.Duration > 0 {
		return lb.HealthyTimeout.Duration
	}
	return DefaultHealthyTimeout
}
