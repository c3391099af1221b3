// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/artifact"
	"github.com/slipway-dev/slipway/internal/depot"
)

// Promote makes an artifact of one Service one of another's. It is published like a build, so that its files get the times that
// they need among the receiving Service's artifacts: bytes, modes and digest are the same.
func (s *Store) Promote(p depot.Promotion) (depot.Artifact, error) {
	if a, err := s.Build(p.Grant.Service, p.Grant.BuildKey); err == nil {
		return a, nil
	}
	dir, err := s.stagingDir(p.Grant)
	if err != nil {
		return depot.Artifact{}, err
	}
	err = s.copyTree(p, dir)
	if isFull(err) {
		return depot.Artifact{}, s.DropStaging(p.Grant)
	}
	if err != nil {
		return depot.Artifact{}, err
	}
	a, err := s.Finish(p.Grant)
	if err == nil && a.Digest != p.Digest {
		return a, fmt.Errorf("%w: the depot's copy of %s is damaged: what was copied is %s", depot.ErrRefused, p.Digest, a.Digest)
	}
	return a, err
}

// copyTree copies the artifact into a staging directory of the receiving Service. Nothing removes it meanwhile.
func (s *Store) copyTree(p depot.Promotion, dir string) error {
	defer s.lock(p.From)()
	tree, err := s.Tree(p.From, p.Digest)
	if err != nil {
		return err
	}
	manifest, err := s.manifest(p.From, p.Digest)
	if err != nil {
		return err
	}
	if shared := sharedIn(manifest, p.Grant.Shared); shared != "" {
		return &Refusal{v1alpha1.ReasonArtifactRefused, fmt.Sprintf(
			"the artifact holds %s, which is a shared path of this Service (deploy.shared): it would not be the same artifact without it", shared)}
	}
	if err := removeAll(dir); err != nil { // of an attempt that broke off
		return err
	}
	to, err := s.Staging(p.Grant)
	if err != nil {
		return err
	}
	if err := os.CopyFS(to, os.DirFS(tree)); err != nil {
		return fmt.Errorf("copy artifact %s: %w", p.Digest, err)
	}
	return nil
}

// sharedIn is a shared path that a manifest holds, or holds something of; empty if there is none.
func sharedIn(manifest artifact.Manifest, shared []string) string {
	for _, path := range shared {
		path = filepath.Clean(path)
		for i := range manifest {
			if name := manifest[i].Path; name == path || strings.HasPrefix(name, path+"/") {
				return path
			}
		}
	}
	return ""
}
