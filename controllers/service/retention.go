// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package service

import (
	"context"
	"encoding/json"
	"sort"
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/frozen"
)

// keepArtifacts is how many artifacts beyond the referenced ones the depot keeps of a Service.
const keepArtifacts = 5

// kept remembers what the depot was told last, so that it is told again only when it changed. After a restart
// everything is told once.
type kept struct {
	mu   sync.Mutex
	told map[string]string
}

func newKept() *kept { return &kept{told: map[string]string{}} }

// changed says whether value differs from what was told last under key.
func (k *kept) changed(key string, value any) (string, bool) {
	data, err := json.Marshal(value)
	if err != nil {
		return "", true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return string(data), k.told[key] != string(data)
}

func (k *kept) note(key, data string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.told[key] = data
}

// keep tells the depot what it must keep, and what the Service runs. It is best effort: what fails is told again at the
// next look, and the depot meanwhile keeps too much rather than too little.
func (r *Reconciler) keep(ctx context.Context, f *facts) {
	logger := log.FromContext(ctx)
	uid := string(f.service.UID)
	if current := f.service.Status.Current; current != nil {
		spec, err := frozen.Get(ctx, r.Client, f.service.Namespace, current.Frozen)
		if err != nil {
			logger.Info("the depot is not told what runs", "error", err.Error())
			return
		}
		pointer := depot.Pointer{Service: v1alpha1.UID(f.service.UID), Storage: f.service.Status.StorageID, Current: *current, Frozen: spec}
		if data, changed := r.kept.changed(uid+"/pointer", pointer); changed {
			if err := r.Depot.SetPointer(ctx, pointer); err != nil {
				logger.Info("the depot is not told what runs", "error", err.Error())
				return
			}
			r.kept.note(uid+"/pointer", data)
		}
	}
	if f.service.Status.StorageID == "" || busy(f) {
		return
	}
	references := depot.References{Service: f.service.Status.StorageID, Digests: referenced(f), Keep: keepArtifacts}
	data, changed := r.kept.changed(uid+"/references", references)
	if !changed {
		return
	}
	removed, err := r.Depot.Retain(ctx, references)
	if err != nil {
		logger.Info("old artifacts stay in the depot", "error", err.Error())
		return
	}
	r.kept.note(uid+"/references", data)
	if len(removed) > 0 {
		logger.Info("removed old artifacts from the depot", "digests", removed)
	}
}

// busy says whether a Release is under way: retention waits until it has ended.
func busy(f *facts) bool {
	for i := range f.releases {
		if !conditions.IsTrue(f.releases[i].Status.Conditions, v1alpha1.ConditionFinished) {
			return true
		}
	}
	return false
}

// referenced lists the digests that law 8 keeps: of the Service, of every host, and of the Releases on record.
func referenced(f *facts) []string {
	set := map[string]bool{}
	for _, record := range records(f) {
		set[record.Digest] = true
	}
	for i := range f.targets {
		if running := f.targets[i].Status.Running; running != nil && running.Digest != "" {
			set[running.Digest] = true
		}
	}
	for i := range f.releases {
		release := &f.releases[i]
		if release.Status.Artifact != nil && conditions.IsTrue(release.Status.Conditions, v1alpha1.ConditionSucceeded) {
			set[release.Status.Artifact.Digest] = true
		}
	}
	digests := make([]string, 0, len(set))
	for digest := range set {
		digests = append(digests, digest)
	}
	sort.Strings(digests)
	return digests
}
