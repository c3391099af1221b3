// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/delivery"
)

// probeLimit bounds a look at a host from outside; the driver has limits of its own within it.
const probeLimit = 5 * time.Minute

// probe looks at the host and changes nothing.
func (r *Reconciler) probe(ctx context.Context, j *job) (*delivery.Observation, *delivery.Failure) {
	limited, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	seen, err := r.Delivery.Probe(limited, j.host, j.owner, j.deploy)
	if err != nil {
		return nil, asFailure(err, "Probe", v1alpha1.ReasonUnreachable)
	}
	return &seen, nil
}

// asFailure makes any error of the driver a verdict. An error without one leaves the outcome unknown.
func asFailure(err error, step, reason string) *delivery.Failure {
	var failure *delivery.Failure
	if errors.As(err, &failure) {
		return failure
	}
	if errors.Is(err, context.DeadlineExceeded) {
		reason = v1alpha1.ReasonTimedOut
	}
	return &delivery.Failure{Step: step, Reason: reason, Message: fmt.Sprint(err), Unknown: true}
}
