// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package target brings one host towards what it should run: look, deliver, report. New hosts, hosts that were
// rebooted, hosts that drifted and rollbacks are all this one loop. It alone writes a Target's status.
package target

import (
	"context"
	"math/rand/v2"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/delivery"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/discovery"
	"github.com/slipway-dev/slipway/internal/loadbalancer"
	"github.com/slipway-dev/slipway/internal/metrics"
)

// FieldOwner is the field manager of all that this controller writes.
const FieldOwner = "slipway-target"

// DefaultConcurrency is how many hosts are worked on at once.
const DefaultConcurrency = 32

// Options are the controller's collaborators.
type Options struct {
	Client client.Client
	// Reader reads past the cache: Secrets and host keys, by name.
	Reader client.Reader
	// Finder knows what clouds say of hosts, and looks again before they are reached.
	Finder discovery.LiveFinder
	// Delivery reaches hosts.
	Delivery delivery.Driver
	// Health asks hosts whether they are well. Default: Delivery, if it can.
	Health delivery.Checker
	// Balancers talks to the target groups of load balancers.
	Balancers loadbalancer.Groups
	// Bindings knows the host keys of instances that booted with Slipway's user-data; Booted brings the ids of those that
	// did.
	Bindings Bindings
	Booted   <-chan event.TypedGenericEvent[string]
	// Endpoint says where hosts pull from. While it fails, hosts get only what they hold already.
	Endpoint func() (depot.Endpoint, error)
	// PullCredential mints what a host shows to the depot.
	PullCredential delivery.Credential
	// OwnerID identifies this installation on hosts.
	OwnerID string
	Clock   clock.PassiveClock
	Events  events.EventRecorder
	// Metrics count what is done. Default: nobody reads them.
	Metrics *metrics.Metrics
	// Concurrency is how many hosts are worked on at once. Default DefaultConcurrency.
	Concurrency int
	// Jitter gives numbers from 0 up to 1 that spread looks at hosts over time. Default random.
	Jitter func() float64
}

// Reconciler leads hosts.
type Reconciler struct {
	Options
	memory *memory
	// looks bounds how many hosts are asked for their health at once: however slow they are, deliveries have their share.
	looks chan struct{}
}

// New returns a Reconciler.
func New(o Options) *Reconciler {
	if o.Metrics == nil {
		o.Metrics = metrics.New(nil)
	}
	if o.Concurrency <= 0 {
		o.Concurrency = DefaultConcurrency
	}
	if o.Health == nil {
		o.Health, _ = o.Delivery.(delivery.Checker)
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	return &Reconciler{Options: o, memory: newMemory(), looks: make(chan struct{}, max(1, o.Concurrency/2))}
}

// SetupWithManager registers the controller. The cache must index Targets by ServiceField.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	b := ctrl.NewControllerManagedBy(mgr)
	if r.Booted != nil {
		b = b.WatchesRawSource(source.TypedChannel(r.Booted, r.targetsOfInstance()))
	}
	return b.
		For(&v1alpha1.Target{}, builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, askedFor()))).
		Watches(&v1alpha1.Target{}, r.siblingsOfDrifted()).
		Watches(&v1alpha1.Service{}, r.targetsOfService(), builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, ledOrLeft()))).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: r.Concurrency,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](time.Second, maxBackoff),
		}).
		Named("target").
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

// Reconcile looks at one host when its time has come, delivers if it is ordered to, and reports.
func (r *Reconciler) Reconcile(ctx context.Context, target *v1alpha1.Target) (reconcile.Result, error) {
	j, err := r.gather(ctx, target)
	if err != nil {
		return reconcile.Result{}, err
	}
	if j == nil { // nothing is to be done for this Target any more
		r.memory.forget(target)
		return reconcile.Result{}, nil
	}
	now := r.Clock.Now()
	if wait := r.memory.wait(target, j.fingerprint, now); wait > 0 {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	j.last = r.memory.recall(target)
	next, err := r.run(ctx, j)
	switch {
	case apierrors.IsNotFound(err), ctx.Err() != nil:
		return reconcile.Result{}, nil
	case err != nil:
		return reconcile.Result{}, err
	}
	r.memory.learn(target, j.fingerprint, r.Clock.Now(), next)
	return reconcile.Result{RequeueAfter: next.after}, nil
}

// run takes the steps that are due. What it returns is remembered until the process ends.
func (r *Reconciler) run(ctx context.Context, j *job) (lesson, error) {
	if j.target.Status.ObservedGeneration == 0 {
		if err := r.reportFirst(ctx, j); err != nil {
			return lesson{}, err
		}
	}
	if err := r.repin(ctx, j); err != nil {
		return lesson{}, err
	}
	if err := r.booted(ctx, j); err != nil {
		return lesson{}, err
	}
	if now := r.Clock.Now(); j.onlyHealth(now) {
		return r.settle(ctx, j, j.last.seen, j.last.lookDue)
	}
	if problem := r.permitted(ctx, j); problem != nil {
		return r.reportProblem(ctx, j, problem)
	}
	if problem := r.access(ctx, j); problem != nil {
		return r.reportProblem(ctx, j, problem)
	}
	if problem := r.hostKey(j); problem != nil {
		return r.reportProblem(ctx, j, problem)
	}
	if j.hookDue() {
		return r.runHook(ctx, j)
	}
	v := decide(j.facts(nil))
	if v.action == look {
		seen, failure := r.probe(ctx, j)
		if failure != nil {
			return r.reportProblem(ctx, j, failure)
		}
		v = decide(j.facts(seen))
		if v.action != deliver {
			j.last.looked = r.Clock.Now()
			return r.settle(ctx, j, seen, j.last.looked.Add(r.jittered(j.interval())))
		}
		if err := r.reportSeen(ctx, j, seen, v); err != nil {
			return lesson{}, err
		}
	}
	if problem := r.permitted(ctx, j); problem != nil { // the look may have taken minutes
		return r.reportProblem(ctx, j, problem)
	}
	if j.mustLeave(v.repair) {
		if staged, next, err := r.stage(ctx, j, v); !staged || err != nil {
			return next, err
		}
		if left, next, err := r.drain(ctx, j); !left || err != nil {
			return next, err
		}
		if problem := r.permitted(ctx, j); problem != nil { // nor is draining done at once
			return r.reportProblem(ctx, j, problem)
		}
	}
	return r.deliver(ctx, j, v)
}
