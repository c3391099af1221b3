// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package elbv2 talks to target groups of Elastic Load Balancing. Its calls are paced for each account and region.
package elbv2

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"golang.org/x/time/rate"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/discovery"
	"github.com/slipway-dev/slipway/internal/discovery/ec2"
	"github.com/slipway-dev/slipway/internal/loadbalancer"
)

const (
	// callsPerSecond and callsAtOnce are how often one account of AWS is called in one region. AWS counts the calls of all
	// that work in the account together: the rest is theirs.
	callsPerSecond = 5
	callsAtOnce    = 20
	// callLimit bounds one call, its retries and the wait for its turn included.
	callLimit = 20 * time.Second
)

// Groups implements loadbalancer.Groups. It is safe for concurrent use.
type Groups struct {
	mu       sync.Mutex
	accounts map[discovery.Account]*account
	paces    map[[2]string]*rate.Limiter
	// shapes of target groups, by account and ARN: type and port of a group never change.
	shapes map[shapeKey]shape
}

type account struct {
	pace       *rate.Limiter
	connecting sync.Mutex
	client     *elasticloadbalancingv2.Client // guarded by connecting
}

type shapeKey struct {
	of  discovery.Account
	arn string
}

type shape struct {
	kind types.TargetTypeEnum
	port int32
}

var _ loadbalancer.Groups = (*Groups)(nil)

// New returns Groups that find their credentials as the SDK does, and assume the role of each account.
func New() *Groups {
	return &Groups{accounts: map[discovery.Account]*account{}, paces: map[[2]string]*rate.Limiter{}, shapes: map[shapeKey]shape{}}
}

// Member implements loadbalancer.Groups.
func (g *Groups) Member(
	ctx context.Context, of discovery.Account, arn string, port int32, host loadbalancer.Host,
) (v1alpha1.LoadBalancerMember, error) {
	member := v1alpha1.LoadBalancerMember{TargetGroupARN: arn, Port: port}
	shape, err := g.shape(ctx, of, arn)
	if err != nil {
		return member, err
	}
	if member.Port == 0 {
		member.Port = shape.port
	}
	switch shape.kind {
	case types.TargetTypeEnumInstance:
		if member.ID = host.Instance; member.ID == "" {
			return member, fmt.Errorf("target group %s has instances of EC2 for targets, and %s is none: use a target group of target type ip",
				loadbalancer.Name(arn), host.Address)
		}
	case types.TargetTypeEnumIp:
		address, err := netip.ParseAddr(host.Address)
		if err != nil {
			return member, fmt.Errorf("target group %s has IP addresses for targets, and %q is none: name the host by its address", loadbalancer.Name(arn), host.Address)
		}
		member.ID = address.Unmap().String()
	default:
		return member, fmt.Errorf("target group %s has target type %s: only instance and ip are known", loadbalancer.Name(arn), shape.kind)
	}
	return member, nil
}

