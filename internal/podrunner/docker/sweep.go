// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"k8s.io/apimachinery/pkg/labels"
)

func (r *Runner) enqueueAll() {
	pods, err := r.pods.List(labels.Everything())
	if err != nil {
		return
	}
	for _, pod := range pods {
		r.queue.Add(pod.Namespace + "/" + pod.Name)
	}
}

// sweepSoon has sweep run now and not in a minute.
func (r *Runner) sweepSoon() {
	select {
	case r.sweepWish <- struct{}{}:
	default: // one is due already
	}
}

// sweepAsWished sweeps at once, every minute and when a Pod has gone.
func (r *Runner) sweepAsWished(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		r.sweep(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-r.sweepWish:
		}
	}
}

// sweep removes the containers and directories of Pods that are gone.
func (r *Runner) sweep(ctx context.Context) {
	pods, err := r.pods.List(labels.Everything())
	if err != nil {
		return
	}
	living := map[string]bool{}
	for _, pod := range pods {
		living[string(pod.UID)] = true
	}
	r.forget(living)
	list, err := r.engine.ContainerList(ctx, container.ListOptions{All: true,
		Filters: filters.NewArgs(filters.Arg("label", labelOwner+"="+r.owner()))})
	if err != nil {
		return // the engine is down: the Node says so
	}
	for _, c := range list {
		if living[c.Labels[labelPodUID]] {
			continue
		}
		err := r.engine.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
		if err != nil && !cerrdefs.IsNotFound(err) && !cerrdefs.IsConflict(err) {
			r.Logger.Error("cannot remove a container of a Pod that is gone", "container", c.ID, "err", err)
			living[c.Labels[labelPodUID]] = true // its directories are still in use
		}
	}
	dirs, err := os.ReadDir(filepath.Join(r.StateDir, "pods"))
	if err != nil {
		return
	}
	for _, d := range dirs {
		if living[d.Name()] {
			continue
		}
		if err := os.RemoveAll(r.dir(d.Name())); err != nil {
			r.Logger.Error("cannot remove the volumes of a Pod that is gone", "dir", d.Name(), "err", err)
		}
	}
}

// forget ends what is under way for Pods that are gone.
func (r *Runner) forget(living map[string]bool) {
	gone := func(key string) bool {
		uid, _, _ := strings.Cut(key, "/")
		return !living[uid]
	}
	r.work.cancel(gone)
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.images, func(key string, _ *pull) bool { return gone(key) })
	maps.DeleteFunc(r.stops, func(key string, _ time.Time) bool { return gone(key) })
}
