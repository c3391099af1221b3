// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package bindings follows, in the manager, which instances have bound themselves to their host keys at the depot.
package bindings

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/slipway-dev/slipway/internal/depot"
)

// retry is how long a depot that does not answer is left alone.
const retry = 5 * time.Second

// Source is asked for what is new: the depot.
type Source interface {
	Bindings(ctx context.Context, after int64) ([]depot.Binding, error)
}

// Follower knows all bindings. It is a Runnable of a controller-runtime manager.
type Follower struct {
	source Source
	log    *slog.Logger
	news   chan event.TypedGenericEvent[string]

	mu  sync.RWMutex
	all map[string]depot.Binding
}

// New returns a Follower that knows nothing yet.
func New(source Source, log *slog.Logger) *Follower {
	return &Follower{source: source, log: log, news: make(chan event.TypedGenericEvent[string]), all: map[string]depot.Binding{}}
}

// Binding is that of an instance, by its id.
func (f *Follower) Binding(instance string) (depot.Binding, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	binding, bound := f.all[instance]
	return binding, bound
}

// News brings the ids of instances that were bound or have booted.
func (f *Follower) News() <-chan event.TypedGenericEvent[string] { return f.news }

// Start follows until ctx ends.
func (f *Follower) Start(ctx context.Context) error {
	var serial int64
	failing := false
	for ctx.Err() == nil {
		list, err := f.source.Bindings(ctx, serial)
		if err != nil {
			if !failing && ctx.Err() == nil {
				f.log.Warn("the depot does not say which hosts have booted; going by what is known", "error", err)
			}
			failing = true
			// The depot may come back with another store: what it knows is read anew.
			serial = 0
			select {
			case <-ctx.Done():
			case <-time.After(retry):
			}
			continue
		}
		failing = false
		for _, binding := range list {
			serial = max(serial, binding.Serial)
			if f.keep(binding) {
				select {
				case f.news <- event.TypedGenericEvent[string]{Object: binding.Instance}:
				case <-ctx.Done():
				}
			}
		}
	}
	return nil
}

// keep says whether a binding is news.
func (f *Follower) keep(binding depot.Binding) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, known := f.all[binding.Instance]
	f.all[binding.Instance] = binding
	return !known || before.Serial != binding.Serial
}
