// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package store is the depot's storage: staging directories that become artifacts by one rename, build logs, caches,
// and the manager's last words, all in one directory.
package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sync"

	"k8s.io/utils/clock"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/artifact"
	"github.com/slipway-dev/slipway/internal/depot"
)

// Store keeps everything below one directory:
//
//	artifacts/<service>/<hex>/{tree/,manifest,meta.json}
//	builds/<service>/<build key>      the digest that the key was built to
//	clock/<service>                   the latest mtime that a changed file was given
//	staging/<service>/<key>-<n>/      builds under way
//	logs/<service>/<job>/             build logs, in pieces
//	caches/<service>/<hash>.tar       build caches
//	words/<service>.json, bindings/<instance>.json, pointers/<service>.json
type Store struct {
	dir   string
	clock clock.PassiveClock
	mu    sync.Mutex
	locks map[v1alpha1.UID]*sync.Mutex
	logs  map[string]*logWriter // by path: who writes a log

	words    words
	bindings bindings
}

// View reads what another process keeps in dir, and changes nothing there.
func View(dir string, c clock.PassiveClock) *Store {
	return &Store{dir: dir, clock: c, locks: map[v1alpha1.UID]*sync.Mutex{}, logs: map[string]*logWriter{}}
}

// Open makes the directory ready for this process alone: what a crash left half done is removed.
func Open(dir string, c clock.PassiveClock) (*Store, error) {
	for _, part := range []string{"artifacts", "builds", "clock", "staging", "logs", "caches", "words", "bindings", "pointers"} {
		if err := os.MkdirAll(filepath.Join(dir, part), 0o700); err != nil {
			return nil, fmt.Errorf("prepare the depot's storage: %w", err)
		}
	}
	s := View(dir, c)
	s.words.load(filepath.Join(dir, "words"))
	s.bindings.load(filepath.Join(dir, "bindings"))
	return s, s.reap()
}

// component is what may be a path component: identifiers of objects and builds.
var component = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,127}$`)

func checkID(ids ...string) error {
	for _, id := range ids {
		if !component.MatchString(id) {
			return fmt.Errorf("%w: %q is no identifier", depot.ErrRefused, id)
		}
	}
	return nil
}

// lock serialises the writers of one Service.
func (s *Store) lock(service v1alpha1.UID) func() {
	s.mu.Lock()
	l := s.locks[service]
	if l == nil {
		l = &sync.Mutex{}
		s.locks[service] = l
	}
	s.mu.Unlock()
	l.Lock()
	return l.Unlock
}

// artifactDir is where an artifact is kept.
func (s *Store) artifactDir(service v1alpha1.UID, digest string) (string, error) {
	if err := checkID(string(service)); err != nil {
		return "", err
	}
	hex, err := artifact.Hex(digest)
	if err != nil {
		return "", fmt.Errorf("%w: %w", depot.ErrRefused, err)
	}
	return filepath.Join(s.dir, "artifacts", string(service), hex), nil
}

// Tree is the directory of an artifact's files.
func (s *Store) Tree(service v1alpha1.UID, digest string) (string, error) {
	if _, err := s.Artifact(service, digest); err != nil {
		return "", err
	}
	dir, err := s.artifactDir(service, digest)
	return filepath.Join(dir, "tree"), err
}

// Manifest copies an artifact's manifest to w.
func (s *Store) Manifest(service v1alpha1.UID, digest string, w io.Writer) error {
	dir, err := s.artifactDir(service, digest)
	if err != nil {
		return err
	}
	return copyFile(filepath.Join(dir, "manifest"), w, "artifact "+digest)
}

// Artifact describes an artifact, or returns depot.ErrNotFound.
func (s *Store) Artifact(service v1alpha1.UID, digest string) (depot.Artifact, error) {
	dir, err := s.artifactDir(service, digest)
	if err != nil {
		return depot.Artifact{}, err
	}
	var a depot.Artifact
	return a, readJSON(filepath.Join(dir, "meta.json"), &a, "artifact "+digest)
}

// Build returns the artifact of a build key, or depot.ErrNotFound.
func (s *Store) Build(service v1alpha1.UID, key string) (depot.Artifact, error) {
	if err := checkID(string(service), key); err != nil {
		return depot.Artifact{}, err
	}
	digest, err := os.ReadFile(filepath.Join(s.dir, "builds", string(service), key))
	if errors.Is(err, os.ErrNotExist) {
		return depot.Artifact{}, fmt.Errorf("%w: build %s", depot.ErrNotFound, key)
	}
	if err != nil {
		return depot.Artifact{}, fmt.Errorf("read the build's record: %w", err)
	}
	return s.Artifact(service, string(digest))
}

// readJSON reads a JSON file; one that is not there is depot.ErrNotFound.
func readJSON(path string, into any, what string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %s", depot.ErrNotFound, what)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	return nil
}

func copyFile(path string, w io.Writer, what string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %s", depot.ErrNotFound, what)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	defer func() { _ = f.Close() }()
	if _, err := io.Copy(w, f); err != nil {
		return fmt.Errorf("send %s: %w", what, err)
	}
	return nil
}
