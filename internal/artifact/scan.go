// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Scan reads a tree into a manifest and refuses what an artifact may not hold: devices, pipes, sockets, set-id bits,
// links out of the tree, control characters in names. Modes are read as they will be after Normalize.
func Scan(dir string) (Manifest, error) {
	var m Manifest
	err := filepath.WalkDir(dir, func(full string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, full)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		if name != "." {
			if err := CheckName(name); err != nil {
				return err
			}
		}
		e, err := scanEntry(full, name, d)
		if err != nil {
			return err
		}
		m = append(m, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	sortEntries(m)
	return m, m.Check()
}

func scanEntry(full, name string, d fs.DirEntry) (Entry, error) {
	info, err := d.Info()
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Path: name}
	mode := info.Mode()
	switch {
	case mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 && !mode.IsDir():
		return e, fmt.Errorf("%w: %q is set-user-id or set-group-id", ErrInvalid, name)
	case mode.IsDir():
		e.Kind = Dir
	case mode.IsRegular():
		e.Kind, e.Executable, e.Size = File, mode&0o111 != 0, info.Size()
		e.SHA256, err = hashFile(full)
		return e, err
	case mode&fs.ModeSymlink != 0:
		e.Kind = Link
		e.Target, err = os.Readlink(full)
		return e, err
	default:
		return e, fmt.Errorf("%w: %q is neither file, directory nor symbolic link", ErrInvalid, name)
	}
	return e, nil
}

func hashFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Normalize gives every path of a scanned tree its mode: directories 0755, files 0644 or 0755, the top included.
func Normalize(dir string, m Manifest) error {
	for _, e := range m {
		mode := os.FileMode(0o644)
		switch {
		case e.Kind == Link:
			continue
		case e.Kind == Dir || e.Executable:
			mode = 0o755
		}
		if err := os.Chmod(filepath.Join(dir, filepath.FromSlash(e.Path)), mode); err != nil {
			return fmt.Errorf("set the mode of %q: %w", e.Path, err)
		}
	}
	return nil
}
