// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package rollout moves a Service's Targets in waves: it runs the planner, records a wave on the Service, and then
// writes each member's order. It alone writes a Target's artifact, fence and wave.
package rollout

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/metrics"
	"github.com/slipway-dev/slipway/internal/rollout"
)

// FieldOwner is the field manager of all that this controller writes.
const FieldOwner = "slipway-rollout"

const (
	// workers is how many Services are planned for at once.
	workers = 4
	// again is when to look again after a write that met a newer version.
	again = 100 * time.Millisecond
	// settle is when to look again at a cache that is behind, if no event comes before.
	settle = time.Second
)

// Depot keeps the manager's last word on Services and their hosts.
type Depot interface {
	SetWord(ctx context.Context, w depot.Word) error
}

// Options are the controller's collaborators.
type Options struct {
	Client client.Client
	// Reader reads past the cache: whether a member of a wave that the cache does not show is gone, and Secrets.
	Reader client.Reader
	// Depot is told what each host should run, for hosts that boot while the manager is down.
	Depot  Depot
	Clock  clock.PassiveClock
	Events events.EventRecorder
	// OwnerID identifies this installation on hosts.
	OwnerID string
	// Metrics count what is done. Default: nobody reads them.
	Metrics *metrics.Metrics
	// Concurrency is how many hosts of one Service are delivered to at once. Default rollout.DefaultConcurrency.
	Concurrency int
	// DriftQuiet is how long no further drift may have been found before one is repaired. Default
	// rollout.DefaultDriftQuiet.
	DriftQuiet time.Duration
	// UnreachableAfter is how long a host may not answer before a rollout goes on without it. Default
	// rollout.DefaultUnreachableAfter.
	UnreachableAfter time.Duration
}

// Reconciler moves Targets.
type Reconciler struct {
	Options
	words *words
}

// New returns a Reconciler.
func New(o Options) *Reconciler {
	if o.Metrics == nil {
		o.Metrics = metrics.New(nil)
	}
	if o.Concurrency <= 0 {
		o.Concurrency = rollout.DefaultConcurrency
	}
	if o.DriftQuiet <= 0 {
		o.DriftQuiet = rollout.DefaultDriftQuiet
	}
	if o.UnreachableAfter <= 0 {
		o.UnreachableAfter = rollout.DefaultUnreachableAfter
	}
	return &Reconciler{Options: o, words: newWords(o.Depot, o.Clock, o.Metrics)}
}

// SetupWithManager registers the controller. The cache must index Targets by ServiceField.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.Service{}).
		Watches(&v1alpha1.Target{}, serviceOf(targetService)).
		Watches(&v1alpha1.Release{}, serviceOf(releaseService), builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, stepped()))).
		Watches(&v1alpha1.TargetPolicy{}, r.all()).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: workers,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](200*time.Millisecond, 10*time.Minute),
		}).
		Named("rollout").
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

// Reconcile completes the recorded wave, and only then plans another.
func (r *Reconciler) Reconcile(ctx context.Context, service *v1alpha1.Service) (reconcile.Result, error) {
	if !service.DeletionTimestamp.IsZero() {
		r.words.forget(service.UID)
		return reconcile.Result{}, nil
	}
	targets, err := r.targets(ctx, service)
	if err != nil {
		return reconcile.Result{}, err
	}
	if writes := rollout.Unwritten(service.Status.Wave, targets); len(writes) > 0 {
		// Each write comes back as an event, once the cache shows it.
		return conflictIsRequeue(r.order(ctx, targets, writes))
	}
	if unseen, err := r.unseen(ctx, service, targets); err != nil || unseen {
		return reconcile.Result{RequeueAfter: settle}, err
	}
	input, err := r.gather(ctx, service, targets)
	if err != nil {
		return reconcile.Result{}, err
	}
	plan := rollout.Compute(input)
	if len(plan.Members) == 0 {
		word, err := r.word(ctx, service, targets)
		if err != nil {
			return reconcile.Result{}, err
		}
		return reconcile.Result{RequeueAfter: sooner(plan.After, r.words.tell(ctx, word))}, nil
	}
	wave, err := r.record(ctx, service, plan)
	if err != nil {
		return conflictIsRequeue(err)
	}
	// Events alike in reason and action are one to the recorder, with the first one's words.
	r.Events.Eventf(service, nil, corev1.EventTypeNormal, v1alpha1.ReasonWaveStarted, fmt.Sprintf("StartWave%d", wave.Number), "wave %d: %s", wave.Number, wave.Reason)
	r.Metrics.WaveBegun(service)
	log.FromContext(ctx).Info("wave", "number", wave.Number, "members", len(wave.Members), "reason", wave.Reason)
	return conflictIsRequeue(r.order(ctx, targets, rollout.Unwritten(wave, targets)))
}

// targets lists the Service's Targets.
func (r *Reconciler) targets(ctx context.Context, service *v1alpha1.Service) ([]v1alpha1.Target, error) {
	var list v1alpha1.TargetList
	if err := r.Client.List(ctx, &list, client.InNamespace(service.Namespace), client.MatchingFields{ServiceField: service.Name}); err != nil {
		return nil, fmt.Errorf("list Targets: %w", err)
	}
	targets := list.Items[:0:0]
	for _, target := range list.Items {
		if types.UID(target.Spec.ServiceUID) == service.UID && target.DeletionTimestamp.IsZero() {
			targets = append(targets, target)
		}
	}
	return targets, nil
}

// conflictIsRequeue turns a write that met a newer version into another look: no error for a person to read.
func conflictIsRequeue(err error) (reconcile.Result, error) {
	if apierrors.IsConflict(err) {
		return reconcile.Result{RequeueAfter: again}, nil
	}
	return reconcile.Result{}, err
}

// sooner is the smaller of two delays, where 0 is never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
