// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package service

import (
	"context"
	"fmt"
	"sort"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
)

// defaultHistory is revisionHistoryLimit's default, for objects from before it was one.
const defaultHistory = 10

// prune deletes the oldest finished Releases that the controller made, and frozen specs that nothing names any more.
func (r *Reconciler) prune(ctx context.Context, f *facts) error {
	for _, release := range expired(f) {
		uid := release.UID
		if err := r.Client.Delete(ctx, release, client.Preconditions{UID: &uid}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete Release %s: %w", release.Name, err)
		}
	}
	var revisions appsv1.ControllerRevisionList
	err := r.Client.List(ctx, &revisions, client.InNamespace(f.service.Namespace), client.MatchingLabels{v1alpha1.LabelService: f.service.Name})
	if err != nil {
		return fmt.Errorf("list frozen specs: %w", err)
	}
	used := frozenInUse(f)
	for i := range revisions.Items {
		revision := &revisions.Items[i]
		if used[revision.Name] || !metav1.IsControlledBy(revision, f.service) || resolving(f) {
			continue
		}
		uid := revision.UID
		if err := r.Client.Delete(ctx, revision, client.Preconditions{UID: &uid}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete frozen spec %s: %w", revision.Name, err)
		}
	}
	return nil
}

// expired lists the Releases that history can do without: finished, made by the controller, beyond the limit, and
// neither current, previous, rolling nor the one made for spec.revision.
func expired(f *facts) []*v1alpha1.Release {
	status := &f.service.Status
	pinned := map[string]bool{}
	for _, record := range []*v1alpha1.ReleaseRecord{status.Current, status.Previous, status.Rolling} {
		if record != nil {
			pinned[record.Release] = true
		}
	}
	if status.Requested != nil {
		pinned[status.Requested.Release] = true
	}
	limit := defaultHistory
	if f.service.Spec.RevisionHistoryLimit != nil {
		limit = int(*f.service.Spec.RevisionHistoryLimit)
	}
	var done []*v1alpha1.Release
	for i := range f.releases {
		release := &f.releases[i]
		if release.Labels[v1alpha1.LabelManagedBy] == v1alpha1.ManagedBy && conditions.IsTrue(release.Status.Conditions, v1alpha1.ConditionFinished) {
			done = append(done, release)
		}
	}
	sort.Slice(done, func(i, j int) bool { return done[i].Status.Sequence > done[j].Status.Sequence })
	var out []*v1alpha1.Release
	for _, release := range done[min(limit, len(done)):] {
		if !pinned[release.Name] {
			out = append(out, release)
		}
	}
	return out
}

// resolving says whether a Release is about to name a frozen spec that it has made already.
func resolving(f *facts) bool {
	for i := range f.releases {
		if f.releases[i].Status.Frozen == "" && !conditions.IsTrue(f.releases[i].Status.Conditions, v1alpha1.ConditionFinished) {
			return true
		}
	}
	return false
}

// frozenInUse is the set of frozen specs that a Release, a Target or the Service names.
func frozenInUse(f *facts) map[string]bool {
	used := map[string]bool{}
	for _, record := range records(f) {
		used[record.Frozen] = true
	}
	for i := range f.releases {
		used[f.releases[i].Status.Frozen] = true
	}
	return used
}

// records are all the release records that the Service and its Targets name.
func records(f *facts) []v1alpha1.ReleaseRecord {
	status := &f.service.Status
	var out []v1alpha1.ReleaseRecord
	for _, record := range []*v1alpha1.ReleaseRecord{status.Current, status.Previous, status.Rolling} {
		if record != nil {
			out = append(out, *record)
		}
	}
	if status.Wave != nil {
		out = append(out, status.Wave.Records...)
	}
	for i := range f.targets {
		if f.targets[i].Spec.Artifact != nil {
			out = append(out, *f.targets[i].Spec.Artifact)
		}
	}
	return out
}
