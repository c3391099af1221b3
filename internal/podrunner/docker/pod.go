// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/slipway-dev/slipway/internal/podrunner"
)

const (
	// A running Pod is looked at again this often, should a message of the engine have been lost.
	lookAgain = 5 * time.Second
	// An engine that is down or an object that is missing is asked for again after this.
	tryAgain = 3 * time.Second
	// An engine that says nothing for so long counts as down. What may take longer is not done by the workers.
	syncTimeout = 2 * time.Minute
)

// sync brings one Pod a step forward from what the engine and the API server say now, and says when to look again.
func (r *Runner) sync(ctx context.Context, key string) (time.Duration, error) {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return 0, nil
	}
	pod, err := r.pods.Pods(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		r.sweepSoon()
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	o := podrunner.Observation{HostIP: r.NodeAddress, Now: r.Now()}
	if over(pod) && pod.DeletionTimestamp == nil {
		r.removeVolumes(pod)
		return 0, nil
	}
	if why := podrunner.Unsupported(pod); why != "" && pod.DeletionTimestamp == nil {
		o.Reason, o.Message = podrunner.ReasonNotSupported, why
		r.event(pod, corev1.EventTypeWarning, podrunner.ReasonNotSupported, "Refusing", "%s", why)
		return 0, r.report(ctx, pod, o)
	}
	found, err := r.containers(ctx, pod)
	if err != nil {
		// Nothing can be said about containers that were seen; the others wait for the engine.
		o.Unavailable = "the container engine does not answer: " + err.Error()
		o.Containers = remembered(pod, podrunner.ReasonEngineUnavailable, o.Unavailable)
		if r.engineDown() == "" {
			r.registerSoon()
		}
		return tryAgain, r.report(ctx, pod, o)
	}
	if pod.DeletionTimestamp != nil {
		return r.remove(ctx, pod, found)
	}
	after := lookAgain
	if limit := pod.Spec.ActiveDeadlineSeconds; limit != nil {
		begin := o.Now
		if pod.Status.StartTime != nil {
			begin = pod.Status.StartTime.Time
		}
		left := begin.Add(time.Duration(*limit) * time.Second).Sub(o.Now)
		if left <= 0 {
			return r.expire(ctx, pod, found, o)
		}
		after = min(after, left)
	}
	waiting, step, err := r.advance(ctx, pod, found)
	if err != nil {
		return 0, err
	}
	if step.reason != "" {
		if r.stop(pod, found, 0) {
			r.cancelPulls(string(pod.UID))
			o.Reason, o.Message = step.reason, step.message
		}
	}
	if step.after > 0 {
		after = min(after, step.after)
	}
	if err = r.observe(ctx, pod, &o); err != nil {
		return 0, err
	}
	for name, state := range waiting {
		if _, seen := o.Containers[name]; !seen {
			o.Containers[name] = corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &state}}
		}
	}
	return after, r.report(ctx, pod, o)
}

// expire ends a Pod that ran past its deadline. The Pod has failed when its containers have stopped.
func (r *Runner) expire(ctx context.Context, pod *corev1.Pod, found map[string]found, o podrunner.Observation) (time.Duration, error) {
	r.cancelPulls(string(pod.UID))
	if !r.stop(pod, found, grace(pod)) {
		return lookAgain, nil
	}
	if err := r.observe(ctx, pod, &o); err != nil {
		return 0, err
	}
	o.Reason = "DeadlineExceeded"
	o.Message = "Pod was active on the node longer than the specified deadline"
	r.event(pod, corev1.EventTypeWarning, o.Reason, "Killing", "%s", o.Message)
	return 0, r.report(ctx, pod, o)
}

// remove ends a Pod that is being deleted: its containers stop, its end is recorded, and then it goes.
func (r *Runner) remove(ctx context.Context, pod *corev1.Pod, found map[string]found) (time.Duration, error) {
	r.cancelPulls(string(pod.UID))
	if !r.stop(pod, found, grace(pod)) {
		return lookAgain, nil
	}
	if !over(pod) {
		o := podrunner.Observation{HostIP: r.NodeAddress, Now: r.Now()}
		if err := r.observe(ctx, pod, &o); err != nil {
			return 0, err
		}
		status := podrunner.Status(pod, o)
		if status.Phase != corev1.PodSucceeded && status.Phase != corev1.PodFailed {
			o.Reason, o.Message = "Deleted", "the Pod was deleted before it ended"
		}
		if err := r.report(ctx, pod, o); err != nil {
			return 0, err
		}
	}
	none, uid := int64(0), pod.UID
	err := r.kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name,
		metav1.DeleteOptions{GracePeriodSeconds: &none, Preconditions: &metav1.Preconditions{UID: &uid}})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return 0, nil
	}
	return 0, err
}

func grace(pod *corev1.Pod) time.Duration {
	seconds := int64(30)
	if pod.Spec.TerminationGracePeriodSeconds != nil {
		seconds = *pod.Spec.TerminationGracePeriodSeconds
	}
	if pod.DeletionGracePeriodSeconds != nil {
		seconds = *pod.DeletionGracePeriodSeconds
	}
	return time.Duration(seconds) * time.Second
}

// report writes the Pod's status if it changed. The Pod must still be the same one.
func (r *Runner) report(ctx context.Context, pod *corev1.Pod, o podrunner.Observation) error {
	for range 5 {
		live, err := r.kube.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && live.UID != pod.UID {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read before writing the status: %w", err)
		}
		if over(live) {
			return nil
		}
		status := podrunner.Status(live, o)
		if equality.Semantic.DeepEqual(status, live.Status) {
			return nil
		}
		live.Status = status
		_, err = r.kube.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, live, metav1.UpdateOptions{})
		if !apierrors.IsConflict(err) {
			if err != nil {
				return fmt.Errorf("write the status: %w", err)
			}
			return nil
		}
	}
	return fmt.Errorf("the status of Pod %s/%s is changed by others all the time", pod.Namespace, pod.Name)
}

// remembered is what the status says of containers while the engine cannot be asked.
func remembered(pod *corev1.Pod, reason, message string) map[string]corev1.ContainerStatus {
	all := map[string]corev1.ContainerStatus{}
	for _, s := range append(append([]corev1.ContainerStatus{}, pod.Status.InitContainerStatuses...), pod.Status.ContainerStatuses...) {
		if s.ContainerID != "" {
			all[s.Name] = s
		}
	}
	for _, c := range append(append([]corev1.Container{}, pod.Spec.InitContainers...), pod.Spec.Containers...) {
		if _, known := all[c.Name]; !known {
			all[c.Name] = corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}
		}
	}
	return all
}
