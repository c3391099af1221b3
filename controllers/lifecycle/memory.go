// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"sync"
	"time"

	"github.com/slipway-dev/slipway/internal/discovery"
	"github.com/slipway-dev/slipway/internal/lifecycle"
)

// action is an instance at a hook.
type action struct {
	group    Group
	instance string
	hook     string
}

// memory spares calls. Nothing depends on it: after a restart a heartbeat more is sent, an Event is told once more, and a hook
// that was completed is found to be.
type memory struct {
	mu      sync.Mutex
	actions map[action]*progress
	groups  map[Group]description
}

// progress is what was done at a hook.
type progress struct {
	since, beat time.Time
	completed   bool
	// told is what was told last, by its kind.
	told map[string]string
}

// description is what Auto Scaling said of a group's hooks.
type description struct {
	hooks map[string]lifecycle.Hook
	at    time.Time
}

func newMemory() *memory {
	return &memory{actions: map[action]*progress{}, groups: map[Group]description{}}
}

// of is what is remembered of an action. The caller holds the lock.
func (m *memory) of(key action) *progress {
	p := m.actions[key]
	if p == nil {
		p = &progress{told: map[string]string{}}
		m.actions[key] = p
	}
	return p
}

func (m *memory) completed(key action) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.of(key).completed
}

func (m *memory) complete(key action) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(key).completed = true
}

func (m *memory) beat(key action) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.of(key).beat
}

func (m *memory) beaten(key action, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(key).beat = now
}

// since is when the instance was first seen to wait.
func (m *memory) since(key action, now time.Time) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.of(key)
	if p.since.IsZero() {
		p.since = now
	}
	return p.since
}

// news says whether something is not what was told last of its kind, and remembers it.
func (m *memory) news(key action, kind, what string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.of(key)
	if p.told[kind] == what {
		return false
	}
	p.told[kind] = what
	return true
}

func (m *memory) hooks(group Group, after time.Time) (map[string]lifecycle.Hook, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.groups[group]
	return d.hooks, d.at.After(after)
}

func (m *memory) described(group Group, hooks map[string]lifecycle.Hook, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.groups[group] = description{hooks: hooks, at: now}
}

// prune forgets the instances of a group that wait no longer: who comes back to the hook later is new there.
func (m *memory) prune(group Group, instances []discovery.Instance) {
	waiting := map[string]bool{}
	for i := range instances {
		if lifecycle.Waiting(instances[i].Lifecycle) != "" {
			waiting[instances[i].ID] = true
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.actions {
		if key.group == group && !waiting[key.instance] {
			delete(m.actions, key)
		}
	}
}

// forget forgets a group.
func (m *memory) forget(group Group) {
	m.prune(group, nil)
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.groups, group)
}
