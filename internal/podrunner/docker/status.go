// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"bytes"
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
)

const (
	maxTermination = 4096
	// As a kubelet: the end of the log that stands in for a termination message.
	maxFallback, maxFallbackLines = 2048, "80"
)

// observe reads the state of all containers that exist or did.
func (r *Runner) observe(ctx context.Context, pod *corev1.Pod) (map[string]corev1.ContainerStatus, error) {
	have, err := r.containers(ctx, pod)
	if err != nil {
		return nil, err
	}
	all := map[string]corev1.ContainerStatus{}
	for _, c := range append(append([]corev1.Container{}, pod.Spec.InitContainers...), pod.Spec.Containers...) {
		status, err := r.status(ctx, pod, c, have)
		if err != nil {
			return nil, err
		}
		if status != nil {
			all[c.Name] = *status
		}
	}
	return all, nil
}

// status is one container's state, or nil when it was never made. A container that the Pod's status knows and the
// engine does not has been lost: it counts as ended, for a build must not run twice.
func (r *Runner) status(ctx context.Context, pod *corev1.Pod, c corev1.Container, have map[string]found) (*corev1.ContainerStatus, error) {
	known, ok := have[c.Name]
	if !ok {
		return lost(pod, c.Name), nil
	}
	in, err := r.engine.ContainerInspect(ctx, known.id)
	if cerrdefs.IsNotFound(err) {
		return lost(pod, c.Name), nil
	}
	if err != nil {
		return nil, fmt.Errorf("inspect container %q: %w", c.Name, err)
	}
	s := &corev1.ContainerStatus{Name: c.Name, Image: c.Image, ImageID: "docker-pullable://" + in.Image, ContainerID: "docker://" + in.ID}
	begun := engineTime(in.State.StartedAt)
	switch {
	case in.State.Status == "created" && in.State.Error == "":
		s.State.Waiting = &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
	case in.State.Status == "created":
		s.State.Terminated = &corev1.ContainerStateTerminated{ExitCode: 128, Reason: "StartError", Message: in.State.Error,
			StartedAt: engineTime(in.Created), FinishedAt: engineTime(in.Created), ContainerID: s.ContainerID}
	case in.State.Running:
		s.State.Running = &corev1.ContainerStateRunning{StartedAt: begun}
	default:
		t := &corev1.ContainerStateTerminated{ExitCode: int32(in.State.ExitCode), Reason: "Completed", StartedAt: begun,
			FinishedAt: engineTime(in.State.FinishedAt), ContainerID: s.ContainerID}
		if t.ExitCode > 128 {
			t.Signal = t.ExitCode - 128
		}
		switch {
		case in.State.OOMKilled:
			t.Reason = "OOMKilled"
		case t.ExitCode != 0:
			t.Reason = "Error"
		}
		t.Message = r.message(ctx, pod, c, in.ID, t.ExitCode)
		s.State.Terminated = t
	}
	return s, nil
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
	return strings.ToValidUTF8(end.String(), "\uFFFD")
}

// tail keeps the last max bytes written to it.
type tail struct {
	bytes.Buffer
	max int
}

func (t *tail) Write(p []byte) (int, error) {
	n, err := t.Buffer.Write(p)
	if over := t.Len() - t.max; over > 0 {
		t.Next(over)
	}
	return n, err
}

func engineTime(s string) metav1.Time {
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return metav1.Time{}
	}
	return metav1.NewTime(at).Rfc3339Copy()
}
