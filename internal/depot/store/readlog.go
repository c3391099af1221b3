// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/internal/depot"
)

// pieceName names the piece that begins at offset, after so many lines: names sort as offsets do.
func pieceName(offset, lines int64) string { return fmt.Sprintf("%016d-%d", offset, lines) }

// parsePiece reads a name that pieceName gave.
func parsePiece(name string) (offset, lines int64, err error) {
	before, after, _ := strings.Cut(name, "-")
	offset, err = strconv.ParseInt(before, 10, 64)
	if err == nil && after != "" {
		lines, err = strconv.ParseInt(after, 10, 64)
	}
	return offset, lines, err
}

// gapFunc is told what is missing: how many bytes, and how many lines the log has before what follows.
type gapFunc func(missing, lines int64) error

// readLog copies a log from offset on to w: the one that is being written if there is one, else the kept one. Where something
// is missing it calls gap. It returns where it ends now and whether it grows.
func readLog(path string, offset int64, w io.Writer, gap gapFunc) (next int64, grows bool, err error) {
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
		if offset, err = readPiece(root, piece.Name(), offset, w, gap); err != nil {
			return offset, grows, fmt.Errorf("read the log of %s: %w", filepath.Base(path), err)
		}
	}
	return offset, grows, nil
}

// readPiece copies what of a piece lies behind offset, and says what is missing before it.
func readPiece(root *os.Root, name string, offset int64, w io.Writer, gap gapFunc) (int64, error) {
	start, lines, err := parsePiece(name)
	if err != nil { // it is none
		return offset, nil
	}
	f, err := root.Open(name)
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
		if err := gap(start-offset, lines); err != nil {
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

// leftOut says on w what is missing.
func leftOut(w io.Writer) gapFunc {
	return func(missing, _ int64) error {
		_, err := fmt.Fprintf(w, "\n[… %d bytes of the log were left out here …]\n", missing)
		return err
	}
}

// LogFrom returns a part of a build's log. Of one that grows and has nothing new it waits for more until ctx ends.
func (s *Store) LogFrom(ctx context.Context, r depot.LogRange) (depot.LogChunk, error) {
	if err := checkID(string(r.Service), r.Job); err != nil {
		return depot.LogChunk{}, err
	}
	for {
		var c chunk
		next, grows, err := readLog(s.logPath(r.Service, r.Job), max(r.Offset, 0), &c, c.gap)
		full := errors.Is(err, errChunkFull)
		if err != nil && !full {
			return depot.LogChunk{}, err
		}
		if len(c.data) > 0 || !grows || r.Now {
			return depot.LogChunk{Data: c.data, Next: next, Grows: grows, More: full, Before: c.before}, nil
		}
		select {
		case <-ctx.Done():
			return depot.LogChunk{Next: next, Grows: true}, nil
		case <-time.After(logLook):
		}
	}
}

// maxChunk is about how much of a log is given out at once.
const maxChunk = 256 << 10

var errChunkFull = errors.New("the chunk is full")

// chunk takes about as much as fits. What is missing is told at its beginning alone, so that its end says where each of its
// lines ends.
type chunk struct {
	data   []byte
	before int64
}

func (c *chunk) Write(p []byte) (int, error) {
	if len(c.data) >= maxChunk {
		return 0, errChunkFull
	}
	c.data = append(c.data, p...)
	return len(p), nil
}

func (c *chunk) gap(missing, lines int64) error {
	if len(c.data) > 0 {
		return errChunkFull
	}
	c.before = lines
	return leftOut(c)(missing, lines)
}
