// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

const (
	// stagingAge is how old a staging directory is when its build is surely over: longer than any build may take.
	stagingAge = 24 * time.Hour
	// newPrefix begins the name of a file that is being written, removedSuffix ends that of an artifact that is leaving.
	newPrefix     = ".new-"
	removedSuffix = ".removed"
)

// reap removes what a crash left: half written files, artifacts that were being removed, staging directories of builds
// that are over. It runs before anything is served, so nobody writes.
func (s *Store) reap() error {
	removed, err := filepath.Glob(filepath.Join(s.dir, "artifacts", "*", "*"+removedSuffix))
	if err != nil {
		return err
	}
	for _, dir := range removed {
		if err := removeAll(dir); err != nil {
			return fmt.Errorf("remove what a crash left: %w", err)
		}
	}
	for _, part := range []string{"builds", "clock", "caches", "words", "bindings", "pointers"} {
		if err := removeNew(filepath.Join(s.dir, part)); err != nil {
			return fmt.Errorf("remove what a crash left: %w", err)
		}
	}
	broken, err := filepath.Glob(filepath.Join(s.dir, "logs", "*", "*"+logPart))
	if err != nil {
		return err
	}
	for _, log := range broken { // it ends where the crash was, until somebody writes it anew
		if err := keepLog(strings.TrimSuffix(log, logPart)); err != nil {
			return fmt.Errorf("keep the log that a crash cut off: %w", err)
		}
	}
	return s.reapStaging()
}

// removeNew removes the files below dir that were being written.
func removeNew(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasPrefix(entry.Name(), newPrefix) {
			return err
		}
		return os.Remove(path)
	})
}

// reapStaging removes staging directories of builds that are over: published, or older than any build may be. The others
// stay over a restart: their builds go on when the depot is back.
func (s *Store) reapStaging() error {
	dirs, err := filepath.Glob(filepath.Join(s.dir, "staging", "*", "*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if !s.stagingOver(dir) {
			continue
		}
		if err := removeAll(dir); err != nil {
			return fmt.Errorf("remove an old staging directory: %w", err)
		}
	}
	return nil
}

// stagingOver says whether nobody will finish a staging directory.
func (s *Store) stagingOver(dir string) bool {
	name := filepath.Base(dir)
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		if _, err := s.Build(v1alpha1.UID(filepath.Base(filepath.Dir(dir))), name[:i]); err == nil {
			return true
		}
	}
	info, err := os.Stat(dir)
	return err == nil && s.clock.Now().Sub(info.ModTime()) > stagingAge
}
