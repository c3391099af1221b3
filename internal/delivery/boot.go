// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"io"
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// Payload is the script with the values of an order, for a host that runs it by itself with Command. The key that
// order.PullKey mints goes with it: there is no agent.
func Payload(user string, order *Order) ([]byte, error) {
	limit := order.Deploy.Timeout.Duration
	if limit <= 0 {
		limit = defaultTimeout
	}
	access, err := newPullAccess(order, min(limit, maxPullValid))
	if err != nil {
		return nil, err
	}
	access.handedKey = access.privateKey
	return load(deliverValues(user, order, limit, access))
}

// Command runs a Payload on standard input.
const Command = command

// ReadReport reads what the script printed, whoever ran it: what the host runs now, or a Failure. A report that does not
// end is a Failure with Unknown set.
func ReadReport(in io.Reader) (Observation, *Failure) {
	r := &report{now: time.Now}
	if err := r.read(in); err != nil {
		return Observation{}, &Failure{Step: "Boot", Reason: v1alpha1.ReasonDeliveryFailed, Message: "the report can't be read: " + err.Error(), Unknown: true}
	}
	switch {
	case r.fail != nil:
		return Observation{}, scriptFailure(r)
	case r.done == nil || r.state == nil:
		return Observation{}, &Failure{Step: "Boot", Reason: v1alpha1.ReasonDeliveryFailed, Message: "the report has no end", Unknown: true}
	}
	return r.state.observation(""), nil
}
