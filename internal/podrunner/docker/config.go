// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/mount"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/slipway-dev/slipway/internal/podrunner"
)

const (
	// A build that forks without end is stopped by this many processes.
	maxProcesses = 4096
	// The engine keeps at most this much of a container's output, as JSON, in one file: where it turns to another, it gives lines
	// twice to who follows the log, and loses some for who reads more slowly than the build writes (seen with version 20.10).
	logFileSize, logFiles = "1g", "1"

	defaultTerminationPath = "/dev/termination-log"
	containerCABundle      = "/etc/ssl/certs/ca-certificates.crt"
)

// objects reads what Pods name past any cache: the node may get what its Pods name and list nothing.
type objects struct{ kube kubernetes.Interface }

func (o objects) Secret(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	return o.kube.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
}

func (o objects) ConfigMap(ctx context.Context, namespace, name string) (*corev1.ConfigMap, error) {
	return o.kube.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
}

// config is the container as the engine wants it said.
func (r *Runner) config(ctx context.Context, pod *corev1.Pod, c corev1.Container, in image.InspectResponse) (*container.Config, *container.HostConfig, error) {
	env, command, args, err := podrunner.Environment(ctx, objects{r.kube}, pod, c)
	if err != nil {
		return nil, nil, err
	}
	user, err := user(pod, c, in)
	if err != nil {
		return nil, nil, err
	}
	mounts, err := r.mounts(pod, c)
	if err != nil {
		return nil, nil, err
	}
	config := &container.Config{
		Hostname: pod.Name[:min(len(pod.Name), 63)], Image: in.ID, Env: env, Cmd: args, User: user, WorkingDir: c.WorkingDir,
		Labels: map[string]string{labelOwner: r.owner(), labelPodUID: string(pod.UID),
			labelPod: pod.Namespace + "/" + pod.Name, labelContainer: c.Name},
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
	}
	if len(command) > 0 {
		config.Entrypoint = command
	}
	processes := int64(maxProcesses)
	host := &container.HostConfig{
		NetworkMode: container.NetworkMode(r.Network), DNS: r.DNS, Mounts: mounts,
		LogConfig: container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": logFileSize, "max-file": logFiles}},
		Resources: container.Resources{PidsLimit: &processes},
	}
	if pod.Spec.SecurityContext != nil {
		for _, g := range pod.Spec.SecurityContext.SupplementalGroups {
			host.GroupAdd = append(host.GroupAdd, strconv.FormatInt(g, 10))
		}
		if g := pod.Spec.SecurityContext.FSGroup; g != nil {
			host.GroupAdd = append(host.GroupAdd, strconv.FormatInt(*g, 10))
		}
	}
	for _, a := range pod.Spec.HostAliases {
		for _, name := range a.Hostnames {
			host.ExtraHosts = append(host.ExtraHosts, name+":"+a.IP)
		}
	}
	if s := c.SecurityContext; s != nil {
		if s.Capabilities != nil {
			for _, d := range s.Capabilities.Drop {
				host.CapDrop = append(host.CapDrop, string(d))
			}
			for _, a := range s.Capabilities.Add {
				host.CapAdd = append(host.CapAdd, string(a))
			}
		}
		if s.AllowPrivilegeEscalation != nil && !*s.AllowPrivilegeEscalation {
			host.SecurityOpt = append(host.SecurityOpt, "no-new-privileges")
		}
		host.ReadonlyRootfs = s.ReadOnlyRootFilesystem != nil && *s.ReadOnlyRootFilesystem
	}
	if limit, ok := c.Resources.Limits[corev1.ResourceMemory]; ok {
		host.Memory, host.MemorySwap = limit.Value(), limit.Value()
	}
	if limit, ok := c.Resources.Limits[corev1.ResourceCPU]; ok {
		host.NanoCPUs = limit.MilliValue() * 1_000_000
	}
	if request, ok := c.Resources.Requests[corev1.ResourceCPU]; ok {
		host.CPUShares = max(2, request.MilliValue()*1024/1000)
	}
	return config, host, nil
}

func (r *Runner) mounts(pod *corev1.Pod, c corev1.Container) ([]mount.Mount, error) {
	var all []mount.Mount
	for _, m := range c.VolumeMounts {
		all = append(all, mount.Mount{Type: mount.TypeBind, Source: filepath.Join(r.volumes(pod), m.Name), Target: m.MountPath, ReadOnly: m.ReadOnly || readOnly(pod, m.Name)})
	}
	path := c.TerminationMessagePath
	if path == "" {
		path = defaultTerminationPath
	}
	file := r.termination(pod, c.Name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Chmod(0o666); err != nil {
		return nil, err
	}
	all = append(all, mount.Mount{Type: mount.TypeBind, Source: file, Target: path})
	if r.HostCABundle != "" {
		all = append(all, mount.Mount{Type: mount.TypeBind, Source: r.HostCABundle, Target: containerCABundle, ReadOnly: true})
	}
	return all, nil
}

// readOnly: what the API server holds is never written to through a mount.
func readOnly(pod *corev1.Pod, volume string) bool {
	for _, v := range pod.Spec.Volumes {
		if v.Name == volume {
			return v.EmptyDir == nil
		}
	}
	return false
}

// user is who the container runs as: its own securityContext, else the Pod's, else the image's.
func user(pod *corev1.Pod, c corev1.Container, in image.InspectResponse) (string, error) {
	var uid, gid *int64
	var nonRoot *bool
	if s := pod.Spec.SecurityContext; s != nil {
		uid, gid, nonRoot = s.RunAsUser, s.RunAsGroup, s.RunAsNonRoot
	}
	if s := c.SecurityContext; s != nil {
		if s.RunAsUser != nil {
			uid = s.RunAsUser
		}
		if s.RunAsGroup != nil {
			gid = s.RunAsGroup
		}
		if s.RunAsNonRoot != nil {
			nonRoot = s.RunAsNonRoot
		}
	}
	name := ""
	if in.Config != nil {
		name = in.Config.User
	}
	if uid != nil {
		name = strconv.FormatInt(*uid, 10)
	}
	if nonRoot != nil && *nonRoot {
		plain, _, _ := strings.Cut(name, ":")
		n, err := strconv.ParseInt(plain, 10, 64)
		switch {
		case plain == "" || plain == "root" || err == nil && n == 0:
			return "", errors.New("container has runAsNonRoot and would run as root: set runAsUser")
		case err != nil:
			return "", fmt.Errorf("container has runAsNonRoot and image has non-numeric user (%s): set runAsUser", plain)
		}
	}
	if gid != nil {
		plain, _, _ := strings.Cut(name, ":")
		if plain == "" {
			plain = "0"
		}
		name = plain + ":" + strconv.FormatInt(*gid, 10)
	}
	return name, nil
}
