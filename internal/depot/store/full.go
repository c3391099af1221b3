// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot"
)

// isFull says whether an error comes of a disk without room, or of a quota that is used up.
func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// DropStaging gives up a build attempt for which the disk has no room, so that it does not hold the room there is, and
// returns the Refusal that says so.
func (s *Store) DropStaging(g depot.BuildGrant) error {
	dir, err := s.stagingDir(g)
	if err != nil {
		return err
	}
	full := &Refusal{v1alpha1.ReasonDiskFull, fmt.Sprintf("the depot's disk at %s has no room for this artifact: nothing was published; "+
		"make the volume larger or lower spec.revisionHistoryLimit of its Services, then create a new Release", s.dir)}
	if err := removeAll(dir); err != nil {
		return errors.Join(full, fmt.Errorf("remove what was staged: %w", err))
	}
	return full
}
