// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/delivery"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/rollout"
)

const (
	// grace is what a delivery gets beyond its own limit before it is cut off from outside.
	grace = 30 * time.Second
	// progressEvery is how often the step of a delivery is reported at most.
	progressEvery = time.Second
)

// deliver brings the host to what is ordered, and reports.
func (r *Reconciler) deliver(ctx context.Context, j *job, v verdict) (lesson, error) {
	began := metav1.NewTime(r.Clock.Now())
	if err := r.reportBegun(ctx, j, v, began); err != nil {
		return lesson{}, err
	}
	if v.repair {
		r.Metrics.RepairBegun(j.target)
	}
	limited, cancel := context.WithTimeout(ctx, j.timeout()+grace)
	defer cancel()
	result, err := r.Delivery.Deliver(limited, j.host, r.orderOf(j, v.repair), r.progress(ctx, j, v))
	if ctx.Err() != nil {
		return lesson{}, nil // the process ends: whoever comes next looks at the host first
	}
	if err != nil {
		failure := asFailure(err, "Deliver", v1alpha1.ReasonDeliveryFailed)
		if j.out() && !failure.Switched && !failure.Unknown {
			r.undo(ctx, j, failure.Message)
		}
		return r.reportFailed(ctx, j, failure, began)
	}
	if err := r.reportDelivered(ctx, j, &result, began); err != nil {
		return lesson{}, err
	}
	j.last = lesson{looked: r.Clock.Now()}
	return r.settle(ctx, j, &result.Observation, j.last.looked.Add(r.jittered(j.interval())))
}

// orderOf says it in the driver's words.
func (r *Reconciler) orderOf(j *job, repair bool) delivery.Order {
	order := delivery.Order{
		Owner: j.owner, Deploy: j.deploy, Fence: j.fence,
		Digest: j.order.Digest, Commit: j.order.Commit, Revision: j.order.Revision, Release: j.order.Release,
		ServiceName: j.service.Name, Keep: keep(j), Repair: repair, AsIs: j.asIs,
	}
	endpoint, err := r.endpoint()
	if err != nil {
		return order // only what the host holds already is used: a rollback needs no depot
	}
	storage := j.storage()
	order.Depot = endpoint
	order.PullKey = func(_ v1alpha1.UID, digest string, valid time.Duration) ([]byte, []byte, error) {
		return r.PullCredential(storage, digest, valid)
	}
	return order
}

// endpoint says where hosts pull from.
func (r *Reconciler) endpoint() (depot.Endpoint, error) {
	if r.Endpoint == nil || r.PullCredential == nil {
		return depot.Endpoint{}, depot.ErrUnavailable
	}
	return r.Endpoint()
}

// keep lists what prune must leave on the host: all that it may be told to run without the depot, and what it runs.
func keep(j *job) []string {
	digests := rollout.Keep(&j.service.Status, map[string]v1alpha1.FrozenSpec{"": {Deploy: j.deploy}})
	if j.order != nil {
		digests = append(digests, j.order.Digest)
	}
	if j.target.Status.Running != nil {
		digests = append(digests, j.target.Status.Running.Digest)
	}
	slices.Sort(digests)
	return slices.Compact(digests)
}

// progress reports each step as it begins, at most one a second.
func (r *Reconciler) progress(ctx context.Context, j *job, v verdict) func(string) {
	var reported time.Time
	return func(step string) {
		now := r.Clock.Now()
		if now.Sub(reported) < progressEvery {
			return
		}
		reported = now
		// Best effort: what counts is how the delivery ends.
		_ = r.report(ctx, j, func(status *v1alpha1.TargetStatus) {
			conditions.Summarize(&status.Conditions, j.generation, v.state, v.reason, v.message+": "+step)
		})
	}
}
