// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"sync"
)

// background is work of the engine that may take minutes: pulls and stops. It is done beside the workers, so that one
// Pod's slow registry or deaf process holds up no other Pod.
type background struct {
	mu    sync.Mutex
	group sync.WaitGroup
	base  context.Context
	tasks map[string]*task
}

type task struct{ cancel context.CancelFunc }

// start does work under the key, in the place of what was under way there. done is called when work has ended and
// nothing took its place.
func (b *background) start(key string, work func(context.Context) error, done func(error)) {
	ctx, cancel := context.WithCancel(b.base)
	own := &task{cancel: cancel}
	b.mu.Lock()
	defer b.mu.Unlock()
	if old := b.tasks[key]; old != nil {
		old.cancel()
	}
	if b.tasks == nil {
		b.tasks = map[string]*task{}
	}
	b.tasks[key] = own
	b.group.Go(func() {
		defer cancel()
		err := work(ctx)
		b.mu.Lock()
		current := b.tasks[key] == own
		if current {
			delete(b.tasks, key)
		}
		b.mu.Unlock()
		if current && b.base.Err() == nil {
			done(err)
		}
	})
}

// running says whether work is under way under the key.
func (b *background) running(key string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tasks[key] != nil
}

// cancel ends the work under the keys that which chooses; its end is not told.
func (b *background) cancel(which func(key string) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, t := range b.tasks {
		if which(key) {
			t.cancel()
			delete(b.tasks, key)
		}
	}
}
