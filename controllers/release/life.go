// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
)

// life is all that the phases look at, read once per reconcile.
type life struct {
	release *v1alpha1.Release
	// service is nil if there is none of that name.
	service *v1alpha1.Service
	// others are the Service's other Releases, bound to the same Service or not bound yet.
	others []v1alpha1.Release
	// targets of the Service.
	targets []v1alpha1.Target
	// progressed is set by count: a Target got to the artifact since the status was written, or the first hosts appeared.
	progressed bool
	// phase that runs now, by its condition.
	phase string
	// gates of the Service as they stand now.
	gates gates
}

// gather reads what the phases look at.
func (r *Reconciler) gather(ctx context.Context, release *v1alpha1.Release) (*life, error) {
	l := &life{release: release}
	var service v1alpha1.Service
	err := r.Client.Get(ctx, types.NamespacedName{Namespace: release.Namespace, Name: release.Spec.Service}, &service)
	switch {
	case err == nil:
		l.service = &service
	case !apierrors.IsNotFound(err):
		return nil, fmt.Errorf("read Service %s: %w", release.Spec.Service, err)
	}
	var releases v1alpha1.ReleaseList
	if err := r.Client.List(ctx, &releases, client.InNamespace(release.Namespace), client.MatchingFields{ServiceField: release.Spec.Service}); err != nil {
		return nil, fmt.Errorf("list the Service's Releases: %w", err)
	}
	for _, other := range releases.Items {
		if other.UID != release.UID && !other.IsDryRun() {
			l.others = append(l.others, other)
		}
	}
	var targets v1alpha1.TargetList
	if err := r.Client.List(ctx, &targets, client.InNamespace(release.Namespace), client.MatchingFields{ServiceField: release.Spec.Service}); err != nil {
		return nil, fmt.Errorf("list the Service's Targets: %w", err)
	}
	for _, target := range targets.Items {
		if l.service != nil && string(target.Spec.ServiceUID) == string(l.service.UID) && target.DeletionTimestamp.IsZero() {
			l.targets = append(l.targets, target)
		}
	}
	if l.service != nil {
		if l.gates, err = r.gatesOf(ctx, l.service); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// uid of the Release, in the API's own type.
func (l *life) uid() v1alpha1.UID { return v1alpha1.UID(l.release.UID) }

// bound says whether the Release is bound to the Service that is there.
func (l *life) bound() bool {
	return l.service != nil && l.release.Status.ServiceUID == v1alpha1.UID(l.service.UID)
}

// storage is the UID under which the depot keeps the Service's artifacts.
func (l *life) storage() v1alpha1.UID { return storageOf(l.service) }

// storageOf is the UID under which the depot keeps a Service's artifacts.
func storageOf(service *v1alpha1.Service) v1alpha1.UID {
	if service.Status.StorageID != "" {
		return service.Status.StorageID
	}
	return v1alpha1.UID(service.UID)
}

// holdsSlot says whether the Release holds the Service's rollout slot.
func (l *life) holdsSlot() bool {
	return l.bound() && l.service.Status.Rolling != nil && l.service.Status.Rolling.UID == l.uid()
}

// recorded is how the Release ended, if that is on record: the record is written together with the slot, so that it
// stands even if the Release's own status was not written any more.
func (l *life) recorded() *v1alpha1.ReleaseOutcome {
	if !l.bound() {
		return nil
	}
	for i := range l.service.Status.History {
		if l.service.Status.History[i].UID == l.uid() {
			return &l.service.Status.History[i]
		}
	}
	return nil
}

// finished says whether a Release has ended.
func finished(release *v1alpha1.Release) bool {
	return conditions.IsTrue(release.Status.Conditions, v1alpha1.ConditionFinished)
}

// published says whether the depot holds a Release's artifact.
func published(release *v1alpha1.Release) bool {
	return conditions.IsTrue(release.Status.Conditions, v1alpha1.ConditionPublished)
}

// ready says whether a Release is published and nobody keeps it from its rollout, gates of the Service apart.
func ready(release *v1alpha1.Release) bool {
	return published(release) && !finished(release) && !release.Spec.Paused && !release.Spec.Abort && !release.Spec.RollBack && release.DeletionTimestamp.IsZero()
}

// newer is the newest Release that takes this one's place: one with a higher sequence that is ready, holds the slot or has
// completed. A Release that holds the slot gives it to none that a gate holds.
func (l *life) newer() string {
	if !l.bound() || l.release.Status.Sequence == 0 {
		return ""
	}
	if c := l.service.Status.Current; c != nil && c.Sequence > l.release.Status.Sequence {
		return c.Release
	}
	if c := l.service.Status.Rolling; c != nil && c.Sequence > l.release.Status.Sequence {
		return c.Release
	}
	for i := range l.others {
		other := &l.others[i]
		if other.Status.ServiceUID == l.release.Status.ServiceUID && other.Status.Sequence > l.release.Status.Sequence &&
			ready(other) && (!l.holdsSlot() || l.gates.holding(other) == nil && l.unconfirmed(other) == nil) {
			return other.Name
		}
	}
	return ""
}

// mustStop says why the Release has to stop, in one word and in a sentence, if it has to.
func (l *life) mustStop() (reason, message string) {
	switch {
	case !l.release.DeletionTimestamp.IsZero():
		return v1alpha1.ReasonDeleted, "the Release was deleted while it was active"
	case l.release.Spec.Abort:
		return v1alpha1.ReasonAborted, "aborted"
	}
	if name := l.newer(); name != "" {
		return v1alpha1.ReasonSuperseded, fmt.Sprintf("Release %s took its place", name)
	}
	return "", ""
}
