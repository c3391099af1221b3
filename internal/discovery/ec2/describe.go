// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package ec2

import (
	"context"
	"fmt"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/discovery"
)

// Describer describes single instances, as they are at this moment. Its zero value is ready.
type Describer struct {
	mu   sync.Mutex
	apis map[discovery.Account]API
}

// Describe describes an instance as an account sees it, without its state in its Auto Scaling group. One that is not there
// is an error that wraps depot.ErrNotFound.
func (d *Describer) Describe(ctx context.Context, account discovery.Account, id string) (discovery.Instance, error) {
	api, err := d.api(ctx, account)
	if err != nil {
		return discovery.Instance{}, err
	}
	// By a filter: a call by ids fails for one that is not there.
	found, err := api.DescribeInstances(ctx, &ec2.DescribeInstancesInput{
		Filters: []types.Filter{{Name: aws.String("instance-id"), Values: []string{id}}},
	})
	if err != nil {
		return discovery.Instance{}, fmt.Errorf("%s", explain(err))
	}
	for i := range found.Reservations {
		for j := range found.Reservations[i].Instances {
			if aws.ToString(found.Reservations[i].Instances[j].InstanceId) == id {
				return instance(aws.ToString(found.Reservations[i].OwnerId), &found.Reservations[i].Instances[j]), nil
			}
		}
	}
	return discovery.Instance{}, fmt.Errorf("%w: EC2 in %s knows no %s", depot.ErrNotFound, account, id)
}

func (d *Describer) api(ctx context.Context, account discovery.Account) (API, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if api, there := d.apis[account]; there {
		return api, nil
	}
	api, err := connect(ctx, account)
	if err != nil {
		return nil, err
	}
	if d.apis == nil {
		d.apis = map[discovery.Account]API{}
	}
	d.apis[account] = api
	return api, nil
}
