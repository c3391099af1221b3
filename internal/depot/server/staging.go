// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"fmt"
	"sync"

	"github.com/slipway-dev/slipway/internal/depot"
)

// stagings keeps receiving and finishing apart: what is being made an artifact is written by nobody any more.
type stagings struct {
	mu   sync.Mutex
	open map[string]*staging
}

// staging is one build attempt that somebody writes or finishes.
type staging struct {
	sealed    bool
	receivers sync.WaitGroup
	cancels   map[int]context.CancelFunc
	next      int
}

func stagingKey(g depot.BuildGrant) string {
	return fmt.Sprintf("%s/%s/%d", g.Service, g.BuildKey, g.Attempt)
}

func (s *stagings) get(g depot.BuildGrant) *staging {
	if s.open == nil {
		s.open = map[string]*staging{}
	}
	key := stagingKey(g)
	if s.open[key] == nil {
		s.open[key] = &staging{cancels: map[int]context.CancelFunc{}}
	}
	return s.open[key]
}

// enter admits a receiver, unless the build is being finished. Its context ends when finishing begins.
func (s *stagings) enter(ctx context.Context, g depot.BuildGrant) (context.Context, func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.get(g)
	if st.sealed {
		return nil, nil, fmt.Errorf("%w: this build is being published", depot.ErrRefused)
	}
	ctx, cancel := context.WithCancel(ctx)
	id := st.next
	st.next++
	st.cancels[id] = cancel
	st.receivers.Add(1)
	return ctx, func() {
		cancel()
		st.receivers.Done()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(st.cancels, id)
		s.forget(g, st)
	}, nil
}

// seal ends all receivers, waits until they have ended, and admits no more until unseal.
func (s *stagings) seal(g depot.BuildGrant) (unseal func(), err error) {
	s.mu.Lock()
	st := s.get(g)
	if st.sealed {
		s.mu.Unlock()
		return nil, fmt.Errorf("%w: this build is being published", depot.ErrRefused)
	}
	st.sealed = true
	for _, cancel := range st.cancels {
		cancel()
	}
	s.mu.Unlock()
	st.receivers.Wait()
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		st.sealed = false
		s.forget(g, st)
	}, nil
}

// forget drops a staging that nobody uses.
func (s *stagings) forget(g depot.BuildGrant, st *staging) {
	if !st.sealed && len(st.cancels) == 0 && s.open[stagingKey(g)] == st {
		delete(s.open, stagingKey(g))
	}
}
