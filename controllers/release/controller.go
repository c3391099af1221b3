// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package release leads a Release through its life: Resolve, Build, Publish, Roll out, Verify. One file per phase;
// phases() is the page to begin with.
package release

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/build"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/gitsource"
	"github.com/slipway-dev/slipway/internal/metrics"
	"github.com/slipway-dev/slipway/internal/rollout"
)

// FieldOwner is the field manager of all that this controller writes.
const FieldOwner = "slipway-release"

// rolloutOwner is the field manager of Service.status.current, rolling and wave.
const rolloutOwner = "slipway-rollout"

// BuildLogs copies the log of a build into the depot while the build runs.
type BuildLogs interface {
	// Ensure begins to copy, if that is not under way already. secrets are redacted.
	Ensure(namespace, job string, storage v1alpha1.UID, secrets []string)
	// Done says whether the whole log of a finished build is kept.
	Done(namespace, job string) bool
}

// Options are the controller's collaborators.
type Options struct {
	Client client.Client
	// Reader reads past the cache: Secrets, and what must not be stale.
	Reader   client.Reader
	Depot    depot.Manager
	Endpoint func() (depot.Endpoint, error)
	Resolver gitsource.Resolver
	Images   build.ImageResolver
	// BuildCredential mints what a build Pod shows to the depot.
	BuildCredential func(grant depot.BuildGrant, valid time.Duration) (privateKey, certificate []byte, err error)
	BuildLogs       BuildLogs
	// SlipwayImage runs fetch and publish in build Pods.
	SlipwayImage string
	Clock        clock.PassiveClock
	Events       events.EventRecorder
	// Metrics count what is done. Default: nobody reads them.
	Metrics *metrics.Metrics
	// UnreachableAfter is how long a host may not answer before a rollout goes on without it. Default
	// rollout.DefaultUnreachableAfter.
	UnreachableAfter time.Duration
	// Concurrency is how many Releases are worked on at once. Default 4.
	Concurrency int
}

// Reconciler leads Releases through their life.
type Reconciler struct {
	Options
	background *background
}

// New returns a Reconciler.
func New(o Options) *Reconciler {
	if o.Metrics == nil {
		o.Metrics = metrics.New(nil)
	}
	if o.Concurrency <= 0 {
		o.Concurrency = 4
	}
	if o.UnreachableAfter <= 0 {
		o.UnreachableAfter = rollout.DefaultUnreachableAfter
	}
	return &Reconciler{Options: o, background: newBackground()}
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.Release{}).
		Owns(&batchv1.Job{}).
		Watches(&v1alpha1.Service{}, releasesOfService(mgr.GetClient())).
		Watches(&v1alpha1.Release{}, releasesOfRelease(mgr.GetClient())).
		Watches(&v1alpha1.Target{}, releasesOfTarget(mgr.GetClient())).
		WithOptions(controllerOptions(r.Concurrency)).
		Named("release").
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

// phase is one part of a Release's life. It is done when its condition is True.
type phase struct {
	condition string
	run       func(context.Context, *life) outcome
}

// phases lists a Release's life in order.
func (r *Reconciler) phases() []phase {
	return []phase{
		{v1alpha1.ConditionResolved, r.resolve},  // pin the commit, freeze the Service
		{v1alpha1.ConditionBuilt, r.build},       // a Job in the language image, or an artifact that is there
		{v1alpha1.ConditionPublished, r.publish}, // the depot holds the artifact
		{v1alpha1.ConditionRolledOut, r.rollOut}, // take the slot; every Target runs the artifact
		{v1alpha1.ConditionVerified, r.verify},   // seen well after the switch
	}
}