// shape of a target group, which is asked for once.
func (g *Groups) shape(ctx context.Context, of discovery.Account, arn string) (shape, error) {
	g.mu.Lock()
	known, there := g.shapes[shapeKey{of, arn}]
	g.mu.Unlock()
	if there {
		return known, nil
	}
	var found shape
	err := g.ask(ctx, of, func(ctx context.Context, client *elasticloadbalancingv2.Client) error {
		out, err := client.DescribeTargetGroups(ctx, &elasticloadbalancingv2.DescribeTargetGroupsInput{TargetGroupArns: []string{arn}})
		if err != nil {
			return err
		}
		if len(out.TargetGroups) != 1 {
			return fmt.Errorf("DescribeTargetGroups: %d groups are called %s", len(out.TargetGroups), arn)
		}
		found = shape{out.TargetGroups[0].TargetType, aws.ToInt32(out.TargetGroups[0].Port)}
		return nil
	})
	if err != nil {
		return shape{}, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shapes[shapeKey{of, arn}] = found
	return found, nil
}

// Health implements loadbalancer.Groups.
func (g *Groups) Health(ctx context.Context, of discovery.Account, member v1alpha1.LoadBalancerMember) (loadbalancer.Health, error) {
	var health loadbalancer.Health
	err := g.ask(ctx, of, func(ctx context.Context, client *elasticloadbalancingv2.Client) error {
		out, err := client.DescribeTargetHealth(ctx, &elasticloadbalancingv2.DescribeTargetHealthInput{
			TargetGroupArn: aws.String(member.TargetGroupARN), Targets: targets(member),
		})
		var invalid *types.InvalidTargetException
		if errors.As(err, &invalid) { // the instance is gone, and with it its registration
			health = loadbalancer.Health{State: "unused", Reason: "Target.NotRegistered", Description: aws.ToString(invalid.Message)}
			return nil
		}
		if err != nil {
			return err
		}
		if len(out.TargetHealthDescriptions) != 1 || out.TargetHealthDescriptions[0].TargetHealth == nil {
			return fmt.Errorf("DescribeTargetHealth: %d answers for one target", len(out.TargetHealthDescriptions))
		}
		said := out.TargetHealthDescriptions[0].TargetHealth
		health = loadbalancer.Health{State: string(said.State), Reason: string(said.Reason), Description: aws.ToString(said.Description)}
		return nil
	})
	return health, err
}

// Deregister implements loadbalancer.Groups.
func (g *Groups) Deregister(ctx context.Context, of discovery.Account, member v1alpha1.LoadBalancerMember) error {
	return g.ask(ctx, of, func(ctx context.Context, client *elasticloadbalancingv2.Client) error {
		_, err := client.DeregisterTargets(ctx, &elasticloadbalancingv2.DeregisterTargetsInput{
			TargetGroupArn: aws.String(member.TargetGroupARN), Targets: targets(member),
		})
		return err
	})
}

// Register implements loadbalancer.Groups.
func (g *Groups) Register(ctx context.Context, of discovery.Account, member v1alpha1.LoadBalancerMember) error {
	return g.ask(ctx, of, func(ctx context.Context, client *elasticloadbalancingv2.Client) error {
		_, err := client.RegisterTargets(ctx, &elasticloadbalancingv2.RegisterTargetsInput{
			TargetGroupArn: aws.String(member.TargetGroupARN), Targets: targets(member),
		})
		return err
	})
}

func targets(member v1alpha1.LoadBalancerMember) []types.TargetDescription {
	return []types.TargetDescription{{Id: aws.String(member.ID), Port: aws.Int32(member.Port)}}
}

// ask makes one call in its turn and within its limit, and says in words what AWS answered.
func (g *Groups) ask(ctx context.Context, of discovery.Account, call func(context.Context, *elasticloadbalancingv2.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	a := g.account(of)
	client, err := a.connected(ctx, of)
	if err == nil {
		err = a.pace.Wait(ctx)
	}
	if err == nil {
		err = call(ctx, client)
	}
	if err != nil {
		return fmt.Errorf("ELB in %s: %s", of, ec2.Explain(err))
	}
	return nil
}

// account is the way to an account. AWS counts the calls of all roles of an account together.
func (g *Groups) account(of discovery.Account) *account {
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.accounts[of]
	if a == nil {
		together := [2]string{of.Region, of.Owner()}
		if g.paces[together] == nil {
			g.paces[together] = rate.NewLimiter(callsPerSecond, callsAtOnce)
		}
		a = &account{pace: g.paces[together]}
		g.accounts[of] = a
	}
	return a
}

// connected gives the client of an account, which is made once.
func (a *account) connected(ctx context.Context, of discovery.Account) (*elasticloadbalancingv2.Client, error) {
	a.connecting.Lock()
	defer a.connecting.Unlock()
	if a.client == nil {
		config, err := ec2.Config(ctx, of)
		if err != nil {
			return nil, err
		}
		a.client = elasticloadbalancingv2.NewFromConfig(config)
	}
	return a.client, nil
}
