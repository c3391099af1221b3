// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package sshca

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/utils/clock"
)

// Keep loads an Authority from a file, or makes one and writes it there.
func Keep(path string, c clock.PassiveClock) (*Authority, error) {
	data, err := os.ReadFile(path)
	if err == nil {
		return Load(data, c)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read the authority %s: %w", filepath.Base(path), err)
	}
	authority, err := New(c)
	if err != nil {
		return nil, err
	}
	if data, err = authority.Encode(); err != nil {
		return nil, err
	}
	return authority, os.WriteFile(path, data, 0o600)
}
