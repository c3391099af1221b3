// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/delivery"
)

const (
	// minBackoff and maxBackoff bound the wait after a failure.
	minBackoff = 2 * time.Second
	maxBackoff = 10 * time.Minute
	// maxAccessBackoff bounds it where only a Secret or ConfigMap is missing: a person is at it, and looking is cheap.
	maxAccessBackoff = time.Minute
	// freshLook is how old a look at a host must be before a sibling's drift makes it look again.
	freshLook = 10 * time.Second
)

// lesson is what a job leaves for the next one on the same host.
type lesson struct {
	// known: the host was seen, and no delivery's outcome is unknown.
	known bool
	// failures in a row, of looks and deliveries alike.
	failures int
	// after is how long to rest.
	after time.Duration
	// health is what is known of the host's health; nil if nobody asks for it.
	health *watch
	// looked is when the host itself was looked at; the time of the lesson if that is not set.
	looked time.Time
	// lookDue is when it is looked at again. Until then, its health is asked for with what that look found out.
	lookDue     time.Time
	seen        *delivery.Observation
	host        delivery.Host
	authorities []byte
}

// entry is what is remembered of one host.
type entry struct {
	lesson
	fingerprint string
	learned     time.Time
	next        time.Time
}

// memory is what this process knows of hosts. It is lost with the process, and that is its point: after a restart every
// host is looked at, not trusted.
type memory struct {
	mu      sync.Mutex
	entries map[types.NamespacedName]entry
}

func newMemory() *memory { return &memory{entries: map[types.NamespacedName]entry{}} }

func key(t *v1alpha1.Target) types.NamespacedName {
	return types.NamespacedName{Namespace: t.Namespace, Name: t.Name}
}

// wait is how long a host is still left alone. A changed fingerprint ends the wait, and the count of failures with it.
func (m *memory) wait(t *v1alpha1.Target, fingerprint string, now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, there := m.entries[key(t)]
	if !there {
		return 0
	}
	if e.fingerprint != fingerprint {
		e.failures, e.lookDue = 0, time.Time{}
		m.entries[key(t)] = e
		return 0
	}
	return max(0, e.next.Sub(now))
}

// recall what is known of a host.
func (m *memory) recall(t *v1alpha1.Target) lesson {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.entries[key(t)].lesson
}

// learn remembers a lesson.
func (m *memory) learn(t *v1alpha1.Target, fingerprint string, now time.Time, l lesson) {
	m.mu.Lock()
	defer m.mu.Unlock()
	learned := now
	if !l.looked.IsZero() {
		learned = l.looked
	}
	m.entries[key(t)] = entry{lesson: l, fingerprint: fingerprint, learned: learned, next: now.Add(l.after)}
}

// hasten ends a host's rest, unless it was looked at just now. It says whether it did.
func (m *memory) hasten(k types.NamespacedName, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, there := m.entries[k]
	if !there || e.failures > 0 || now.Sub(e.learned) < freshLook || !e.next.After(now) {
		return false
	}
	e.next, e.lookDue = now, time.Time{}
	m.entries[k] = e
	return true
}

// forget a host.
func (m *memory) forget(t *v1alpha1.Target) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.entries, key(t))
}

// backoff after a number of failures in a row.
func backoff(failures int) time.Duration {
	wait := minBackoff
	for range failures - 1 {
		if wait *= 2; wait >= maxBackoff {
			return maxBackoff
		}
	}
	return wait
}

// jittered spreads a wait by a tenth of it, so that hosts that began together do not stay together.
func (r *Reconciler) jittered(wait time.Duration) time.Duration {
	return wait - time.Duration(float64(wait)*0.1*r.Jitter())
}
