// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot"
)

// maxCache bounds one cached directory: a cache that grows without end is worth nothing.
const maxCache = 4 << 30

// cachePath is where the cache of one directory of a Service is kept.
func (s *Store) cachePath(service v1alpha1.UID, name string) (string, error) {
	if err := checkID(string(service)); err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(s.dir, "caches", string(service), hex.EncodeToString(sum[:16])+".tar"), nil
}

// ReadCache copies a cached directory, a tar stream, to w, or returns depot.ErrNotFound.
func (s *Store) ReadCache(service v1alpha1.UID, name string, w io.Writer) error {
	path, err := s.cachePath(service, name)
	if err != nil {
		return err
	}
	return copyFile(path, w, "cache of "+name)
}

// WriteCache replaces a cached directory by what r gives.
func (s *Store) WriteCache(service v1alpha1.UID, name string, r io.Reader) error {
	path, err := s.cachePath(service, name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keep the cache: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), newPrefix+"*")
	if err != nil {
		return fmt.Errorf("keep the cache: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	defer func() { _ = f.Close() }()
	n, err := io.Copy(f, io.LimitReader(r, maxCache+1))
	if err != nil {
		return fmt.Errorf("keep the cache: %w", err)
	}
	if n > maxCache {
		return fmt.Errorf("%w: the cache of %s is larger than %d bytes", depot.ErrRefused, name, int64(maxCache))
	}
	return os.Rename(f.Name(), path)
}
