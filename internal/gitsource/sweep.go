// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package gitsource

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// sweep removes what a killed git left in a mirror: locks, on which every later fetch would fail, and half packs, which
// would fill the disk. The mirror's lock is held, so no git of ours writes to it.
func sweep(mirror string) error {
	return filepath.WalkDir(mirror, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look through the mirror: %w", err)
		}
		leftover := strings.HasSuffix(entry.Name(), ".lock") || entry.Name() == "gc.pid" || strings.HasPrefix(entry.Name(), "tmp_")
		if entry.IsDir() || !leftover {
			return nil
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove what a killed fetch left: %w", err)
		}
		return nil
	})
}
