// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/internal/podrunner"
)

const (
	maxTermination = 4096
	// As a kubelet: the end of the log that stands in for a termination message.
	maxFallback, maxFallbackLines = 2048, "80"
)

// observe reads the state of all containers that exist or did.
func (r *Runner) observe(ctx context.Context, pod *corev1.Pod, o *podrunner.Observation) error {
	have, err := r.containers(ctx, pod)
	if err != nil {
		return err
	}
	o.Containers = map[string]corev1.ContainerStatus{}
	for _, c := range append(append([]corev1.Container{}, pod.Spec.InitContainers...), pod.Spec.Containers...) {
		status, ip, err := r.status(ctx, pod, c, have)
		if err != nil {
			return err
		}
		if status != nil {
			o.Containers[c.Name] = *status
		}
		if ip != "" {
			o.PodIP = ip
		}
	}
	return nil
}

// status is one container's state and its address while it runs, or nil when it was never made. A container that the
// Pod's status knows and the engine does not has been lost: it counts as ended, for a build must not run twice.
func (r *Runner) status(ctx context.Context, pod *corev1.Pod, c corev1.Container, have map[string]found) (*corev1.ContainerStatus, string, error) {
	known, ok := have[c.Name]
	if !ok {
		return lost(pod, c.Name), "", nil
	}
	in, err := r.engine.ContainerInspect(ctx, known.id)
	if cerrdefs.IsNotFound(err) {
		return lost(pod, c.Name), "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("inspect container %q: %w", c.Name, err)
	}
	s := &corev1.ContainerStatus{Name: c.Name, Image: c.Image, ImageID: "docker-pullable://" + in.Image, ContainerID: "docker://" + in.ID,
		State: state(in)}
	if t := s.State.Terminated; t != nil && t.Message == "" {
		t.Message = r.message(ctx, pod, c, in.ID, t.ExitCode)
	}
	if in.NetworkSettings == nil || in.NetworkSettings.Networks[r.Network] == nil {
		return s, "", nil
	}
	return s, in.NetworkSettings.Networks[r.Network].IPAddress, nil
}

// state says in a kubelet's words what the engine says of a container.
func state(in container.InspectResponse) corev1.ContainerState {
	id, begun := "docker://"+in.ID, engineTime(in.State.StartedAt)
	switch {
	case in.State.Status == "created" && in.State.Error == "":
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}
	case in.State.Status == "created":
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 128, Reason: "StartError", Message: in.State.Error,
			StartedAt: engineTime(in.Created), FinishedAt: engineTime(in.Created), ContainerID: id}}
	case in.State.Running:
		return corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: begun}}
	}
	t := &corev1.ContainerStateTerminated{ExitCode: int32(in.State.ExitCode), Reason: "Completed", StartedAt: begun,
		FinishedAt: engineTime(in.State.FinishedAt), ContainerID: id}
	if t.ExitCode > 128 {
		t.Signal = t.ExitCode - 128
	}
	switch {
	case in.State.OOMKilled:
		t.Reason = "OOMKilled"
	case t.ExitCode != 0:
		t.Reason = "Error"
	}
	return corev1.ContainerState{Terminated: t}
}

func lost(pod *corev1.Pod, name string) *corev1.ContainerStatus {
	for _, s := range append(append([]corev1.ContainerStatus{}, pod.Status.InitContainerStatuses...), pod.Status.ContainerStatuses...) {
		if s.Name != name || s.ContainerID == "" {
			continue
		}
		if s.State.Terminated == nil {
			s.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "ContainerStatusUnknown",
				Message: "the container was gone when the runner looked for it", ContainerID: s.ContainerID}}
		}
		return &s
	}
	return nil
}

// message is the container's last word: the file at its terminationMessagePath or, where asked for, the log's end.
func (r *Runner) message(ctx context.Context, pod *corev1.Pod, c corev1.Container, id string, code int32) string {
	if f, err := os.Open(r.termination(pod, c.Name)); err == nil {
		defer f.Close()
		text, _ := io.ReadAll(io.LimitReader(f, maxTermination))
		if len(text) > 0 {
			return strings.ToValidUTF8(string(text), "\uFFFD")
		}
	}
	if c.TerminationMessagePolicy != corev1.TerminationMessageFallbackToLogsOnError || code == 0 {
		return ""
	}
	logs, err := r.engine.ContainerLogs(ctx, id, container.LogsOptions{ShowStdout: true, ShowStderr: true, Tail: maxFallbackLines})
	if err != nil {
		return ""
	}
	defer logs.Close()
	end := &tail{max: maxFallback}
	_, _ = stdcopy.StdCopy(end, end, logs)
	return strings.ToValidUTF8(string(end.kept), "\uFFFD")
}

// tail keeps the last max bytes written to it.
type tail struct {
	kept []byte
	max  int
}

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p[max(0, len(p)-t.max):]...)
	if over := len(t.kept) - t.max; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

func engineTime(s string) metav1.Time {
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return metav1.Time{}
	}
	return metav1.NewTime(at).Rfc3339Copy()
}
