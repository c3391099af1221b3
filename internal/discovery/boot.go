// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package discovery

import "github.com/slipway-dev/slipway/api/v1alpha1"

// Pending is the state of an instance that starts, in EC2's word.
const Pending = "pending"

// Serves says whether an instance that boots is a host of a source: it matches, and it is permitted. EC2 may describe it
// as pending yet.
func Serves(source *v1alpha1.EC2Source, instance Instance, permit Permit) error {
	if instance.State == Pending {
		instance.State = Running
	}
	if !selects(source, &instance) {
		return ErrLeft
	}
	if err := permit.Source(source); err != nil {
		return err
	}
	at, err := address(source, &instance)
	if err != nil {
		return err
	}
	return permit.Instance(source, &instance, at)
}
