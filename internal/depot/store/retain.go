// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"github.com/slipway-dev/slipway/internal/artifact"
	"github.com/slipway-dev/slipway/internal/depot"
)

// Retain removes the artifacts of a Service that nothing references, but for the newest Keep of them, and forgets the
// build keys that led to them.
func (s *Store) Retain(r depot.References) ([]string, error) {
	if err := checkID(string(r.Service)); err != nil {
		return nil, err
	}
	defer s.lock(r.Service)()
	referenced := map[string]bool{}
	for _, digest := range r.Digests {
		referenced[digest] = true
	}
	entries, err := os.ReadDir(filepath.Join(s.dir, "artifacts", string(r.Service)))
	if err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("list artifacts: %w", err)
	}
	var free []depot.Artifact
	for _, entry := range entries {
		a, err := s.Artifact(r.Service, artifact.FromHex(entry.Name()))
		if err == nil && !referenced[a.Digest] {
			free = append(free, a)
		}
	}
	sort.Slice(free, func(i, j int) bool { return free[i].Published.After(free[j].Published) })
	var removed []string
	for _, a := range free[min(max(r.Keep, 0), len(free)):] {
		if err := s.remove(a); err != nil {
			return removed, err
		}
		removed = append(removed, a.Digest)
	}
	return removed, s.reapStaging()
}

// remove forgets an artifact: first the keys that lead to it, then it leaves its place by one rename, then its files go.
func (s *Store) remove(a depot.Artifact) error {
	keys, err := filepath.Glob(filepath.Join(s.dir, "builds", string(a.Service), "*"))
	if err != nil {
		return err
	}
	for _, key := range keys {
		if digest, err := os.ReadFile(key); err == nil && string(digest) == a.Digest {
			if err := os.Remove(key); err != nil {
				return fmt.Errorf("forget a build: %w", err)
			}
		}
	}
	dir, err := s.artifactDir(a.Service, a.Digest)
	if err != nil {
		return err
	}
	if err := os.Rename(dir, dir+removedSuffix); err != nil {
		return fmt.Errorf("remove artifact %s: %w", a.Digest, err)
	}
	return removeAll(dir + ".removed")
}
