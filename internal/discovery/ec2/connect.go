// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package ec2

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/slipway-dev/slipway/internal/discovery"
)

const (
	// maxAttempts of one call. The SDK's own three give up before a throttled bucket has filled again.
	maxAttempts = 8
	// sessionName is what CloudTrail shows of an assumed role.
	sessionName = "slipway"
)

// clients are the real API.
type clients struct {
	*ec2.Client
	hooks
	groups *autoscaling.Client
}

// hooks keeps apart those methods of Auto Scaling's client that have no other of their name in EC2's.
type hooks struct{ Hooks }

// DescribeAutoScalingGroups implements API.
func (c clients) DescribeAutoScalingGroups(
	ctx context.Context, in *autoscaling.DescribeAutoScalingGroupsInput, o ...func(*autoscaling.Options),
) (*autoscaling.DescribeAutoScalingGroupsOutput, error) {
	return c.groups.DescribeAutoScalingGroups(ctx, in, o...)
}

// connect makes the clients of an account.
func connect(ctx context.Context, account discovery.Account) (API, error) {
	loaded, err := Config(ctx, account)
	if err != nil {
		return nil, err
	}
	groups := autoscaling.NewFromConfig(loaded)
	return clients{Client: ec2.NewFromConfig(loaded), hooks: hooks{groups}, groups: groups}, nil
}

// Config finds credentials by the SDK's own chain, assumes the account's role, and retries adaptively: after a call was
// throttled, the next ones are slowed down before they are sent.
func Config(ctx context.Context, account discovery.Account) (aws.Config, error) {
	loaded, err := load(ctx, account.Region)
	if err != nil {
		return aws.Config{}, err
	}
	if account.RoleARN != "" {
		provider := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(loaded), account.RoleARN, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = sessionName
			if account.ExternalID != "" {
				o.ExternalID = aws.String(account.ExternalID)
			}
		})
		loaded.Credentials = aws.NewCredentialsCache(provider)
	}
	return loaded, nil
}

// load finds credentials by the SDK's own chain.
func load(ctx context.Context, region string) (aws.Config, error) {
	loaded, err := config.LoadDefaultConfig(ctx,
		config.WithRegion(region),
		config.WithRetryer(func() aws.Retryer {
			return retry.NewAdaptiveMode(func(o *retry.AdaptiveModeOptions) {
				o.StandardOptions = append(o.StandardOptions, func(o *retry.StandardOptions) { o.MaxAttempts = maxAttempts })
			})
		}))
	if err != nil {
		return aws.Config{}, fmt.Errorf("find AWS credentials: %w", err)
	}
	loaded.HTTPClient = plainBodies{loaded.HTTPClient}
	return loaded, nil
}

// connectQueue makes the client of a queue.
func connectQueue(ctx context.Context, region string) (queueAPI, error) {
	loaded, err := load(ctx, region)
	if err != nil {
		return nil, err
	}
	return sqs.NewFromConfig(loaded), nil
}

// Explain says what AWS answered, its error code first.
func Explain(err error) string {
	var answered smithy.APIError
	if errors.As(err, &answered) {
		var operation *smithy.OperationError
		if errors.As(err, &operation) {
			return fmt.Sprintf("%s: %s: %s", operation.Operation(), answered.ErrorCode(), answered.ErrorMessage())
		}
		return fmt.Sprintf("%s: %s", answered.ErrorCode(), answered.ErrorMessage())
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return err.Error()
}
