// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package service keeps a Service's Targets in step with its hosts, makes a Release for each changed spec.revision,
// keeps the history short and says in one status how the Service is.
package service

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/audit"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/discovery"
	"github.com/slipway-dev/slipway/internal/gitsource"
	"github.com/slipway-dev/slipway/internal/metrics"
	"github.com/slipway-dev/slipway/internal/policy"
)

// FieldOwner is the field manager of all that this controller writes.
const FieldOwner = "slipway-service"

// resync is how often a Service is looked at without any event: it mends what was changed behind the controller's back.
const resync = 10 * time.Minute

// Options are the controller's collaborators.
type Options struct {
	Client client.Client
	// Reader reads past the cache: ConfigMaps, by name.
	Reader client.Reader
	Depot  depot.Manager
	// Endpoint says where hosts reach the depot.
	Endpoint func() (depot.Endpoint, error)
	// Finder looks at clouds; Found brings the accounts of which it knows something new.
	Finder discovery.Finder
	Found  <-chan event.TypedGenericEvent[discovery.Account]
	// Tips looks at the repositories of Services with spec.track.
	Tips   gitsource.Tips
	Clock  clock.PassiveClock
	Events events.EventRecorder
	// Metrics count what is done. Default: nobody reads them.
	Metrics *metrics.Metrics
	// Concurrency is how many Services are worked on at once. Default 4.
	Concurrency int
}

// Reconciler keeps Services.
type Reconciler struct {
	Options
	kept *kept
	// booted are the user-data that were written, by the Service's UID.
	booted sync.Map
	// tips are what was seen of tracked repositories; looked brings the Services whose repository was looked at.
	tips   *tips
	looked chan event.GenericEvent
}

// New returns a Reconciler.
func New(o Options) *Reconciler {
	if o.Metrics == nil {
		o.Metrics = metrics.New(nil)
	}
	if o.Concurrency <= 0 {
		o.Concurrency = 4
	}
	r := &Reconciler{Options: o, kept: newKept(), looked: make(chan event.GenericEvent, 1024)}
	r.tips = newTips(o.Clock, r.wake)
	return r
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.Service{}).
		Watches(&v1alpha1.Target{}, ofTarget()).
		Watches(&v1alpha1.Release{}, ofRelease()).
		Watches(&v1alpha1.TargetPolicy{}, r.all()).
		WatchesRawSource(source.TypedChannel(r.Found, r.ofAccount())).
		WatchesRawSource(source.Channel(r.looked, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: r.Concurrency,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](200*time.Millisecond, 10*time.Minute),
		}).
		Named("service").
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

// facts are all that a Service's status is decided from.
type facts struct {
	service  *v1alpha1.Service
	targets  []v1alpha1.Target
	releases []v1alpha1.Release
	policies []v1alpha1.TargetPolicy
	// fleet is what is known of the hosts.
	fleet *discovery.Fleet
	// hosts is the number of hosts: those that the sources name, and those of which nobody is sure that they left.
	hosts int
}

