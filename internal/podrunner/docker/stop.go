// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	corev1 "k8s.io/api/core/v1"
)

// stop says whether all of the Pod's containers have stopped, and makes them stop: SIGTERM, the grace, SIGKILL. It
// does not wait. A shorter grace than that of a stop under way takes its place.
func (r *Runner) stop(pod *corev1.Pod, have map[string]found, grace time.Duration) bool {
	running := map[string]string{}
	for name, c := range have {
		if c.state == "running" || c.state == "paused" || c.state == "restarting" {
			running[name] = c.id
		}
	}
	key, until := string(pod.UID)+"/stop", r.Now().Add(grace)
	if len(running) == 0 {
		r.mu.Lock()
		delete(r.stops, string(pod.UID))
		r.mu.Unlock()
		return true
	}
	r.mu.Lock()
	enough := r.work.running(key) && !until.Before(r.stops[string(pod.UID)])
	if !enough {
		r.stops[string(pod.UID)] = until
	}
	r.mu.Unlock()
	if enough {
		return false
	}
	for name := range running {
		r.event(pod, corev1.EventTypeNormal, "Killing", "Killing", "Stopping container %s", name)
	}
	r.work.start(key, func(ctx context.Context) error { return r.stopAll(ctx, running, grace) }, func(err error) {
		if err != nil {
			r.Logger.Error("cannot stop a Pod; it is tried again", "pod", pod.Namespace+"/"+pod.Name, "err", err)
			r.queue.AddRateLimited(pod.Namespace + "/" + pod.Name)
			return
		}
		r.queue.Add(pod.Namespace + "/" + pod.Name)
	})
	return false
}

// stopAll stops containers side by side.
func (r *Runner) stopAll(ctx context.Context, running map[string]string, grace time.Duration) error {
	ended := make(chan error, len(running))
	seconds := int(grace / time.Second)
	for name, id := range running {
		go func() {
			err := r.engine.ContainerStop(ctx, id, container.StopOptions{Timeout: &seconds})
			if err != nil && !cerrdefs.IsNotFound(err) {
				ended <- fmt.Errorf("stop container %q: %w", name, err)
				return
			}
			ended <- nil
		}()
	}
	var all error
	for range running {
		all = errors.Join(all, <-ended)
	}
	return all
}
