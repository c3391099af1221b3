// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package service

import (
	"cmp"
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/track"
)

// request decides whether spec.revision asks for a Release. wish is the record to write first; make says that the
// record is there and its Release is not yet.
func request(f *facts) (make bool, wish *v1alpha1.RequestedRevision) {
	revision, status := string(f.service.Spec.Revision), &f.service.Status
	if revision == "" {
		return false, nil
	}
	requested := status.Requested
	switch {
	case requested == nil && !allProbed(f):
		return false, nil // hosts may run something already: look before releasing
	case requested == nil && foreign(f) != "":
		return false, nil // taking over needs consent first
	case requested == nil && status.Current != nil:
		// The Service runs something that was not made for spec.revision: take the value as acted on, once.
		return false, &v1alpha1.RequestedRevision{Revision: revision, Release: status.Current.Release}
	case requested == nil:
		return true, &v1alpha1.RequestedRevision{Revision: revision, Serial: 1}
	case requested.Revision != revision:
		return true, &v1alpha1.RequestedRevision{Revision: revision, Serial: requested.Serial + 1}
	}
	return requested.Release == "", nil
}

// allProbed says whether every host was looked at, or tried.
func allProbed(f *facts) bool {
	if f.fleet.Waiting || len(f.targets) < f.hosts {
		return false
	}
	for i := range f.targets {
		if conditions.Get(f.targets[i].Status.Conditions, v1alpha1.ConditionReachable).Status == metav1.ConditionUnknown {
			return false
		}
	}
	return true
}

// makeRelease makes the Release of the recorded wish, whose serial is on record by now.
func (r *Reconciler) makeRelease(ctx context.Context, f *facts) (reconcile.Result, error) {
	service, before := f.service, f.service.DeepCopy()
	requested := service.Status.Requested
	release := &v1alpha1.Release{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: service.Namespace, Name: fmt.Sprintf("%s-%d", service.Name, requested.Serial),
			Labels: map[string]string{v1alpha1.LabelService: service.Name, v1alpha1.LabelManagedBy: v1alpha1.ManagedBy},
		},
		Spec: v1alpha1.ReleaseSpec{
			Service: service.Name, Revision: v1alpha1.Revision(requested.Revision), Reason: "spec.revision of the Service",
			RequestedBy: cmp.Or(service.Annotations[v1alpha1.AnnotationRequestedBy], v1alpha1.RequestedByManager),
		},
	}
	cause := "spec.revision is " + requested.Revision
	tracking := service.Status.Tracking
	if service.Spec.Track != nil && tracking != nil { // nobody knows who pushed
		release.Spec.Reason, release.Spec.RequestedBy = track.Name(service.Spec.Track, tracking.Ref), v1alpha1.RequestedByManager
		cause = release.Spec.Reason + " is " + short(tracking.Commit)
		if current := service.Status.Current; current != nil {
			cause += fmt.Sprintf(" (%s..%s)", short(current.Commit), short(tracking.Commit))
		}
	}
	err := r.Client.Create(ctx, release, client.FieldOwner(FieldOwner))
	if apierrors.IsAlreadyExists(err) {
		var existing v1alpha1.Release
		if err := r.Client.Get(ctx, client.ObjectKeyFromObject(release), &existing); err != nil {
			return reconcile.Result{RequeueAfter: time.Second}, client.IgnoreNotFound(err)
		}
		mine := existing.Labels[v1alpha1.LabelManagedBy] == v1alpha1.ManagedBy && existing.Spec.Revision == release.Spec.Revision &&
			(existing.Status.ServiceUID == "" || existing.Status.ServiceUID == v1alpha1.UID(service.UID))
		if !mine { // somebody else's Release has this name: take the next number
			service.Status.Requested = &v1alpha1.RequestedRevision{Revision: requested.Revision, Serial: requested.Serial + 1}
			return conflictIsRequeue(conditions.PatchStatus(ctx, r.Client, before, service, FieldOwner))
		}
	} else if err != nil {
		return reconcile.Result{}, fmt.Errorf("make Release %s: %w", release.Name, err)
	}
	service.Status.Requested = &v1alpha1.RequestedRevision{Revision: requested.Revision, Serial: requested.Serial, Release: release.Name}
	if tracking != nil {
		tracking.Release = release.Name
	}
	if err := conditions.PatchStatus(ctx, r.Client, before, service, FieldOwner); err != nil {
		return conflictIsRequeue(err)
	}
	r.Events.Eventf(service, release, corev1.EventTypeNormal, v1alpha1.ReasonReleaseCreated, "Release",
		"%s: made Release %s", cause, release.Name)
	return reconcile.Result{RequeueAfter: resync}, nil
}
