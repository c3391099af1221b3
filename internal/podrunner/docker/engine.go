// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/system"
	corev1 "k8s.io/api/core/v1"

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
		r.registerOnce(ctx)
	}
}

func (r *Runner) registerOnce(ctx context.Context) {
	info, unblocked, err := r.probe(ctx)
	if ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	was, wasUnblocked := r.down, r.info.MetadataReachable
	r.down = ""
	if err != nil {
		r.down = err.Error()
	} else {
		r.info.Runtime = "docker://" + info.ServerVersion
		r.info.MilliCPU, r.info.MemoryBytes = int64(info.NCPU)*1000, info.MemTotal
		r.info.MetadataReachable = ""
		if unblocked != nil {
			r.info.MetadataReachable = unblocked.Error()
		}
	}
	r.info.NotReady = r.down
	node := podrunner.Node(r.info, r.Now())
	reachable := r.info.MetadataReachable
	changed := was != r.down
	r.mu.Unlock()
	live, err := podrunner.Register(ctx, r.kube, node, r.Now())
	if err != nil && ctx.Err() == nil {
		r.Logger.Error("cannot register the Node; it is tried again", "node", r.NodeName, "err", err)
	}
	if reachable != "" && reachable != wasUnblocked && live != nil {
		r.Logger.Warn(reachable)
		r.recorder.Eventf(live, nil, corev1.EventTypeWarning, podrunner.ReasonMetadataReachable, "Blocking", "%s", reachable)
	}
	if changed {
		r.enqueueAll()
	}
}

// probe asks the engine how it is and makes sure of the network of builds. unblocked is why builds on it can reach a
// metadata service: that is said and stops nothing, for most machines have none.
func (r *Runner) probe(ctx context.Context) (info system.Info, unblocked, err error) {
	ctx, cancel := context.WithTimeout(ctx, engineTimeout)
	defer cancel()
	if info, err = r.engine.Info(ctx); err != nil {
		return info, nil, err
	}
	bridge, err := r.ensureNetwork(ctx)
	if err != nil {
		return info, nil, err
	}
	return info, blockMetadata(ctx, bridge), nil
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
