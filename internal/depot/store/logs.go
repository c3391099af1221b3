// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot"
)

// A log is a directory of pieces, each named by where in the log it begins, in bytes and in lines. The first holds the log's head; of those that
// follow the oldest go when there are more than keptPieces full ones, so that at most 7 MiB of a log are kept, readable
// while it grows. A log that is being written lies in a directory of its own, which replaces the kept one at the end.
const (
	logHead    = 2 << 20
	logPiece   = 1 << 20
	keptPieces = 4

	// logPart ends the name of a log that is being written.
	logPart = ".part"
	// logLook is how often a log that grows is looked at.
	logLook = 200 * time.Millisecond
)

// WriteLog replaces a build's log by what r gives, readable while it comes. A later writer of the same log takes over:
// the earlier one ends with an error. What came is kept even if the stream broke off: a log that ends early is better
// than none.
func (s *Store) WriteLog(service v1alpha1.UID, job string, r io.Reader) error {
	if err := checkID(string(service), job); err != nil {
		return err
	}
	w := &logWriter{store: s, path: s.logPath(service, job)}
	if err := w.begin(); err != nil {
		return fmt.Errorf("keep the build log: %w", err)
	}
	_, err := io.Copy(w, r)
	if err = errors.Join(err, w.end()); err != nil {
		return fmt.Errorf("keep the build log: %w", err)
	}
	return nil
}

// logWriter writes one log. The store's mutex guards the directory against a second writer.
type logWriter struct {
	store  *Store
	path   string
	pieces []string // those after the head, the oldest first
	piece  *os.File
	room   int64 // in piece
	offset int64
	lines  int64 // that have ended
}

func (w *logWriter) begin() error {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	w.store.logs[w.path] = w
	if err := os.RemoveAll(w.path + logPart); err != nil {
		return err
	}
	if err := os.MkdirAll(w.path+logPart, 0o700); err != nil {
		return err
	}
	return w.open(logHead)
}

// open begins a piece.
func (w *logWriter) open(room int64) (err error) {
	w.piece, err = os.Create(filepath.Join(w.path+logPart, pieceName(w.offset, w.lines)))
	w.room = room
	return err
}

func (w *logWriter) Write(p []byte) (written int, err error) {
	for len(p) > 0 {
		if w.room == 0 {
			if err := w.next(); err != nil {
				return written, err
			}
		}
		n, err := w.piece.Write(p[:min(int64(len(p)), w.room)])
		w.lines += int64(bytes.Count(p[:n], []byte("\n")))
		written, w.offset, w.room, p = written+n, w.offset+int64(n), w.room-int64(n), p[n:]
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// next begins the next piece and lets the oldest go.
func (w *logWriter) next() error {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	if w.store.logs[w.path] != w {
		return errTakenOver
	}
	if err := errors.Join(w.piece.Sync(), w.piece.Close()); err != nil {
		return err
	}
	if err := w.open(logPiece); err != nil {
		return err
	}
	w.pieces = append(w.pieces, w.piece.Name())
	if len(w.pieces) <= keptPieces+1 {
		return nil
	}
	oldest := w.pieces[0]
	w.pieces = w.pieces[1:]
	return os.Remove(oldest)
}

var errTakenOver = fmt.Errorf("%w: this log is written anew by somebody else", depot.ErrRefused)

// end puts the log into its place.
func (w *logWriter) end() error {
	err := errors.Join(w.piece.Sync(), w.piece.Close())
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	if w.store.logs[w.path] != w {
		return errTakenOver
	}
	delete(w.store.logs, w.path)
	return errors.Join(err, keepLog(w.path))
}

// keepLog replaces the kept log by the one that was written.
func keepLog(path string) error {
	return errors.Join(os.RemoveAll(path), os.Rename(path+logPart, path))
}

// ReadLog copies a build's log to w: the kept one, or as much as there is of one that grows.
func (s *Store) ReadLog(service v1alpha1.UID, job string, w io.Writer) error {
	if err := checkID(string(service), job); err != nil {
		return err
	}
	_, _, err := readLog(s.logPath(service, job), 0, w, leftOut(w))
	return err
}

// FollowLog copies a build's log to w as it grows, until it is complete or ctx ends. Who reads more slowly than the log
// grows misses what has gone meanwhile, and is told how much.
func (s *Store) FollowLog(ctx context.Context, service v1alpha1.UID, job string, w io.Writer) error {
	if err := checkID(string(service), job); err != nil {
		return err
	}
	for offset := int64(0); ; {
		next, grows, err := readLog(s.logPath(service, job), offset, w, leftOut(w))
		if err != nil || !grows {
			return err
		}
		offset = next
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(logLook):
		}
	}
}

func (s *Store) logPath(service v1alpha1.UID, job string) string {
	return filepath.Join(s.dir, "logs", string(service), job)
}
