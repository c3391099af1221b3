// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot"
)

// SetAnswers records the manager's last word on hosts. A word with a lower fence than the recorded one is old news.
func (s *Store) SetAnswers(answers []depot.Answer) error {
	byService := map[v1alpha1.UID][]depot.Answer{}
	for _, a := range answers {
		if err := checkID(string(a.Service)); err != nil {
			return err
		}
		byService[a.Service] = append(byService[a.Service], a)
	}
	for service, list := range byService {
		if err := s.setAnswers(service, list); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) setAnswers(service v1alpha1.UID, list []depot.Answer) error {
	defer s.lock(service)()
	path := filepath.Join(s.dir, "answers", string(service)+".json")
	known := map[string]depot.Answer{}
	if err := readJSON(path, &known, "answers"); err != nil && !errors.Is(err, depot.ErrNotFound) {
		return err
	}
	for _, a := range list {
		if old, ok := known[a.Host]; !ok || a.Fence >= old.Fence {
			known[a.Host] = a
		}
	}
	return writeJSON(path, known)
}

// Answer is the manager's last word on a host, or depot.ErrNotFound.
func (s *Store) Answer(service v1alpha1.UID, host string) (depot.Answer, error) {
	if err := checkID(string(service)); err != nil {
		return depot.Answer{}, err
	}
	known := map[string]depot.Answer{}
	if err := readJSON(filepath.Join(s.dir, "answers", string(service)+".json"), &known, "answers"); err != nil {
		return depot.Answer{}, err
	}
	a, ok := known[host]
	if !ok {
		return depot.Answer{}, fmt.Errorf("%w: no word on host %s", depot.ErrNotFound, host)
	}
	return a, nil
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
