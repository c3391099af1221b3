// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"context"
	"sync"
	"time"
)

// background runs long work outside of the reconcile, one at a time per key. What it did is not on record: after a
// restart the work begins again, so it has to be work that may be repeated.
type background struct {
	mu    sync.Mutex
	tasks map[string]*task
}

type task struct {
	done chan struct{}
	err  error
}

func newBackground() *background { return &background{tasks: map[string]*task{}} }

// run starts work for a key, or looks at what was started before. It returns done=false while the work goes on; the
// result is handed out once.
func (b *background) run(ctx context.Context, key string, limit time.Duration, work func(context.Context) error) (done bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t, ok := b.tasks[key]
	if !ok {
		t = &task{done: make(chan struct{})}
		b.tasks[key] = t
		go func() {
			defer close(t.done)
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
			defer cancel()
			t.err = work(ctx)
		}()
	}
	select {
	case <-t.done:
		delete(b.tasks, key)
		return true, t.err
	default:
		return false, nil
	}
}
