// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package service

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/gate"
	"github.com/slipway-dev/slipway/internal/gitsource"
	"github.com/slipway-dev/slipway/internal/track"
)

// errTrackSecret says that the repository's Secret can't be used.
var errTrackSecret = errors.New("secret")

// track looks at the repository of spec.track and writes what is to be done about its tip into the status: the record of a
// Release to make before it is made. make says that the record is there and its Release is not; after is when to come back.
func (r *Reconciler) track(ctx context.Context, f *facts) (make bool, after time.Duration, err error) {
	service, name := f.service, client.ObjectKeyFromObject(f.service)
	spec, status := service.Spec.Track, &f.service.Status
	if spec == nil {
		status.Tracking = nil
		conditions.Remove(&status.Conditions, v1alpha1.ConditionTracking)
		r.tips.forget(name)
		return false, resync, nil
	}
	if t := status.Tracking; t != nil && t.Release == "" && status.Requested != nil && status.Requested.Revision == t.Commit {
		if status.Requested.Release == "" {
			return true, resync, nil // recorded, and then the manager died
		}
		t.Release = status.Requested.Release
	}
	q := r.question(service)
	seen := r.tips.look(ctx, name, q)
	switch {
	case !seen.known:
		if conditions.Get(status.Conditions, v1alpha1.ConditionTracking).Reason == "" {
			r.say(f, metav1.ConditionUnknown, v1alpha1.ReasonProgressing, "the repository is looked at")
		}
		return false, time.Minute, nil
	case seen.err != nil:
		r.say(f, metav1.ConditionFalse, trackReason(seen.err), fmt.Sprintf("%s; it is looked at again by itself", seen.err))
		return false, r.untilNext(seen), nil
	}
	holds, err := r.holds(ctx, service)
	if err != nil {
		return false, 0, err
	}
	d := track.Decide(track.Facts{Spec: spec, Tip: seen.tip, Status: status, Unready: unready(f), Active: active(f), Gates: holds})
	now := r.Clock.Now()
	switch d.Action {
	case track.Paused:
		r.say(f, metav1.ConditionFalse, v1alpha1.ReasonTrackingPaused, d.Words)
	case track.Gone:
		r.say(f, metav1.ConditionFalse, v1alpha1.ReasonRevisionNotFound, d.Words)
	default:
		r.say(f, metav1.ConditionTrue, v1alpha1.ReasonTracking, d.Words)
	}
	after = r.untilNext(seen)
	for i := range holds {
		if u := holds[i].Until; u != nil && d.Action == track.Wait {
			after = min(after, max(u.Sub(now), time.Second))
		}
	}
	switch {
	case d.Action == track.Record:
		recorded(status, seen.tip)
	case d.Action == track.Release && now.Sub(seen.at) > fresh:
		// What was seen before a lock ended or a Release did need not be the newest any more.
		q.now = true
		r.tips.look(ctx, name, q)
		after = time.Minute
	case d.Action == track.Release:
		serial := int64(1)
		if status.Requested != nil {
			serial = status.Requested.Serial + 1
		}
		status.Requested = &v1alpha1.RequestedRevision{Revision: seen.tip.Commit, Serial: serial}
		status.Tracking = &v1alpha1.TrackingStatus{Ref: seen.tip.Ref, Commit: seen.tip.Commit, Sequence: status.LastSequence}
		return true, after, nil
	}
	return false, after, nil
}

// recorded takes a tip as acted on of which no Release is made.
func recorded(status *v1alpha1.ServiceStatus, tip gitsource.Resolved) {
	if t := status.Tracking; t != nil && t.Commit == tip.Commit {
		t.Ref = tip.Ref
		return
	}
	status.Tracking = &v1alpha1.TrackingStatus{Ref: tip.Ref, Commit: tip.Commit, Release: status.Current.Release, Sequence: status.LastSequence}
}

// say writes the condition, and an Event where tracking stops or goes on.
func (r *Reconciler) say(f *facts, status metav1.ConditionStatus, reason, message string) {
	service := f.service
	before := conditions.Get(service.Status.Conditions, v1alpha1.ConditionTracking)
	conditions.Set(&service.Status.Conditions, service.Generation, v1alpha1.ConditionTracking, status, reason, message)
	if before.Reason == reason || before.Reason != v1alpha1.ReasonTrackingPaused && status != metav1.ConditionFalse {
		return
	}
	kind := corev1.EventTypeNormal
	if status == metav1.ConditionFalse {
		kind = corev1.EventTypeWarning
	}
	r.Events.Eventf(service, nil, kind, reason, "Track", "%s", conditions.Shorten(message, 1000))
}

