// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	corev1 "k8s.io/api/core/v1"

	"github.com/slipway-dev/slipway/internal/podrunner"
)

// Labels on containers: by them a container is found again after a restart of the runner.
const (
	// Two runners may share an engine: each sweeps what is its own.
	labelOwner     = "dev.slipway.owner"
	labelPodUID    = "dev.slipway.pod.uid"
	labelPod       = "dev.slipway.pod"
	labelContainer = "dev.slipway.container"
)

// found is a container of a Pod as the engine lists it.
type found struct {
	id    string
	state string // created, running, exited, dead, …
}

// step says how a Pod ends before its containers do, or when to look again.
type step struct {
	reason, message string
	after           time.Duration
}

// containers lists the Pod's containers by name. An engine that is known to be down is not asked.
func (r *Runner) containers(ctx context.Context, pod *corev1.Pod) (map[string]found, error) {
	if why := r.engineDown(); why != "" {
		return nil, errors.New(why)
	}
	list, err := r.engine.ContainerList(ctx, container.ListOptions{All: true,
		Filters: filters.NewArgs(filters.Arg("label", labelPodUID+"="+string(pod.UID)))})
	if err != nil {
		return nil, err
	}
	all := map[string]found{}
	for _, c := range list {
		all[c.Labels[labelContainer]] = found{id: c.ID, state: c.State}
	}
	return all, nil
}

// advance starts what may start now: init containers one after the other, then the containers.
func (r *Runner) advance(ctx context.Context, pod *corev1.Pod, have map[string]found) (map[string]corev1.ContainerStateWaiting, step, error) {
	waiting := map[string]corev1.ContainerStateWaiting{}
	for _, c := range pod.Spec.InitContainers {
		status, _, err := r.status(ctx, pod, c, have)
		if err != nil {
			return nil, step{}, err
		}
		if status != nil {
			if t := status.State.Terminated; t != nil && t.ExitCode == 0 {
				continue
			}
			return waiting, step{}, r.startMade(ctx, pod, c.Name, status, have)
		}
		why, s, err := r.begin(ctx, pod, c)
		if why != nil {
			waiting[c.Name] = *why
		}
		return waiting, s, err
	}
	var last step
	for _, c := range pod.Spec.Containers {
		status, _, err := r.status(ctx, pod, c, have)
		if err != nil {
			return nil, step{}, err
		}
		if status != nil {
			if err := r.startMade(ctx, pod, c.Name, status, have); err != nil {
				return nil, step{}, err
			}
			continue
		}
		why, s, err := r.begin(ctx, pod, c)
		if err != nil {
			return nil, step{}, err
		}
		if why != nil {
			waiting[c.Name], last = *why, s
		}
	}
	return waiting, last, nil
}

// begin makes and starts a container, or says what it waits for.
func (r *Runner) begin(ctx context.Context, pod *corev1.Pod, c corev1.Container) (*corev1.ContainerStateWaiting, step, error) {
	image, why, s := r.image(ctx, pod, c)
	if why != nil {
		return why, s, nil
	}
	if err := podrunner.Volumes(ctx, objects{r.kube}, pod, r.volumes(pod)); err != nil {
		return r.misconfigured(pod, c, err)
	}
	config, host, err := r.config(ctx, pod, c, image)
	if err != nil {
		return r.misconfigured(pod, c, err)
	}
	name := fmt.Sprintf("slipway_%s_%s", pod.UID, c.Name)
	created, err := r.engine.ContainerCreate(ctx, config, host, nil, nil, name)
	if cerrdefs.IsConflict(err) {
		return nil, step{after: time.Second}, nil // made a moment ago; the next look finds it
	}
	if cerrdefs.IsInvalidArgument(err) {
		return r.misconfigured(pod, c, err)
	}
	if err != nil {
		return nil, step{}, fmt.Errorf("create container %q: %w", c.Name, err)
	}
	r.event(pod, corev1.EventTypeNormal, "Created", "Creating", "Created container %s", c.Name)
	return nil, step{}, r.start(ctx, pod, c.Name, created.ID)
}

// startMade starts a container that a runner made and, having died, did not start.
func (r *Runner) startMade(ctx context.Context, pod *corev1.Pod, name string, status *corev1.ContainerStatus, have map[string]found) error {
	if status.State.Waiting == nil {
		return nil
	}
	return r.start(ctx, pod, name, have[name].id)
}

func (r *Runner) start(ctx context.Context, pod *corev1.Pod, name, id string) error {
	if err := r.engine.ContainerStart(ctx, id, container.StartOptions{}); err != nil {
		inspected, inspectErr := r.engine.ContainerInspect(ctx, id)
		if inspectErr == nil && inspected.State.Error != "" {
			// The engine keeps the error with the container, and the status says it: it is not tried again.
			r.event(pod, corev1.EventTypeWarning, "Failed", "Starting", "Error: %s", inspected.State.Error)
			return nil
		}
		return fmt.Errorf("start container %q: %w", name, err)
	}
	r.event(pod, corev1.EventTypeNormal, "Started", "Starting", "Started container %s", name)
	return nil
}

func (r *Runner) misconfigured(pod *corev1.Pod, c corev1.Container, err error) (*corev1.ContainerStateWaiting, step, error) {
	r.event(pod, corev1.EventTypeWarning, "Failed", "Creating", "Error: %s", err)
	return &corev1.ContainerStateWaiting{Reason: "CreateContainerConfigError", Message: fmt.Sprintf("container %q: %s", c.Name, err)},
		step{after: tryAgain}, nil
}

func (r *Runner) dir(uid string) string { return filepath.Join(r.StateDir, "pods", uid) }

func (r *Runner) volumes(pod *corev1.Pod) string {
	return filepath.Join(r.dir(string(pod.UID)), "volumes")
}

func (r *Runner) termination(pod *corev1.Pod, name string) string {
	return filepath.Join(r.dir(string(pod.UID)), "termination", name)
}

func (r *Runner) owner() string { return r.NodeName + "@" + r.StateDir }
