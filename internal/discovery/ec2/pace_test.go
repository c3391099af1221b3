// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package ec2

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/internal/discovery"
)

// AWS counts the calls of all roles of an account in a region together, and so do we.
func TestRolesOfAnAccountKeepOnePace(t *testing.T) {
	g := NewWithT(t)
	s := New(Options{})
	pace := func(region, role string) any {
		return s.account(discovery.Account{Region: region, RoleARN: role}, time.Now()).pace
	}
	web := pace("eu-west-1", "arn:aws:iam::123456789012:role/web")
	g.Expect(pace("eu-west-1", "arn:aws:iam::123456789012:role/teams/shop:1")).To(BeIdenticalTo(web))
	g.Expect(pace("eu-west-2", "arn:aws:iam::123456789012:role/web")).NotTo(BeIdenticalTo(web))
	g.Expect(pace("eu-west-1", "arn:aws:iam::210987654321:role/web")).NotTo(BeIdenticalTo(web))
	own := pace("eu-west-1", "")
	g.Expect(own).NotTo(BeIdenticalTo(web))
	g.Expect(pace("eu-west-1", "")).To(BeIdenticalTo(own))
}

// counted is an API that counts calls.
type counted struct {
	API
	calls int
}

func (c *counted) DescribeInstances(context.Context, *ec2.DescribeInstancesInput, ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error) {
	c.calls++
	return &ec2.DescribeInstancesOutput{}, nil
}

func TestCallsBeyondThePaceAreNotMade(t *testing.T) {
	g := NewWithT(t)
	s := New(Options{})
	api := &counted{}
	p := paced{api, s.account(discovery.Account{Region: "eu-west-1"}, time.Now()).pace}
	ctx, cancel := context.WithDeadline(t.Context(), time.Now()) // nobody waits
	defer cancel()
	for range 10 * callsAtOnce {
		_, _ = p.DescribeInstances(ctx, nil)
	}
	g.Expect(api.calls).To(BeZero(), "a call whose time has come too late is not made")
	p.pace.SetLimit(0) // time stands still
	for range 10 * callsAtOnce {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		_, _ = p.DescribeInstances(ctx, nil)
		cancel()
	}
	g.Expect(api.calls).To(Equal(callsAtOnce))
}