// Reconcile brings a Service's Targets, Releases and status in step with its spec.
func (r *Reconciler) Reconcile(ctx context.Context, service *v1alpha1.Service) (reconcile.Result, error) {
	if !service.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, r.delete(ctx, service)
	}
	if controllerutil.AddFinalizer(service, v1alpha1.Finalizer) {
		before := service.DeepCopy()
		controllerutil.RemoveFinalizer(before, v1alpha1.Finalizer)
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		if err := r.Client.Patch(ctx, service, patch, client.FieldOwner(FieldOwner)); err != nil {
			return conflictIsRequeue(client.IgnoreNotFound(err))
		}
	}
	f, err := r.gather(ctx, service)
	if err != nil {
		return reconcile.Result{}, err
	}
	f.fleet = discovery.Find(service.Spec.Targets, service.Spec.SSH.Port, r.Finder, policy.For(service, f.policies))
	if err := r.syncTargets(ctx, f); err != nil {
		return conflictIsRequeue(err)
	}
	before := service.DeepCopy()
	adopted, err := r.adopt(ctx, f)
	if err != nil {
		log.FromContext(ctx).Info("adoption waits", "error", err.Error())
	}
	next, wish := request(f)
	if wish != nil {
		service.Status.Requested = wish
	}
	did := audit.OfService(service.Status.Audit, service, r.Clock.Now())
	service.Status.Audit = audit.Add(service.Status.Audit, did)
	tracked, after, err := r.track(ctx, f)
	if err != nil {
		return reconcile.Result{}, err
	}
	summarize(f)
	r.userData(ctx, service)
	if err := conditions.PatchStatus(ctx, r.Client, before, service, FieldOwner); err != nil {
		return conflictIsRequeue(err)
	}
	r.Metrics.Counted(service)
	for i := range did {
		r.Events.Eventf(service, nil, corev1.EventTypeNormal, string(did[i].Action), "Audit", "%s", audit.Sentence(&did[i]))
	}
	if adopted {
		r.Events.Eventf(service, nil, corev1.EventTypeNormal, v1alpha1.ReasonSucceeded, "Adopt",
			"took over the hosts of Service %s: no content changes", service.Spec.Adopt.FromUID)
	}
	if next || tracked {
		return r.makeRelease(ctx, f)
	}
	if err := r.prune(ctx, f); err != nil {
		return conflictIsRequeue(err)
	}
	r.keep(ctx, f)
	return reconcile.Result{RequeueAfter: min(resync, after)}, nil
}

// gather reads what belongs to the Service.
func (r *Reconciler) gather(ctx context.Context, service *v1alpha1.Service) (*facts, error) {
	f := &facts{service: service}
	where := []client.ListOption{client.InNamespace(service.Namespace), client.MatchingFields{"spec.service": service.Name}}
	var targets v1alpha1.TargetList
	if err := r.Client.List(ctx, &targets, where...); err != nil {
		return nil, fmt.Errorf("list Targets: %w", err)
	}
	for _, target := range targets.Items {
		if string(target.Spec.ServiceUID) == string(service.UID) {
			f.targets = append(f.targets, target)
		}
	}
	var releases v1alpha1.ReleaseList
	if err := r.Client.List(ctx, &releases, where...); err != nil {
		return nil, fmt.Errorf("list Releases: %w", err)
	}
	for _, release := range releases.Items {
		if release.IsDryRun() {
			continue
		}
		if release.Status.ServiceUID == "" || string(release.Status.ServiceUID) == string(service.UID) {
			f.releases = append(f.releases, release)
		}
	}
	var policies v1alpha1.TargetPolicyList
	if err := r.Client.List(ctx, &policies); err != nil {
		return nil, fmt.Errorf("list TargetPolicies: %w", err)
	}
	f.policies = policies.Items
	return f, nil
}

// delete lets go of a deleted Service: its Targets are records and go with it; no host is touched.
func (r *Reconciler) delete(ctx context.Context, service *v1alpha1.Service) error {
	if !controllerutil.ContainsFinalizer(service, v1alpha1.Finalizer) {
		return nil
	}
	r.Events.Eventf(service, nil, corev1.EventTypeNormal, v1alpha1.ReasonTargetsReleased, "Delete",
		"the records of %d Targets are removed; the hosts were not touched and go on serving what they serve", service.Status.Targets.Total)
	r.Metrics.Forget(service.Namespace, service.Name)
	r.silence(ctx, service)
	r.tips.forget(client.ObjectKeyFromObject(service))
	before := service.DeepCopy()
	controllerutil.RemoveFinalizer(service, v1alpha1.Finalizer)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	return client.IgnoreNotFound(r.Client.Patch(ctx, service, patch, client.FieldOwner(FieldOwner)))
}

// conflictIsRequeue turns a write that met a newer version into another look.
func conflictIsRequeue(err error) (reconcile.Result, error) {
	if apierrors.IsConflict(err) {
		return reconcile.Result{RequeueAfter: 100 * time.Millisecond}, nil
	}
	return reconcile.Result{}, err
}
