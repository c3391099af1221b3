// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"github.com/slipway-dev/slipway/internal/artifact"
	"github.com/slipway-dev/slipway/internal/depot"
)

// Compare says what separates two artifacts, by their manifests.
func (s *Store) Compare(p depot.Pair) (artifact.Difference, error) {
	var from artifact.Manifest
	if p.From != "" {
		if _, err := s.Artifact(p.FromService, p.From); err != nil {
			return artifact.Difference{}, err
		}
		var err error
		if from, err = s.manifest(p.FromService, p.From); err != nil {
			return artifact.Difference{}, err
		}
	}
	if _, err := s.Artifact(p.ToService, p.To); err != nil {
		return artifact.Difference{}, err
	}
	to, err := s.manifest(p.ToService, p.To)
	if err != nil {
		return artifact.Difference{}, err
	}
	return artifact.Compare(from, to, max(0, min(p.Limit, 1000))), nil
}
