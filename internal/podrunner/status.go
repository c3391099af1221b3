// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package podrunner

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Observation is what is known about the Pod's containers now, by their names.
type Observation struct {
	Containers map[string]corev1.ContainerStatus
	// Reason and Message end the Pod as Failed, whatever its containers did, where Reason is set.
	Reason, Message string
	// Unavailable is why nothing new is known of the containers now, or "". It does not end the Pod.
	Unavailable string
	HostIP      string
	// PodIP is the address of the container that runs now, or "": each container has one of its own, and the last stays
	// in the status.
	PodIP string
	Now   time.Time
}

// Status derives a Pod's status as a kubelet writes it. Containers that were not observed wait.
func Status(pod *corev1.Pod, o Observation) corev1.PodStatus {
	s := *pod.Status.DeepCopy()
	now := metav1.NewTime(o.Now).Rfc3339Copy()
	if s.StartTime == nil {
		s.StartTime = &now
	}
	s.ObservedGeneration = pod.Generation
	s.HostIP = o.HostIP
	if o.HostIP != "" {
		s.HostIPs = []corev1.HostIP{{IP: o.HostIP}}
	}
	if o.PodIP != "" {
		s.PodIP, s.PodIPs = o.PodIP, []corev1.PodIP{{IP: o.PodIP}}
	}
	s.QOSClass = pod.Status.QOSClass

	initialized, failed := true, ""
	s.InitContainerStatuses = nil
	for _, c := range pod.Spec.InitContainers {
		st := observed(o, c, "PodInitializing")
		if t := st.State.Terminated; t == nil || t.ExitCode != 0 {
			initialized = false
			if t != nil {
				failed = c.Name
			}
		} else {
			st.Ready = true
		}
		s.InitContainerStatuses = append(s.InitContainerStatuses, st)
	}
	reason := "ContainerCreating"
	if !initialized {
		reason = "PodInitializing"
	}
	running, ended, begun := 0, 0, false
	s.ContainerStatuses = nil
	for _, c := range pod.Spec.Containers {
		st := observed(o, c, reason)
		switch {
		case st.State.Running != nil:
			running++
			st.Ready = true
			begun = true
		case st.State.Terminated != nil:
			ended++
			begun = true
			if st.State.Terminated.ExitCode != 0 && failed == "" {
				failed = c.Name
			}
		}
		s.ContainerStatuses = append(s.ContainerStatuses, st)
	}
	switch {
	case o.Reason != "":
		s.Phase, s.Reason, s.Message = corev1.PodFailed, o.Reason, o.Message
	case failed != "" && (!initialized || ended == len(pod.Spec.Containers)):
		s.Phase = corev1.PodFailed
	case initialized && ended == len(pod.Spec.Containers):
		s.Phase = corev1.PodSucceeded
	case begun:
		s.Phase = corev1.PodRunning
	default:
		s.Phase = corev1.PodPending
	}
	if o.Reason == "" {
		s.Reason, s.Message = "", ""
		if o.Unavailable != "" {
			s.Reason, s.Message = ReasonEngineUnavailable, o.Unavailable
		}
	}
	conditions(&s, pod, initialized, running == len(pod.Spec.Containers), now)
	return s
}

func observed(o Observation, c corev1.Container, waiting string) corev1.ContainerStatus {
	st, ok := o.Containers[c.Name]
	if !ok {
		st.State.Waiting = &corev1.ContainerStateWaiting{Reason: waiting}
	}
	st.Name = c.Name
	if st.Image == "" {
		st.Image = c.Image
	}
	started := st.State.Running != nil
	st.Started = &started
	return st
}

func conditions(s *corev1.PodStatus, pod *corev1.Pod, initialized, ready bool, now metav1.Time) {
	done := s.Phase == corev1.PodSucceeded || s.Phase == corev1.PodFailed
	why := ""
	switch {
	case s.Phase == corev1.PodSucceeded:
		why, initialized = "PodCompleted", true
	case s.Phase == corev1.PodFailed:
		why = "PodFailed"
	case !ready:
		why = "ContainersNotReady"
	}
	message := ""
	if why == "ContainersNotReady" {
		var names []string
		for _, c := range s.ContainerStatuses {
			if !c.Ready {
				names = append(names, c.Name)
			}
		}
		message = fmt.Sprintf("containers with unready status: [%s]", strings.Join(names, " "))
	}
	set := func(kind corev1.PodConditionType, yes bool, reason, message string) {
		status := corev1.ConditionFalse
		if yes {
			status, reason, message = corev1.ConditionTrue, "", ""
		}
		for i := range s.Conditions {
			c := &s.Conditions[i]
			if c.Type != kind {
				continue
			}
			if c.Status != status {
				c.LastTransitionTime = now
			}
			c.Status, c.Reason, c.Message, c.ObservedGeneration = status, reason, message, pod.Generation
			return
		}
		s.Conditions = append(s.Conditions, corev1.PodCondition{Type: kind, Status: status, Reason: reason,
			Message: message, LastTransitionTime: now, ObservedGeneration: pod.Generation})
	}
	sandbox := false
	for _, c := range append(append([]corev1.ContainerStatus{}, s.InitContainerStatuses...), s.ContainerStatuses...) {
		sandbox = sandbox || c.ContainerID != ""
	}
	set(corev1.PodReadyToStartContainers, sandbox && !done, "", "")
	if initialized {
		set(corev1.PodInitialized, true, "", "")
	} else {
		set(corev1.PodInitialized, false, "ContainersNotInitialized", "init containers have not all ended well")
	}
	set(corev1.PodReady, ready && !done, why, message)
	set(corev1.ContainersReady, ready && !done, why, message)
	set(corev1.PodScheduled, true, "", "")
}
