// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"

	"github.com/slipway-dev/slipway/internal/podrunner"
)

const (
	registerEvery = 10 * time.Second
	// An engine that says nothing for so long is down.
	engineTimeout = 5 * time.Second
)

// register asks the engine how it is and says so on the Node: every ten seconds, more often while it is down, and at
// once when the engine broke off.
func (r *Runner) register(ctx context.Context) {
	for {
		r.registerOnce(ctx)
		wait := registerEvery
		if r.engineDown() != "" {
			wait = tryAgain
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		case <-r.registerWish:
		}
	}
}

func (r *Runner) registerOnce(ctx context.Context) {
	asking, cancel := context.WithTimeout(ctx, engineTimeout)
	info, err := r.engine.Info(asking)
	cancel()
	if ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	was := r.down
	r.down = ""
	if err != nil {
		r.down = err.Error()
	} else {
		r.info.Runtime = "docker://" + info.ServerVersion
		r.info.MilliCPU, r.info.MemoryBytes = int64(info.NCPU)*1000, info.MemTotal
	}
	r.info.NotReady = r.down
	node := podrunner.Node(r.info, r.Now())
	changed := was != r.down
	r.mu.Unlock()
	if err := podrunner.Register(ctx, r.kube, node, r.Now()); err != nil && ctx.Err() == nil {
		r.Logger.Error("cannot register the Node; it is tried again", "node", r.NodeName, "err", err)
	}
	if changed {
		r.enqueueAll()
	}
}

// registerSoon has the engine asked now and not in ten seconds.
func (r *Runner) registerSoon() {
	select {
	case r.registerWish <- struct{}{}:
	default: // it is asked already
	}
}

// engineDown is why the engine did not answer when it was asked last, or "".
func (r *Runner) engineDown() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.down
}

// watchEngine looks at a Pod when one of its containers changes, and at all when the engine comes back.
func (r *Runner) watchEngine(ctx context.Context) {
	for ctx.Err() == nil {
		messages, failed := r.engine.Events(ctx, events.ListOptions{Filters: filters.NewArgs(
			filters.Arg("type", "container"), filters.Arg("label", labelOwner+"="+r.owner()), filters.Arg("event", "die"), filters.Arg("event", "oom"))})
		r.enqueueAll()
		for open := true; open; {
			select {
			case m := <-messages:
				r.queue.Add(m.Actor.Attributes[labelPod])
			case <-failed: //nolint:errcheck // why it ended is seen by the next try
				open = false
			}
		}
		r.registerSoon()
		select {
		case <-ctx.Done():
		case <-time.After(tryAgain):
		}
	}
}
