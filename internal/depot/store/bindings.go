// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"github.com/slipway-dev/slipway/internal/depot"
)

// bindings are the instances that have proved who they are, in memory as on disk.
type bindings struct {
	mu     sync.Mutex
	all    map[string]depot.Binding
	serial int64
	// changed is closed, and replaced, at each change.
	changed chan struct{}
}

func (b *bindings) load(dir string) {
	b.all, b.changed = map[string]depot.Binding{}, make(chan struct{})
	files, _ := filepath.Glob(filepath.Join(dir, "*.json"))
	for _, file := range files {
		var binding depot.Binding
		if readJSON(file, &binding, "binding") == nil {
			b.all[binding.Instance] = binding
			b.serial = max(b.serial, binding.Serial)
		}
	}
}

// ChangeBinding changes what is known of an instance, or leaves it as it is if change fails. binding is the zero Binding
// for an instance that is not bound; all are the others, read only.
func (s *Store) ChangeBinding(instance string, change func(binding *depot.Binding, all map[string]depot.Binding) error) (depot.Binding, error) {
	if err := checkID(instance); err != nil {
		return depot.Binding{}, err
	}
	b := &s.bindings
	b.mu.Lock()
	defer b.mu.Unlock()
	binding := b.all[instance]
	binding.Boots = maps.Clone(binding.Boots)
	if err := change(&binding, b.all); err != nil {
		return depot.Binding{}, err
	}
	binding.Instance, binding.Serial = instance, b.serial+1
	if err := writeJSON(filepath.Join(s.dir, "bindings", instance+".json"), binding); err != nil {
		return depot.Binding{}, fmt.Errorf("bind %s: %w", instance, err)
	}
	b.all[instance], b.serial = binding, binding.Serial
	close(b.changed)
	b.changed = make(chan struct{})
	return binding, nil
}

// BindingOfKey is the binding of a host key in authorized_keys format.
func (s *Store) BindingOfKey(key string) (depot.Binding, bool) {
	s.bindings.mu.Lock()
	defer s.bindings.mu.Unlock()
	for _, binding := range s.bindings.all {
		if binding.HostKey == key {
			return binding, true
		}
	}
	return depot.Binding{}, false
}

// Bindings are those with a higher serial than after, the lowest first. If there are none it waits for one until ctx ends.
func (s *Store) Bindings(ctx context.Context, after int64) []depot.Binding {
	for {
		list, changed := s.bindings.since(after)
		if len(list) > 0 {
			return list
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

func (b *bindings) since(after int64) ([]depot.Binding, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []depot.Binding
	for _, binding := range b.all {
		if binding.Serial > after {
			list = append(list, binding)
		}
	}
	slices.SortFunc(list, func(x, y depot.Binding) int { return cmp.Compare(x.Serial, y.Serial) })
	return list, b.changed
}
