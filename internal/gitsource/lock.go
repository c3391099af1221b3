// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package gitsource

import (
	"context"
	"fmt"
	"sync"
)

// mirrorLock keeps the writers of one mirror apart. Maintenance gives way to whoever waits for it.
type mirrorLock struct {
	held chan struct{}

	mu      sync.Mutex
	waiting int
	yield   context.CancelFunc // ends the maintenance that holds the lock; nil if none does
}

// lockOf is the lock of the mirror at path.
func (m *Mirrors) lockOf(path string) *mirrorLock {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locks[path] == nil {
		m.locks[path] = &mirrorLock{held: make(chan struct{}, 1)}
	}
	return m.locks[path]
}

// acquire waits for the lock no longer than ctx lasts.
func (l *mirrorLock) acquire(ctx context.Context) (release func(), err error) {
	l.wait(1)
	defer l.wait(-1)
	select {
	case l.held <- struct{}{}:
		return l.release, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: another fetch of this repository took too long: %w", ErrUnreachable, ctx.Err())
	}
}

func (l *mirrorLock) wait(change int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting += change
	if l.waiting > 0 && l.yield != nil {
		l.yield()
	}
}

// maintain takes the lock for maintenance if nobody holds it or waits for it. The context ends when somebody does.
func (l *mirrorLock) maintain(ctx context.Context) (_ context.Context, release func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting > 0 {
		return nil, nil, false
	}
	select {
	case l.held <- struct{}{}:
	default:
		return nil, nil, false
	}
	ctx, l.yield = context.WithCancel(ctx)
	return ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.yield()
		l.yield = nil
		l.release()
	}, true
}

func (l *mirrorLock) release() { <-l.held }
