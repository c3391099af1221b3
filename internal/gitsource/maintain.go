// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/slipway-dev/slipway/internal/depot"
)

const (
	// unusedFor is how long nothing was fetched into a mirror that is removed: its Service is gone, or at rest. The next
	// build of it fetches anew.
	unusedFor = 30 * 24 * time.Hour
	// tendLimit bounds the maintenance of one mirror.
	tendLimit = 10 * time.Minute
	// manyPacks and manyLoose are what of packs and loose objects makes a mirror worth packing, as for git gc --auto.
	manyPacks = 20
	manyLoose = 6700
)

// Maintain tends the mirrors every now and then until ctx ends.
func (m *Mirrors) Maintain(ctx context.Context, every time.Duration, log *slog.Logger) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if err := m.Tend(ctx); err != nil && ctx.Err() == nil {
			log.Warn("the mirrors of sources were not all tended; this is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Tend packs the mirrors that have grown many small files, and removes those that nobody has used for long. A mirror that
// is being fetched into is left alone, and a fetch that comes ends what is done to its mirror.
func (m *Mirrors) Tend(ctx context.Context) error {
	left, err := filepath.Glob(filepath.Join(m.dir, "*.git.removed"))
	if err != nil {
		return err
	}
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove an old mirror: %w", err)
		}
	}
	mirrors, err := filepath.Glob(filepath.Join(m.dir, "*.git"))
	if err != nil {
		return err
	}
	var failed []error
	for _, path := range mirrors {
		if err := m.tend(ctx, path); err != nil {
			failed = append(failed, fmt.Errorf("mirror %s: %w", filepath.Base(path), err))
		}
	}
	return errors.Join(failed...)
}

func (m *Mirrors) tend(ctx context.Context, path string) error {
	own, release, ok := m.lockOf(path).maintain(ctx)
	if !ok {
		return nil
	}
	defer release()
	used, err := lastUse(path)
	if err != nil {
		return err
	}
	if m.Clock.Now().Sub(used) > unusedFor {
		if err := os.Rename(path, path+".removed"); err != nil {
			return fmt.Errorf("remove an old mirror: %w", err)
		}
		return os.RemoveAll(path + ".removed")
	}
	if !scattered(path) {
		return nil
	}
	if err := sweep(path); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(own, tendLimit)
	defer cancel()
	err = m.git(limited, path, "", depot.GitCredentials{}, io.Discard, "gc", "--quiet", "--prune=2.weeks.ago")
	if own.Err() != nil && ctx.Err() == nil {
		return nil // a fetch came: the next time will do
	}
	return err
}

// lastUse is when a mirror was last fetched into, or asked whether it had to be: its attributes are written then.
func lastUse(path string) (time.Time, error) {
	info, err := os.Stat(filepath.Join(path, "info", "attributes"))
	if errors.Is(err, os.ErrNotExist) {
		info, err = os.Stat(path) // a crash left it half made
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("look at the mirror: %w", err)
	}
	return info.ModTime(), nil
}

// scattered says whether a mirror has many packs, or many loose objects: as git does, it counts those of one directory.
func scattered(path string) bool {
	packs, _ := filepath.Glob(filepath.Join(path, "objects", "pack", "*.pack"))
	loose, _ := filepath.Glob(filepath.Join(path, "objects", "17", "*"))
	return len(packs) > manyPacks || len(loose)*256 > manyLoose
}
