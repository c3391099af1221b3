// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package build

import (
	"encoding/json"
	"fmt"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// State of a build.
type State int

const (
	// Running has not ended yet.
	Running State = iota
	// Succeeded has its artifact published.
	Succeeded
	// Failed ended without an artifact.
	Failed
)

// Verdict is how a build stands.
type Verdict struct {
	State State
	// Reason is one of a Release's documented reasons; empty while Running.
	Reason string
	// Message says what, where and what next.
	Message string
}

// Problem is what fetch and publish leave in their termination message when they fail.
type Problem struct {
	// Reason is one of a Release's documented reasons.
	Reason string `json:"reason"`
	// Message for people.
	Message string `json:"message"`
}

// Judge reads how a Job and its Pods stand. A Pod's own reason (evicted, deadline, image) comes before exit codes.
func Judge(job *batchv1.Job, pods []corev1.Pod) Verdict {
	for _, c := range job.Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			continue
		}
		switch c.Type {
		case batchv1.JobComplete, batchv1.JobSuccessCriteriaMet:
			return Verdict{State: Succeeded}
		case batchv1.JobFailed, batchv1.JobFailureTarget:
			return failed(c, newest(pods), job)
		}
	}
	pod := newest(pods)
	if pod == nil {
		return Verdict{Message: "the build waits for its Pod"}
	}
	if v := imageProblem(pod); v != nil {
		return *v
	}
	return Verdict{Message: progress(pod)}
}

// failed says why a Job failed.
func failed(c batchv1.JobCondition, pod *corev1.Pod, job *batchv1.Job) Verdict {
	if c.Reason == batchv1.JobReasonDeadlineExceeded || pod != nil && pod.Status.Reason == "DeadlineExceeded" {
		where := ""
		if pod != nil {
			where = " while " + progress(pod)
		}
		limit := int64(0)
		if job.Spec.ActiveDeadlineSeconds != nil {
			limit = *job.Spec.ActiveDeadlineSeconds
		}
		return Verdict{State: Failed, Reason: v1alpha1.ReasonBuildTimedOut, Message: fmt.Sprintf(
			"the build took longer than build.timeout (%ds)%s; see its log, or raise build.timeout", limit, where)}
	}
	if pod == nil {
		return Verdict{State: Failed, Reason: v1alpha1.ReasonBuildFailed, Message: fmt.Sprintf("the build's Pod is gone: %s", c.Message)}
	}
	if v := imageProblem(pod); v != nil {
		return *v
	}
	for _, status := range append(append([]corev1.ContainerStatus{}, pod.Status.InitContainerStatuses...), pod.Status.ContainerStatuses...) {
		if t := status.State.Terminated; t != nil && t.ExitCode != 0 {
			return exited(status.Name, t)
		}
	}
	message := pod.Status.Message
	if message == "" {
		message = c.Message
	}
	return Verdict{State: Failed, Reason: v1alpha1.ReasonBuildFailed, Message: strings.TrimPrefix(pod.Status.Reason+": "+message, ": ")}
}

// exited says why a container failed.
func exited(container string, t *corev1.ContainerStateTerminated) Verdict {
	reason := map[string]string{FetchContainer: v1alpha1.ReasonFetchFailed, BuildContainer: v1alpha1.ReasonBuildFailed, PublishContainer: v1alpha1.ReasonPublishFailed}[container]
	if reason == "" {
		reason = v1alpha1.ReasonBuildFailed
	}
	var problem Problem
	if container != BuildContainer && json.Unmarshal([]byte(t.Message), &problem) == nil && problem.Message != "" {
		if problem.Reason != "" {
			reason = problem.Reason
		}
		return Verdict{State: Failed, Reason: reason, Message: problem.Message}
	}
	message := fmt.Sprintf("%s exited with code %d", container, t.ExitCode)
	switch {
	case t.Reason == "OOMKilled":
		message = fmt.Sprintf("%s was killed because it used more memory than build.resources.limits allow", container)
	case container == BuildContainer:
		message = fmt.Sprintf("the build script exited with code %d%s", t.ExitCode, lastLines(t.Message))
	case t.Message != "":
		message += lastLines(t.Message)
	}
	return Verdict{State: Failed, Reason: reason, Message: message}
}

// lastLines are the last lines that a container printed, on one line.
func lastLines(text string) string {
	var lines []string
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return "; it said last: " + strings.Join(lines[max(0, len(lines)-3):], " | ")
}

// imageReasons are a kubelet's words for an image that cannot be had.
var imageReasons = map[string]bool{
	"ErrImagePull": true, "ImagePullBackOff": true, "InvalidImageName": true, "ErrImageNeverPull": true, "ImageInspectError": true,
}

// imageProblem says that an image cannot be had. The kubelet goes on trying for ever; a Release does not.
func imageProblem(pod *corev1.Pod) *Verdict {
	for _, status := range append(append([]corev1.ContainerStatus{}, pod.Status.InitContainerStatuses...), pod.Status.ContainerStatuses...) {
		if w := status.State.Waiting; w != nil && imageReasons[w.Reason] {
			// A first failure may pass; the back-off says that it was tried again.
			if w.Reason == "ErrImagePull" {
				return nil
			}
			return &Verdict{State: Failed, Reason: v1alpha1.ReasonImageNotFound, Message: fmt.Sprintf(
				"image %s of container %s cannot be had (%s): %s", status.Image, status.Name, w.Reason, w.Message)}
		}
	}
	return nil
}

// progress says what a Pod does now.
func progress(pod *corev1.Pod) string {
	doing := map[string]string{FetchContainer: "fetching the source", BuildContainer: "running the build script", PublishContainer: "publishing the artifact"}
	for _, status := range append(append([]corev1.ContainerStatus{}, pod.Status.InitContainerStatuses...), pod.Status.ContainerStatuses...) {
		switch {
		case status.State.Running != nil:
			return doing[status.Name]
		case status.State.Waiting != nil && status.State.Waiting.Message != "":
			return fmt.Sprintf("waiting: %s: %s", status.State.Waiting.Reason, status.State.Waiting.Message)
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return "the Pod waits for a node: " + c.Message
		}
	}
	return "the Pod is starting"
}

// newest is the Pod that was made last.
func newest(pods []corev1.Pod) *corev1.Pod {
	var out *corev1.Pod
	for i := range pods {
		if out == nil || pods[i].CreationTimestamp.After(out.CreationTimestamp.Time) {
			out = &pods[i]
		}
	}
	return out
}
