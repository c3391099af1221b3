// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package podrunner is what a kubelet and a scheduler do for build Pods where there is neither: it says which Pods can
// be run, makes the Node, binds Pods to it and derives a Pod's status. It knows no container engine.
package podrunner

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// ReasonNotSupported is the reason of a Pod that asks for what no build Pod may have or the runner cannot do.
const ReasonNotSupported = "NotSupported"

// Unsupported returns a sentence about the first thing in the Pod that the runner does not do, or "".
func Unsupported(pod *corev1.Pod) string {
	s := pod.Spec
	switch {
	case s.HostNetwork:
		return "hostNetwork is not supported: build containers have a network of their own"
	case s.HostPID:
		return "hostPID is not supported: build containers do not see the host's processes"
	case s.HostIPC:
		return "hostIPC is not supported: build containers do not share the host's memory"
	case s.ShareProcessNamespace != nil && *s.ShareProcessNamespace:
		return "shareProcessNamespace is not supported: remove it from the Pod"
	case s.RestartPolicy != corev1.RestartPolicyNever:
		return fmt.Sprintf("restartPolicy %s is not supported: use Never and let the Job make a new Pod", s.RestartPolicy)
	case len(s.EphemeralContainers) > 0:
		return "ephemeral containers are not supported"
	case s.RuntimeClassName != nil:
		return "runtimeClassName is not supported: remove it from the Pod"
	}
	if c := s.SecurityContext; c != nil {
		if len(c.Sysctls) > 0 {
			return "sysctls are not supported: remove them from the Pod"
		}
		if unsupportedSeccomp(c.SeccompProfile) {
			return "only the seccomp profile RuntimeDefault is supported"
		}
	}
	for _, v := range s.Volumes {
		switch {
		case v.EmptyDir != nil && v.EmptyDir.SizeLimit != nil:
			return fmt.Sprintf("sizeLimit of the volume %q is not supported: nothing would hold the build to it", v.Name)
		case v.EmptyDir != nil && v.EmptyDir.Medium == corev1.StorageMediumDefault, v.Secret != nil, v.ConfigMap != nil:
		case v.HostPath != nil:
			return fmt.Sprintf("volume %q is a hostPath, which is not supported: a build does not see the host's files", v.Name)
		default:
			return fmt.Sprintf("volume %q is of a kind that is not supported: use emptyDir, secret or configMap", v.Name)
		}
	}
	for _, c := range append(append([]corev1.Container{}, s.InitContainers...), s.Containers...) {
		if why := unsupportedContainer(c); why != "" {
			return fmt.Sprintf("container %q: %s", c.Name, why)
		}
	}
	return ""
}

func unsupportedContainer(c corev1.Container) string {
	if s := c.SecurityContext; s != nil {
		if s.Privileged != nil && *s.Privileged {
			return "privileged is not supported: builds never get the host's rights"
		}
		if unsupportedSeccomp(s.SeccompProfile) {
			return "only the seccomp profile RuntimeDefault is supported"
		}
	}
	switch {
	case c.RestartPolicy != nil:
		return "restartPolicy of a container (sidecars) is not supported"
	case c.LivenessProbe != nil || c.ReadinessProbe != nil || c.StartupProbe != nil:
		return "probes are not supported: a build has none"
	case c.Lifecycle != nil:
		return "lifecycle hooks are not supported"
	case len(c.VolumeDevices) > 0:
		return "volumeDevices are not supported"
	case c.Stdin || c.TTY:
		return "stdin and tty are not supported"
	}
	for _, p := range c.Ports {
		if p.HostPort != 0 {
			return "hostPort is not supported"
		}
	}
	for _, m := range c.VolumeMounts {
		if m.SubPath != "" || m.SubPathExpr != "" {
			return fmt.Sprintf("subPath of the mount %q is not supported", m.MountPath)
		}
		if m.MountPropagation != nil && *m.MountPropagation != corev1.MountPropagationNone {
			return fmt.Sprintf("mountPropagation of the mount %q is not supported", m.MountPath)
		}
	}
	for _, e := range c.Env {
		if e.ValueFrom == nil {
			continue
		}
		if e.ValueFrom.ResourceFieldRef != nil || e.ValueFrom.FileKeyRef != nil {
			return fmt.Sprintf("the source of the variable %q is not supported: use a value, secretKeyRef, configMapKeyRef or fieldRef", e.Name)
		}
		if f := e.ValueFrom.FieldRef; f != nil {
			if _, ok := field(&corev1.Pod{}, f.FieldPath); !ok {
				return fmt.Sprintf("fieldRef %q of the variable %q is not supported", f.FieldPath, e.Name)
			}
		}
	}
	for name := range c.Resources.Limits {
		if name != corev1.ResourceCPU && name != corev1.ResourceMemory && name != corev1.ResourceEphemeralStorage {
			return fmt.Sprintf("the limit of %q is not supported: there are cpu and memory", name)
		}
	}
	return ""
}

func unsupportedSeccomp(p *corev1.SeccompProfile) bool {
	return p != nil && p.Type != corev1.SeccompProfileTypeRuntimeDefault
}

func field(pod *corev1.Pod, path string) (string, bool) {
	switch path {
	case "metadata.name":
		return pod.Name, true
	case "metadata.namespace":
		return pod.Namespace, true
	case "metadata.uid":
		return string(pod.UID), true
	case "spec.nodeName":
		return pod.Spec.NodeName, true
	}
	return "", false
}
