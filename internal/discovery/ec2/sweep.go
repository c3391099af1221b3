// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package ec2

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/slipway-dev/slipway/internal/discovery"
)

const (
	// pageSize is EC2's largest page.
	pageSize = 1000
	// groupsAtOnce is how many groups one call describes: Auto Scaling's largest page.
	groupsAtOnce = 100
	// maxTags is how many values one filter takes.
	maxTags = 200
)

// API is what is asked of AWS.
type API interface {
	ec2.DescribeInstancesAPIClient
	autoscaling.DescribeAutoScalingGroupsAPIClient
	Hooks
}

// sweep describes all instances that bear any of the tags, those that were terminated lately included, and how they stand
// in their Auto Scaling groups.
func sweep(ctx context.Context, api API, tags []string) ([]discovery.Instance, error) {
	slices.Sort(tags)
	var instances []discovery.Instance
	for chunk := range slices.Chunk(tags, maxTags) {
		found, err := describe(ctx, api, types.Filter{Name: aws.String("tag-key"), Values: chunk})
		if err != nil {
			return nil, err
		}
		instances = append(instances, found...)
	}
	lifecycles, err := lifecycles(ctx, api, groups(instances))
	if err != nil {
		return nil, err
	}
	for i := range instances {
		instances[i].Lifecycle = lifecycles[instances[i].ID]
	}
	return instances, nil
}

// describe asks EC2 for what passes a filter, page by page.
func describe(ctx context.Context, api API, filter types.Filter) ([]discovery.Instance, error) {
	input := &ec2.DescribeInstancesInput{MaxResults: aws.Int32(pageSize), Filters: []types.Filter{filter}}
	var instances []discovery.Instance
	pages := ec2.NewDescribeInstancesPaginator(api, input, func(o *ec2.DescribeInstancesPaginatorOptions) { o.StopOnDuplicateToken = true })
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("DescribeInstances: %w", err)
		}
		for i := range page.Reservations {
			for j := range page.Reservations[i].Instances {
				instances = append(instances, instance(aws.ToString(page.Reservations[i].OwnerId), &page.Reservations[i].Instances[j]))
			}
		}
	}
	return instances, nil
}

// instance is EC2's description in our words.
func instance(owner string, described *types.Instance) discovery.Instance {
	i := discovery.Instance{
		ID: aws.ToString(described.InstanceId), Account: owner, Type: string(described.InstanceType),
		PrivateIP: aws.ToString(described.PrivateIpAddress), PublicIP: aws.ToString(described.PublicIpAddress),
		PrivateDNS: aws.ToString(described.PrivateDnsName), Tags: make(map[string]string, len(described.Tags)),
		LaunchTime: aws.ToTime(described.LaunchTime),
	}
	if described.State != nil {
		i.State = string(described.State.Name)
	}
	if described.Placement != nil {
		i.Zone = aws.ToString(described.Placement.AvailabilityZone)
	}
	for _, tag := range described.Tags {
		i.Tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	return i
}

// groups names the Auto Scaling groups of the instances that are still there.
func groups(instances []discovery.Instance) []string {
	var names []string
	for i := range instances {
		if name := instances[i].Tags[discovery.GroupTag]; name != "" && instances[i].State != string(types.InstanceStateNameTerminated) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// lifecycles asks Auto Scaling how the groups' instances stand, by their ids.
func lifecycles(ctx context.Context, api API, groups []string) (map[string]string, error) {
	states := map[string]string{}
	for chunk := range slices.Chunk(groups, groupsAtOnce) {
		input := &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: chunk, MaxRecords: aws.Int32(groupsAtOnce)}
		pages := autoscaling.NewDescribeAutoScalingGroupsPaginator(api, input)
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, fmt.Errorf("DescribeAutoScalingGroups: %w", err)
			}
			for i := range page.AutoScalingGroups {
				for _, member := range page.AutoScalingGroups[i].Instances {
					states[aws.ToString(member.InstanceId)] = string(member.LifecycleState)
				}
				if page.AutoScalingGroups[i].WarmPoolConfiguration == nil {
					continue
				}
				if err := warm(ctx, api, aws.ToString(page.AutoScalingGroups[i].AutoScalingGroupName), states); err != nil {
					return nil, err
				}
			}
		}
	}
	return states, nil
}
