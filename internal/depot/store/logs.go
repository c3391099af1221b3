// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

const (
	// logHead and logTail bound a build log: of a longer one the beginning and the end are kept.
	logHead = 2 << 20
	logTail = 4 << 20
)

// WriteLog replaces a build's log by what r gives. The head is readable while it grows; the tail is added at the end.
func (s *Store) WriteLog(service v1alpha1.UID, job string, r io.Reader) error {
	if err := checkID(string(service), job); err != nil {
		return err
	}
	path := s.logPath(service, job)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keep the build log: %w", err)
	}
	f, err := os.Create(path + ".part")
	if err != nil {
		return fmt.Errorf("keep the build log: %w", err)
	}
	head, err := io.Copy(f, io.LimitReader(r, logHead))
	if err == nil && head == logHead {
		err = writeTail(f, r)
	}
	// What came is kept even if the stream broke off: a log that ends early is better than none.
	return errors.Join(err, f.Sync(), f.Close(), os.Rename(path+".part", path))
}

// writeTail keeps the last logTail bytes of r and says how much was left out before them.
func writeTail(w io.Writer, r io.Reader) error {
	ring := make([]byte, 0, 2*logTail)
	var dropped int64
	buffer := make([]byte, 64<<10)
	for {
		n, err := r.Read(buffer)
		ring = append(ring, buffer[:n]...)
		if len(ring) >= 2*logTail-len(buffer) {
			over := len(ring) - logTail
			dropped += int64(over)
			ring = append(ring[:0], ring[over:]...)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(err, finishTail(w, ring, dropped))
		}
	}
	return finishTail(w, ring, dropped)
}

func finishTail(w io.Writer, ring []byte, dropped int64) error {
	if over := len(ring) - logTail; over > 0 {
		dropped += int64(over)
		ring = ring[over:]
	}
	if dropped > 0 {
		if _, err := fmt.Fprintf(w, "\n[… %d bytes of the log were left out here …]\n", dropped); err != nil {
			return err
		}
	}
	_, err := w.Write(ring)
	return err
}

// ReadLog copies a build's log to w: the kept one, or as much as there is of one that grows.
func (s *Store) ReadLog(service v1alpha1.UID, job string, w io.Writer) error {
	if err := checkID(string(service), job); err != nil {
		return err
	}
	path := s.logPath(service, job)
	if err := copyFile(path+".part", w, "log of "+job); err == nil {
		return nil
	}
	return copyFile(path, w, "log of "+job)
}

func (s *Store) logPath(service v1alpha1.UID, job string) string {
	return filepath.Join(s.dir, "logs", string(service), job)
}
