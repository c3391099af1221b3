// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package service

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/slipway-dev/slipway/internal/gitsource"
)

const (
	// defaultLook is the interval of objects from before it had a default.
	defaultLook = time.Minute
	// maxLookBackoff bounds how long a repository is left alone that could not be read.
	maxLookBackoff = 10 * time.Minute
	// fresh is how long ago a tip may have been seen that a Release is made of.
	fresh = 15 * time.Second
	// looksAtOnce bounds the git processes of all looks.
	looksAtOnce = 8
)

// tips remembers what was last seen of the repositories that Services track, and looks at them in the background. After a
// restart everything is looked at anew.
type tips struct {
	clock clock.PassiveClock
	// done is told of each look that ended.
	done  func(types.NamespacedName)
	slots chan struct{}
	mu    sync.Mutex
	seen  map[types.NamespacedName]*look
}

// look is the last look at a repository.
type look struct {
	// key says what was looked for, pushed which push was reported before.
	key, pushed string
	running     bool
	// begun says that there is a result.
	known    bool
	at, next time.Time
	failures int
	tip      gitsource.Resolved
	err      error
}

func newTips(c clock.PassiveClock, done func(types.NamespacedName)) *tips {
	return &tips{clock: c, done: done, slots: make(chan struct{}, looksAtOnce), seen: map[types.NamespacedName]*look{}}
}

// question is what is looked for, and how.
type question struct {
	key, pushed string
	interval    time.Duration
	// now has a look taken even if none is due.
	now bool
	ask func(context.Context) (gitsource.Resolved, error)
}

// look returns what was last seen, and begins another look in the background when one is due.
func (t *tips) look(ctx context.Context, name types.NamespacedName, q question) look {
	t.mu.Lock()
	defer t.mu.Unlock()
	l, ok := t.seen[name]
	if !ok || l.key != q.key {
		l = &look{key: q.key}
		t.seen[name] = l
	}
	// A reported push is looked for at once, but not more often than failures allow.
	due := !l.known || !t.clock.Now().Before(l.next) || l.failures == 0 && (l.pushed != q.pushed || q.now)
	if due && !l.running {
		l.running, l.pushed = true, q.pushed
		go t.run(context.WithoutCancel(ctx), name, l, q)
	}
	return *l
}

func (t *tips) run(ctx context.Context, name types.NamespacedName, l *look, q question) {
	t.slots <- struct{}{}
	tip, err := q.ask(ctx)
	<-t.slots
	t.mu.Lock()
	l.running, l.known, l.at, l.tip, l.err = false, true, t.clock.Now(), tip, err
	wait := q.interval
	if err != nil {
		wait = min(max(q.interval, maxLookBackoff), q.interval<<min(l.failures, 10))
		l.failures++
	} else {
		l.failures = 0
	}
	l.next = l.at.Add(wait - time.Duration(rand.Int64N(int64(wait)/5+1))) // #nosec G404 -- jitter is no secret
	t.mu.Unlock()
	t.done(name)
}

// forget drops what is known of a Service.
func (t *tips) forget(name types.NamespacedName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.seen, name)
}
