// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"context"
	"errors"
	"fmt"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// ErrLeft says that a host is none of its Service's any more.
var ErrLeft = errors.New("no source of the Service names the host any more")

// Check looks at one host again, just before it is reached: it is still one of its Service's, and still permitted, with the
// tags, the state and the address that it has now. What nobody can say for sure counts as last seen: an AWS that does not answer
// is no reason to leave hosts alone.
func Check(ctx context.Context, host v1alpha1.TargetHost, sources []v1alpha1.TargetSource, finder LiveFinder, permit Permit) error {
	verdict := ErrLeft
	for i := range sources {
		for _, static := range sources[i].Hosts {
			if static.Name == host.ID && static.Address == host.Address {
				return permit.Host(host.Address)
			}
		}
		if source := sources[i].EC2; source != nil && instanceID.MatchString(host.ID) {
			err := checkInstance(ctx, host, source, finder, permit)
			if err == nil {
				return nil
			}
			if !errors.Is(err, ErrLeft) {
				verdict = err
			}
		}
	}
	return verdict
}

func checkInstance(ctx context.Context, host v1alpha1.TargetHost, source *v1alpha1.EC2Source, finder LiveFinder, permit Permit) error {
	if err := permit.Source(source); err != nil {
		return err
	}
	view := finder.View(AccountOf(source), tagsOf(source))
	instance, described := view.Instances[host.ID]
	if now, err := finder.Describe(ctx, AccountOf(source), host.ID); err == nil {
		instance, described = now, true
	}
	if !described {
		if view.Looks < sureLooks {
			return nil
		}
		return ErrLeft
	}
	if !selects(source, &instance) {
		return ErrLeft
	}
	if now, err := address(source, &instance); err != nil || now != host.Address {
		return fmt.Errorf("%s has another address by now", host.ID)
	}
	return permit.Instance(source, &instance, host.Address)
}
