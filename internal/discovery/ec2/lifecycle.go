// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package ec2

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/smithy-go"

	"github.com/slipway-dev/slipway/internal/discovery"
	"github.com/slipway-dev/slipway/internal/lifecycle"
)

// Hooks is what is asked of Auto Scaling's lifecycle hooks.
type Hooks interface {
	DescribeLifecycleHooks(
		context.Context, *autoscaling.DescribeLifecycleHooksInput, ...func(*autoscaling.Options),
	) (*autoscaling.DescribeLifecycleHooksOutput, error)
	RecordLifecycleActionHeartbeat(
		context.Context, *autoscaling.RecordLifecycleActionHeartbeatInput, ...func(*autoscaling.Options),
	) (*autoscaling.RecordLifecycleActionHeartbeatOutput, error)
	CompleteLifecycleAction(
		context.Context, *autoscaling.CompleteLifecycleActionInput, ...func(*autoscaling.Options),
	) (*autoscaling.CompleteLifecycleActionOutput, error)
	DescribeWarmPool(context.Context, *autoscaling.DescribeWarmPoolInput, ...func(*autoscaling.Options)) (*autoscaling.DescribeWarmPoolOutput, error)
}

// hookLimit bounds one call about a hook, its retries included.
const hookLimit = 20 * time.Second

// Hooks describes the lifecycle hooks of a group, by their names.
func (s *Sweeper) Hooks(ctx context.Context, of discovery.Account, group string) (map[string]lifecycle.Hook, error) {
	hooks := map[string]lifecycle.Hook{}
	err := s.ask(ctx, of, func(ctx context.Context, api API) error {
		out, err := api.DescribeLifecycleHooks(ctx, &autoscaling.DescribeLifecycleHooksInput{AutoScalingGroupName: aws.String(group)})
		if err != nil {
			return err
		}
		for _, hook := range out.LifecycleHooks {
			name := aws.ToString(hook.LifecycleHookName)
			hooks[name] = lifecycle.Hook{
				Name: name, Transition: lifecycle.Transition(aws.ToString(hook.LifecycleTransition)),
				Timeout: time.Duration(aws.ToInt32(hook.HeartbeatTimeout)) * time.Second,
			}
		}
		return nil
	})
	return hooks, err
}

// Heartbeat has the time of an instance's hook begin anew. An action that is over already is lifecycle.ErrNoAction.
func (s *Sweeper) Heartbeat(ctx context.Context, of discovery.Account, group, hook, instance string) error {
	return s.ask(ctx, of, func(ctx context.Context, api API) error {
		_, err := api.RecordLifecycleActionHeartbeat(ctx, &autoscaling.RecordLifecycleActionHeartbeatInput{
			AutoScalingGroupName: aws.String(group), LifecycleHookName: aws.String(hook), InstanceId: aws.String(instance),
		})
		return err
	})
}

// Complete tells Auto Scaling how an instance's hook ended. An action that is over already is lifecycle.ErrNoAction.
func (s *Sweeper) Complete(ctx context.Context, of discovery.Account, group, hook, instance string, result lifecycle.Action) error {
	err := s.ask(ctx, of, func(ctx context.Context, api API) error {
		_, err := api.CompleteLifecycleAction(ctx, &autoscaling.CompleteLifecycleActionInput{
			AutoScalingGroupName: aws.String(group), LifecycleHookName: aws.String(hook), InstanceId: aws.String(instance),
			LifecycleActionResult: aws.String(string(result)),
		})
		return err
	})
	if err == nil || errors.Is(err, lifecycle.ErrNoAction) {
		s.Wake(of.Region) // its state has changed
	}
	return err
}

// ask makes one call within its limit, and says in words what AWS answered.
func (s *Sweeper) ask(ctx context.Context, of discovery.Account, call func(context.Context, API) error) error {
	ctx, cancel := context.WithTimeout(ctx, hookLimit)
	defer cancel()
	s.mu.Lock()
	a := s.account(of, s.Clock.Now())
	s.mu.Unlock()
	api, err := s.connected(ctx, of, a)
	if err == nil {
		err = call(ctx, api)
	}
	var answered smithy.APIError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &answered) && answered.ErrorCode() == "ValidationError" && strings.Contains(answered.ErrorMessage(), "No active Lifecycle Action"):
		return lifecycle.ErrNoAction
	}
	return fmt.Errorf("EC2 in %s: %s", of, Explain(err))
}

// warm adds the lifecycle states of the instances in a group's warm pool, which the group itself does not list.
func warm(ctx context.Context, api API, group string, states map[string]string) error {
	pages := autoscaling.NewDescribeWarmPoolPaginator(api, &autoscaling.DescribeWarmPoolInput{AutoScalingGroupName: aws.String(group)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("DescribeWarmPool: %w", err)
		}
		for _, member := range page.Instances {
			states[aws.ToString(member.InstanceId)] = string(member.LifecycleState)
		}
	}
	return nil
}