func (r *Reconciler) untilNext(l look) time.Duration {
	if l.running {
		return time.Minute // its end brings the Service back sooner
	}
	return min(resync, max(l.next.Sub(r.Clock.Now()), time.Second))
}

// question asks for the tip of a Service.
func (r *Reconciler) question(service *v1alpha1.Service) question {
	spec, git := service.Spec.Track, service.Spec.Source.Git
	wanted := gitsource.Wanted{Branch: string(spec.Branch), TagPattern: spec.TagPattern, Prereleases: spec.Prereleases != nil && *spec.Prereleases}
	key, _ := json.Marshal([]any{service.UID, git, wanted}) // none of these can fail
	namespace := service.Namespace
	return question{
		key: string(key), pushed: service.Annotations[v1alpha1.AnnotationPushed], interval: cmp.Or(spec.Interval.Duration, defaultLook),
		ask: func(ctx context.Context) (gitsource.Resolved, error) {
			credentials, err := r.gitCredentials(ctx, namespace, git.SecretRef)
			if err != nil {
				return gitsource.Resolved{}, err
			}
			return r.Tips.Tip(ctx, git.URL, wanted, credentials)
		},
	}
}

// gitCredentials reads the repository's credentials past the cache.
func (r *Reconciler) gitCredentials(ctx context.Context, namespace string, ref *v1alpha1.LocalReference) (depot.GitCredentials, error) {
	if ref == nil {
		return depot.GitCredentials{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var secret corev1.Secret
	err := r.Reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: ref.Name}, &secret)
	if apierrors.IsNotFound(err) {
		return depot.GitCredentials{}, fmt.Errorf("%w %s is not in namespace %s: create it", errTrackSecret, ref.Name, namespace)
	}
	if err != nil {
		return depot.GitCredentials{}, fmt.Errorf("read Secret %s: %w", ref.Name, err)
	}
	credentials, ok := gitsource.CredentialsFrom(secret.Data)
	if !ok {
		return credentials, fmt.Errorf("%w %s has neither the key %q (https) nor %q (ssh)", errTrackSecret, ref.Name, corev1.BasicAuthPasswordKey, corev1.SSHAuthPrivateKey)
	}
	return credentials, nil
}

// holds are the gates of a Service that are shut.
func (r *Reconciler) holds(ctx context.Context, service *v1alpha1.Service) ([]gate.Hold, error) {
	var namespace corev1.Namespace
	if err := r.Client.Get(ctx, types.NamespacedName{Name: service.Namespace}, &namespace); err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("read the namespace: %w", err)
	}
	return gate.At(service, namespace.Annotations, r.Clock.Now()), nil
}

// unready says why not even a first Release may be made, as request does for spec.revision.
func unready(f *facts) string {
	switch {
	case f.service.Status.Tracking != nil:
		return ""
	case !allProbed(f):
		return "the hosts are looked at before the first Release"
	case foreign(f) != "":
		return "taking over the hosts needs consent first: see the condition AdoptionRequired"
	}
	return ""
}

// active is the name of a Release that has not ended; "" if all have.
func active(f *facts) string {
	if rolling := f.service.Status.Rolling; rolling != nil {
		return rolling.Release
	}
	for i := range f.releases {
		if !conditions.IsTrue(f.releases[i].Status.Conditions, v1alpha1.ConditionFinished) || unrecorded(f, &f.releases[i]) {
			return f.releases[i].Name
		}
	}
	return ""
}

// unrecorded says whether a Release has ended whose outcome is not in the Service's history yet.
func unrecorded(f *facts, release *v1alpha1.Release) bool {
	tracking := f.service.Status.Tracking
	if tracking == nil || release.Status.Sequence <= tracking.Sequence {
		return false
	}
	for _, entry := range f.service.Status.History {
		if entry.UID == v1alpha1.UID(release.UID) || entry.Sequence > release.Status.Sequence {
			return false
		}
	}
	return true
}

// trackReason is the reason of a look that failed.
func trackReason(err error) string {
	switch {
	case errors.Is(err, gitsource.ErrRevisionNotFound):
		return v1alpha1.ReasonRevisionNotFound
	case errors.Is(err, gitsource.ErrRefused):
		return v1alpha1.ReasonSourceRefused
	case errors.Is(err, errTrackSecret):
		return v1alpha1.ReasonSecretNotFound
	}
	return v1alpha1.ReasonRepositoryUnreachable
}
