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
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

const (
	sweepEvery = time.Minute
	// A Pod's log outlives its end by so long at least.
	logsKept = time.Minute
	// A stop does not wait longer for containers to be removed.
	stopTimeout = 10 * time.Second
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
	r.removeAllBut(ctx, func(*corev1.Pod) bool { return true })
}

// sweepAtStop also removes what is left of Pods that are over: should the runner never be started again, nobody else
// would. Logs of the last minute stay, for whoever keeps them may not have read them to the end.
func (r *Runner) sweepAtStop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	r.removeAllBut(ctx, func(pod *corev1.Pod) bool { return !over(pod) || r.Now().Sub(ended(pod)) < logsKept })
}

// removeAllBut removes this runner's containers and directories but those of the Pods that keep chooses.
func (r *Runner) removeAllBut(ctx context.Context, keep func(*corev1.Pod) bool) {
	pods, err := r.pods.List(labels.Everything())
	if err != nil {
		return
	}
	living := map[string]bool{}
	for _, pod := range pods {
		if keep(pod) {
			living[string(pod.UID)] = true
		}
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
		if ctx.Err() != nil {
			return
		}
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

// over says whether the Pod has ended; its containers have then, too.
func over(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// ended is when the last container of a Pod that is over ended.
func ended(pod *corev1.Pod) (at time.Time) {
	for _, s := range append(append([]corev1.ContainerStatus{}, pod.Status.InitContainerStatuses...), pod.Status.ContainerStatuses...) {
		if t := s.State.Terminated; t != nil && t.FinishedAt.After(at) {
			at = t.FinishedAt.Time
		}
	}
	return at
}

// removeVolumes removes the volumes of a Pod that is over, the Secrets among them. The Pod, its log and its
// termination messages stay.
func (r *Runner) removeVolumes(pod *corev1.Pod) {
	dir := r.volumes(pod)
	if _, err := os.Stat(dir); err != nil {
		return
	}
	r.work.start(string(pod.UID)+"/volumes", func(context.Context) error { return os.RemoveAll(dir) }, func(err error) {
		if err != nil {
			r.Logger.Error("cannot remove the volumes of a Pod that is over", "dir", dir, "err", err)
		}
	})
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