// Reconcile brings one Release one step on.
func (r *Reconciler) Reconcile(ctx context.Context, release *v1alpha1.Release) (reconcile.Result, error) {
	if release.IsDryRun() {
		return r.dryRun(ctx, release)
	}
	if conditions.IsTrue(release.Status.Conditions, v1alpha1.ConditionFinished) {
		return conflictIsRequeue(r.letGo(ctx, release))
	}
	if release.Status.StartTime == nil {
		return r.greet(ctx, release)
	}
	l, err := r.gather(ctx, release)
	if err != nil {
		return reconcile.Result{}, err
	}
	if err := r.audit(ctx, l); err != nil {
		return conflictIsRequeue(err)
	}
	before := release.DeepCopy()
	out := r.next(ctx, l)
	result, done := r.apply(l, out)
	if done {
		if err := r.record(ctx, l, out); err != nil {
			return conflictIsRequeue(err)
		}
	}
	if err := conditions.PatchStatus(ctx, r.Client, before, release, FieldOwner); err != nil {
		return conflictIsRequeue(err)
	}
	r.announce(before, l, out)
	if done {
		return conflictIsRequeue(r.letGo(ctx, release))
	}
	if out.kind == retrying {
		log.FromContext(ctx).Info("will try again", "reason", out.reason, "error", out.message, "after", result.RequeueAfter)
	}
	return result, nil
}

// greet writes the very first status, so that nobody takes a Release without one for a finished one, and the finalizer
// that lets an active Release stop at a wave's edge when it is deleted.
func (r *Reconciler) greet(ctx context.Context, release *v1alpha1.Release) (reconcile.Result, error) {
	if !release.DeletionTimestamp.IsZero() && !controllerutil.ContainsFinalizer(release, v1alpha1.Finalizer) {
		return reconcile.Result{}, nil
	}
	if controllerutil.AddFinalizer(release, v1alpha1.Finalizer) {
		before := release.DeepCopy()
		controllerutil.RemoveFinalizer(before, v1alpha1.Finalizer)
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		if err := r.Client.Patch(ctx, release, patch, client.FieldOwner(FieldOwner)); err != nil {
			return conflictIsRequeue(client.IgnoreNotFound(err))
		}
	}
	before := release.DeepCopy()
	now := metav1.NewTime(r.Clock.Now())
	release.Status.StartTime = &now
	release.Status.Phase = "Pending"
	release.Status.ObservedGeneration = release.Generation
	for _, p := range r.phases() {
		conditions.Unknown(&release.Status.Conditions, release.Generation, p.condition, v1alpha1.ReasonNotStarted, "not begun")
	}
	conditions.Unknown(&release.Status.Conditions, release.Generation, v1alpha1.ConditionFinished, v1alpha1.ReasonNotStarted, "not begun")
	conditions.Unknown(&release.Status.Conditions, release.Generation, v1alpha1.ConditionSucceeded, v1alpha1.ReasonNotStarted, "not begun")
	conditions.Summarize(&release.Status.Conditions, release.Generation, conditions.InProgress, v1alpha1.ReasonPending, "seen")
	if err := conditions.PatchStatus(ctx, r.Client, before, release, FieldOwner); err != nil {
		return conflictIsRequeue(err)
	}
	return reconcile.Result{}, nil // the write itself brings the Release back
}

// next decides what happens now: an end that is on record already, a stop, or the first phase that is not done.
func (r *Reconciler) next(ctx context.Context, l *life) outcome {
	if recorded := l.recorded(); recorded != nil {
		return fromRecord(recorded)
	}
	if why, message := l.mustStop(); why != "" {
		return r.stop(ctx, l, why, message)
	}
	if out := r.bind(ctx, l); out.kind != advanced {
		return out
	}
	for _, p := range r.phases() {
		if conditions.IsTrue(l.release.Status.Conditions, p.condition) {
			continue
		}
		l.phase = p.condition
		if l.release.Status.Rollback != nil {
			return r.rollBack(ctx, l)
		}
		if l.release.Spec.RollBack {
			return r.turnBack(ctx, l)
		}
		out := p.run(ctx, l)
		if out.kind != advanced {
			return out
		}
		conditions.True(&l.release.Status.Conditions, l.release.Generation, p.condition, out.reason, out.message)
		l.release.Status.WaitingSince = nil
		if p.condition != v1alpha1.ConditionVerified {
			return persist(out.reason, out.message) // each phase begins from what the one before left on record
		}
	}
	return end(v1alpha1.ReasonSucceeded, l.successMessage())
}

// conflictIsRequeue turns a write that met a newer version into another look: no error for a person to read.
func conflictIsRequeue(err error) (reconcile.Result, error) {
	if apierrors.IsConflict(err) {
		return reconcile.Result{RequeueAfter: 100 * time.Millisecond}, nil
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("write: %w", err)
	}
	return reconcile.Result{}, nil
}
