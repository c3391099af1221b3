// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/slipway-dev/slipway/internal/depot"
)

// pieceName names the piece that begins at offset: names sort as offsets do.
func pieceName(offset int64) string { return fmt.Sprintf("%016d", offset) }

// readLog copies a log from offset on to w: the one that is being written if there is one, else the kept one. It returns
// where it ends now and whether it grows.
func readLog(path string, offset int64, w io.Writer) (next int64, grows bool, err error) {
	dir, grows := path+logPart, true
	root, err := os.OpenRoot(dir) // which stays the same directory when it is put into its place meanwhile
	if errors.Is(err, fs.ErrNotExist) {
		dir, grows = path, false
		root, err = os.OpenRoot(dir)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, fmt.Errorf("%w: log of %s", depot.ErrNotFound, filepath.Base(path))
	}
	if err != nil {
		return 0, false, fmt.Errorf("read the log of %s: %w", filepath.Base(path), err)
	}
	defer func() { _ = root.Close() }()
	pieces, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return 0, false, fmt.Errorf("read the log of %s: %w", filepath.Base(path), err)
	}
	for _, piece := range pieces {
		start, err := strconv.ParseInt(piece.Name(), 10, 64)
		if err != nil {
			continue
		}
		if offset, err = readPiece(root, start, offset, w); err != nil {
			return offset, grows, fmt.Errorf("read the log of %s: %w", filepath.Base(path), err)
		}
	}
	return offset, grows, nil
}

// readPiece copies what of a piece lies behind offset, and says what is missing before it.
func readPiece(root *os.Root, start, offset int64, w io.Writer) (int64, error) {
	f, err := root.Open(pieceName(start))
	if errors.Is(err, fs.ErrNotExist) { // it has gone meanwhile: the next piece tells of it
		return offset, nil
	}
	if err != nil {
		return offset, err
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil || start+info.Size() <= offset {
		return offset, err
	}
	if start > offset {
		if _, err := fmt.Fprintf(w, "\n[… %d bytes of the log were left out here …]\n", start-offset); err != nil {
			return offset, err
		}
		offset = start
	}
	if _, err := f.Seek(offset-start, io.SeekStart); err != nil {
		return offset, err
	}
	n, err := io.Copy(w, f)
	return offset + n, err
}
