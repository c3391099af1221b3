// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/delivery"
)

// stage has what is ordered complete on the host before the host leaves its load balancer: it is out for the switch alone, and
// what can't be pulled takes nobody out. staged says that it may leave.
func (r *Reconciler) stage(ctx context.Context, j *job, v verdict) (staged bool, next lesson, err error) {
	stager, can := r.Delivery.(delivery.Stager)
	if j.out() || !can {
		return true, lesson{}, nil
	}
	began := metav1.NewTime(r.Clock.Now())
	if err := r.reportBegun(ctx, j, v, began); err != nil {
		return false, lesson{}, err
	}
	limited, cancel := context.WithTimeout(ctx, j.timeout()+grace)
	defer cancel()
	result, err := stager.Stage(limited, j.host, r.orderOf(j, v.repair), r.progress(ctx, j, v))
	if ctx.Err() != nil {
		return false, lesson{}, nil // the process ends: whoever comes next looks at the host first
	}
	if err != nil {
		next, err := r.reportFailed(ctx, j, asFailure(err, "Pull", v1alpha1.ReasonDeliveryFailed), began)
		return false, next, err
	}
	err = r.report(ctx, j, func(status *v1alpha1.TargetStatus) {
		status.Delivery = j.delivery(status, began)
		status.Delivery.Steps, status.Delivery.BytesReceived = steps(result.Steps), result.BytesReceived
	})
	if err != nil || j.target.Generation != j.generation { // it was ordered something else meanwhile
		return false, lesson{known: j.last.known, after: postponement}, err
	}
	if problem := r.permitted(ctx, j); problem != nil { // pulling may have taken minutes
		next, err := r.reportProblem(ctx, j, problem)
		return false, next, err
	}
	return true, lesson{}, nil
}
