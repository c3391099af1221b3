// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package buildlog copies the logs of build Pods into the depot while they run: a Pod, and its log, may be gone before
// anybody looks.
package buildlog

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/build"
)

const (
	// look is how often a Pod is looked at until its next container has started.
	look = 500 * time.Millisecond
	// tries is how often a log is begun anew when the depot or the API server broke off.
	tries = 5
	// longest is how long one log is followed: longer than any build may take.
	longest = 8 * time.Hour
)

// Sink keeps logs: the depot.
type Sink interface {
	WriteLog(ctx context.Context, service v1alpha1.UID, job string, r io.Reader) error
}

// Follower copies logs. It begins anew after a restart: what it writes replaces what was there.
type Follower struct {
	pods   kubernetes.Interface
	sink   Sink
	logger *slog.Logger

	mu   sync.Mutex
	base context.Context
	logs map[string]bool // by namespace/job; true when the log is kept, or given up
}

// New returns a Follower. It copies while ctx lasts.
func New(ctx context.Context, pods kubernetes.Interface, sink Sink, logger *slog.Logger) *Follower {
	return &Follower{pods: pods, sink: sink, logger: logger, base: ctx, logs: map[string]bool{}}
}

// Ensure begins to copy the log of a Job's Pod, if that is not under way. secrets are hidden in it.
func (f *Follower) Ensure(namespace, job string, storage v1alpha1.UID, secrets []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := namespace + "/" + job
	if _, known := f.logs[key]; known {
		return
	}
	f.logs[key] = false
	go func() {
		ctx, cancel := context.WithTimeout(f.base, longest)
		defer cancel()
		f.follow(ctx, namespace, job, storage, secrets)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.logs[key] = true
	}()
}

// Done says whether the whole log of an ended build is kept, or can't be.
func (f *Follower) Done(namespace, job string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.logs[namespace+"/"+job]
}

// follow copies one log and begins anew when it broke off.
func (f *Follower) follow(ctx context.Context, namespace, job string, storage v1alpha1.UID, secrets []string) {
	for try := 1; ctx.Err() == nil; try++ {
		err := f.keep(ctx, namespace, job, storage, secrets)
		if err == nil {
			return
		}
		f.logger.Info("the build log broke off", "namespace", namespace, "job", job, "try", try, "error", err)
		if try == tries {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(try) * time.Second):
		}
	}
}

// keep writes a Job's log to the sink. Without a Pod nothing is written: the log that an earlier manager kept stays.
func (f *Follower) keep(ctx context.Context, namespace, job string, storage v1alpha1.UID, secrets []string) error {
	pod, err := f.pod(ctx, namespace, job, nil)
	if err != nil || pod == "" {
		return err
	}
	reader, writer := io.Pipe()
	go func() { _ = writer.CloseWithError(f.copy(ctx, namespace, job, pod, writer)) }()
	err = f.sink.WriteLog(ctx, storage, job, redact(reader, secrets))
	_ = reader.CloseWithError(err)
	return err
}

// copy writes the log of a Pod and of those that replaced it: an evicted Pod is made again.
func (f *Follower) copy(ctx context.Context, namespace, job, pod string, w io.Writer) error {
	seen := map[string]bool{}
	for pod != "" {
		if len(seen) > 0 {
			if _, err := fmt.Fprintf(w, "=== the Pod was replaced by %s ===\n", pod); err != nil {
				return err
			}
		}
		seen[pod] = true
		if err := f.containers(ctx, namespace, pod, w); err != nil {
			return err
		}
		var err error
		if pod, err = f.pod(ctx, namespace, job, seen); err != nil {
			return err
		}
	}
	return nil
}

// containers writes the logs of a Pod's containers, one after the other, each under a line with its name.
func (f *Follower) containers(ctx context.Context, namespace, pod string, w io.Writer) error {
	for _, container := range []string{build.FetchContainer, build.BuildContainer, build.PublishContainer} {
		started, err := f.started(ctx, namespace, pod, container)
		if err != nil {
			return err
		}
		if !started {
			return nil
		}
		if _, err := fmt.Fprintf(w, "=== %s ===\n", container); err != nil {
			return err
		}
		stream, err := f.pods.CoreV1().Pods(namespace).GetLogs(pod, &corev1.PodLogOptions{Container: container, Follow: true}).Stream(ctx)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the log of %s: %w", container, err)
		}
		_, err = io.Copy(w, stream)
		_ = stream.Close()
		if err != nil {
			return fmt.Errorf("read the log of %s: %w", container, err)
		}
	}
	return nil
}

// pod waits for a Pod of the Job that was not seen yet, and returns the newest one's name; empty if the Job has ended or
// is gone.
func (f *Follower) pod(ctx context.Context, namespace, job string, seen map[string]bool) (string, error) {
	for {
		// The Job first: a Pod that it made before it ended is in the list that is read after.
		j, err := f.pods.BatchV1().Jobs(namespace).Get(ctx, job, metav1.GetOptions{})
		gone := apierrors.IsNotFound(err)
		if err != nil && !gone {
			return "", fmt.Errorf("look at the build's Job: %w", err)
		}
		pods, err := f.pods.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job})
		if err != nil {
			return "", fmt.Errorf("find the build's Pod: %w", err)
		}
		newest := -1
		for i := range pods.Items {
			if !seen[pods.Items[i].Name] && (newest < 0 || pods.Items[i].CreationTimestamp.After(pods.Items[newest].CreationTimestamp.Time)) {
				newest = i
			}
		}
		if newest >= 0 {
			return pods.Items[newest].Name, nil
		}
		if gone || ended(j) {
			return "", nil
		}
		if err := pause(ctx); err != nil {
			return "", err
		}
	}
}

// ended says whether a Job makes no further Pod. A failed Job has no completion time.
func ended(job *batchv1.Job) bool {
	if job.DeletionTimestamp != nil {
		return true
	}
	for _, c := range job.Status.Conditions {
		switch c.Type {
		case batchv1.JobComplete, batchv1.JobFailed, batchv1.JobSuccessCriteriaMet, batchv1.JobFailureTarget:
			if c.Status == corev1.ConditionTrue {
				return true
			}
		}
	}
	return false
}

// started waits until a container has started; false if the Pod ended, or went, before it did.
func (f *Follower) started(ctx context.Context, namespace, pod, container string) (bool, error) {
	for {
		p, err := f.pods.CoreV1().Pods(namespace).Get(ctx, pod, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("look at the build's Pod: %w", err)
		}
		for _, status := range append(append([]corev1.ContainerStatus{}, p.Status.InitContainerStatuses...), p.Status.ContainerStatuses...) {
			if status.Name == container && (status.State.Running != nil || status.State.Terminated != nil) {
				return true, nil
			}
		}
		if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed || p.DeletionTimestamp != nil {
			return false, nil
		}
		if err := pause(ctx); err != nil {
			return false, err
		}
	}
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(look):
		return nil
	}
}
