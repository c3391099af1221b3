// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot"
)

// words are the manager's last words, in memory as on disk: when a fleet boots, each host asks for all of them.
type words struct {
	mu  sync.RWMutex
	all map[v1alpha1.UID]depot.Word
}

// load reads what is on disk. A file that can't be read is one that the manager has to write again.
func (w *words) load(dir string) {
	w.all = map[v1alpha1.UID]depot.Word{}
	files, _ := filepath.Glob(filepath.Join(dir, "*.json"))
	for _, file := range files {
		var word depot.Word
		if readJSON(file, &word, "word") == nil {
			w.all[word.Service] = word
		}
	}
}

// SetWord records the manager's last word on a Service. Of a manager that no longer leads, or that repeats itself late,
// only what is not older counts: neither the spec nor the current Release nor a host's fence goes back.
func (s *Store) SetWord(word depot.Word) error {
	if err := checkID(string(word.Service), string(word.Storage)); err != nil {
		return err
	}
	slices.SortFunc(word.Hosts, func(a, b depot.HostWord) int { return cmp.Compare(a.ID, b.ID) })
	s.words.mu.Lock()
	defer s.words.mu.Unlock()
	if old, known := s.words.all[word.Service]; known {
		if old.Generation > word.Generation || sequence(old) > sequence(word) {
			return nil
		}
		for i := range word.Hosts {
			if before := old.Host(word.Hosts[i].ID); before != nil && before.Fence > word.Hosts[i].Fence {
				word.Hosts[i] = *before
				word.Records = append(word.Records, old.Records...)
				for name, deploy := range old.Deploy {
					word.Deploy[name] = deploy
				}
			}
		}
	}
	if err := writeJSON(filepath.Join(s.dir, "words", string(word.Service)+".json"), word); err != nil {
		return err
	}
	s.words.all[word.Service] = word
	return nil
}

// sequence of the current Release: it only grows, for a roll back is a new Release.
func sequence(w depot.Word) int64 {
	if w.Current == nil {
		return 0
	}
	return w.Current.Sequence
}

// DropWord forgets a Service.
func (s *Store) DropWord(service v1alpha1.UID) error {
	if err := checkID(string(service)); err != nil {
		return err
	}
	s.words.mu.Lock()
	defer s.words.mu.Unlock()
	if err := os.Remove(filepath.Join(s.dir, "words", string(service)+".json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget a Service: %w", err)
	}
	delete(s.words.all, service)
	return nil
}

// Words are the manager's last words on all Services, in the order of their names. They are read only.
func (s *Store) Words() []depot.Word {
	s.words.mu.RLock()
	defer s.words.mu.RUnlock()
	all := make([]depot.Word, 0, len(s.words.all))
	for _, w := range s.words.all {
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b depot.Word) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Service, b.Service))
	})
	return all
}

// SetPointer records what a Service runs.
func (s *Store) SetPointer(p depot.Pointer) error {
	if err := checkID(string(p.Service)); err != nil {
		return err
	}
	return writeJSON(filepath.Join(s.dir, "pointers", string(p.Service)+".json"), p)
}

// Pointer is what a Service runs, or depot.ErrNotFound.
func (s *Store) Pointer(service v1alpha1.UID) (depot.Pointer, error) {
	var p depot.Pointer
	if err := checkID(string(service)); err != nil {
		return p, err
	}
	return p, readJSON(filepath.Join(s.dir, "pointers", string(service)+".json"), &p, "what Service "+string(service)+" runs")
}
