// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package ec2

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"golang.org/x/time/rate"

	"github.com/slipway-dev/slipway/internal/discovery"
)

const (
	// callsPerSecond and callsAtOnce are how often DescribeInstances is called in one account of AWS and one region. AWS allows
	// 20 a second and 100 at once there, to everybody in the account together: the rest is theirs.
	callsPerSecond = 5
	callsAtOnce    = 20
)

// paced is an API whose calls of DescribeInstances wait for their turn.
type paced struct {
	API
	pace *rate.Limiter
}

// DescribeInstances implements API.
func (p paced) DescribeInstances(
	ctx context.Context, in *ec2.DescribeInstancesInput, o ...func(*ec2.Options),
) (*ec2.DescribeInstancesOutput, error) {
	if err := p.pace.Wait(ctx); err != nil {
		return nil, err
	}
	return p.API.DescribeInstances(ctx, in, o...)
}

// paceFor is the limiter of an account: AWS counts the calls of all roles of an account together. The caller holds the lock.
func (s *Sweeper) paceFor(of discovery.Account) *rate.Limiter {
	for other, a := range s.accounts {
		if other.Region == of.Region && other.Owner() == of.Owner() {
			return a.pace
		}
	}
	return rate.NewLimiter(callsPerSecond, callsAtOnce)
}
