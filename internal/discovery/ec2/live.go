// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package ec2

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/slipway-dev/slipway/internal/discovery"
)

const (
	// DefaultFresh is how old a description may be that still answers for now.
	DefaultFresh = 15 * time.Second
	// DefaultLookLimit bounds one live look, its retries included.
	DefaultLookLimit = 10 * time.Second
	// gather is how long a live look waits for others to be asked for. It also gathers while its call waits for its turn.
	gather = 20 * time.Millisecond
	// maxIDs is how many instances one live look asks for: as many as one filter takes values.
	maxIDs = 200
	// DefaultBlind is how long nobody looks live after a live look failed: what was swept answers at once meanwhile.
	DefaultBlind = 15 * time.Second
)

var errNotLooking = errors.New("EC2 is not asked: the process begins or ends")

// batch is one live look.
type batch struct {
	ids  []string
	done chan struct{}
	// found and err are read when done is closed.
	found map[string]discovery.Instance
	err   error
}

// described is an instance as it was at a time.
type described struct {
	discovery.Instance
	at time.Time
}

// Describe implements discovery.LiveFinder. Who asks within some milliseconds, or while calls wait for their turn, shares a call.
//
// Instances are asked for by the filter instance-id and not by their ids: an id that EC2 does not know, one that was terminated
// an hour ago, fails the whole call by ids and is left out by the filter; and only a call with a filter is paged.
func (s *Sweeper) Describe(ctx context.Context, of discovery.Account, id string) (discovery.Instance, error) {
	select {
	case <-s.started:
	case <-ctx.Done():
		return discovery.Instance{}, ctx.Err()
	case <-s.Clock.After(s.LookLimit):
		return discovery.Instance{}, errNotLooking
	}
	s.mu.Lock()
	now := s.Clock.Now()
	a := s.account(of, now)
	if instance, known := a.fresh(id, now, s.Fresh); known {
		s.mu.Unlock()
		return instance, nil
	}
	if s.ctx == nil {
		s.mu.Unlock()
		return discovery.Instance{}, errNotLooking
	}
	if now.Before(a.blindUntil) {
		defer s.mu.Unlock()
		return discovery.Instance{}, a.blind
	}
	b := s.join(of, a, id)
	s.mu.Unlock()
	select {
	case <-ctx.Done():
		return discovery.Instance{}, ctx.Err()
	case <-b.done:
	}
	if b.err != nil {
		return discovery.Instance{}, b.err
	}
	instance, known := b.found[id]
	if !known {
		return discovery.Instance{}, discovery.ErrNotDescribed
	}
	return instance, nil
}

// fresh is the youngest description of an instance, if it is young enough.
func (a *account) fresh(id string, now time.Time, limit time.Duration) (discovery.Instance, bool) {
	youngest, known := a.live[id]
	if swept, there := a.instances[id]; there && a.missing[id] == 0 && (!known || a.swept.After(youngest.at)) {
		youngest, known = described{swept, a.swept}, true
	}
	return youngest.Instance, known && now.Sub(youngest.at) < limit
}

// join gives the live look at an instance: the one that is under way, or the one that is gathered. The caller holds the lock.
func (s *Sweeper) join(of discovery.Account, a *account, id string) *batch {
	if b := a.looking[id]; b != nil {
		return b
	}
	if b := a.batch; b != nil && len(b.ids) < maxIDs {
		b.ids, a.looking[id] = append(b.ids, id), b
		return b
	}
	b := &batch{ids: []string{id}, done: make(chan struct{})}
	a.batch, a.looking[id] = b, b
	ctx := s.ctx
	s.running.Go(func() {
		defer close(b.done)
		b.found, b.err = s.lookLive(ctx, of, a, b)
	})
	return b
}

// lookLive gathers, calls once, and remembers the answer.
func (s *Sweeper) lookLive(ctx context.Context, of discovery.Account, a *account, b *batch) (map[string]discovery.Instance, error) {
	ctx, cancel := context.WithTimeout(ctx, s.LookLimit)
	defer cancel()
	timer := s.Clock.NewTimer(gather)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C():
	}
	api, err := s.connected(ctx, of, a)
	if err == nil {
		err = a.pace.Wait(ctx)
	}
	ids, began := s.gathered(a, b)
	var found []discovery.Instance
	if err == nil {
		found, err = describe(ctx, api, types.Filter{Name: aws.String("instance-id"), Values: ids})
	}
	return s.learnLive(of, a, ids, began, found, err)
}

// gathered ends the gathering.
func (s *Sweeper) gathered(a *account, b *batch) (ids []string, began time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.batch == b {
		a.batch = nil
	}
	return b.ids, s.Clock.Now()
}

// learnLive writes down what a live look found. How instances stand in their groups is as last swept.
func (s *Sweeper) learnLive(
	of discovery.Account, a *account, ids []string, began time.Time, found []discovery.Instance, err error,
) (map[string]discovery.Instance, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		delete(a.looking, id)
	}
	now := s.Clock.Now()
	if err != nil {
		a.blind, a.blindUntil = errors.New("EC2 in "+of.String()+": "+Explain(err)), now.Add(s.Blind)
		if s.ctx == nil || s.ctx.Err() != nil { // the process ends
			return nil, a.blind
		}
		slog.Warn("instances can't be looked at before they are reached: what was swept last decides",
			"account", of.String(), "error", Explain(err), "for", s.Blind)
		return nil, a.blind
	}
	maps.DeleteFunc(a.live, func(_ string, d described) bool { return now.Sub(d.at) >= s.Fresh })
	instances := make(map[string]discovery.Instance, len(found))
	for _, instance := range found {
		instance.Lifecycle = a.instances[instance.ID].Lifecycle
		instances[instance.ID] = instance
		a.live[instance.ID] = described{instance, began}
	}
	return instances, nil
}
