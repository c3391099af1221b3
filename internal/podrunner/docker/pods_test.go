// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"testing"

	"github.com/docker/docker/api/types/container"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestState(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		state  container.State
		reason string
		code   int32
	}{
		"ended well":        {container.State{Status: "exited"}, "Completed", 0},
		"failed":            {container.State{Status: "exited", ExitCode: 7}, "Error", 7},
		"out of memory":     {container.State{Status: "exited", ExitCode: 137, OOMKilled: true}, "OOMKilled", 137},
		"a child's memory":  {container.State{Status: "exited", ExitCode: 1, OOMKilled: true}, "OOMKilled", 1},
		"could not start":   {container.State{Status: "created", ExitCode: 127, Error: "no such file"}, "StartError", 128},
		"killed by someone": {container.State{Status: "exited", ExitCode: 143}, "Error", 143},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			got := state(container.InspectResponse{ContainerJSONBase: &container.ContainerJSONBase{ID: "x", State: &c.state}})
			g.Expect(got.Terminated).NotTo(BeNil())
			g.Expect(got.Terminated.Reason).To(Equal(c.reason))
			g.Expect(got.Terminated.ExitCode).To(Equal(c.code))
			g.Expect(got.Terminated.Message).To(Equal(c.state.Error))
		})
	}
}

func ptr[T any](v T) *T { return &v }

// What a Pod's spec asks of its containers, as the containers see it.
func TestContainersAreWhatTheirPodSays(t *testing.T) {
	t.Parallel()
	runner(t, "seen", t.TempDir())
	w := newWorld(t, "seen")
	_, err := w.kube.CoreV1().Secrets(w.namespace).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"},
		StringData: map[string]string{"k": "v", "more": "x"}}, metav1.CreateOptions{})
	w.Expect(err).NotTo(HaveOccurred())
	_, err = w.kube.CoreV1().ConfigMaps(w.namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c"},
		Data: map[string]string{"k": "v"}}, metav1.CreateOptions{})
	w.Expect(err).NotTo(HaveOccurred())
	only := func(script string, change func(*corev1.PodSpec, *corev1.Container)) func(*corev1.PodSpec) {
		return func(s *corev1.PodSpec) {
			s.InitContainers = nil
			s.Containers[0].Command = []string{"sh", "-c", script}
			if change != nil {
				change(s, &s.Containers[0])
			}
		}
	}
	w.create(t, "memory", only("tail /dev/zero", func(_ *corev1.PodSpec, c *corev1.Container) {
		c.Command = []string{"tail", "/dev/zero"}
		c.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("16Mi")}
	}))
	w.create(t, "user", only(`exec > /dev/termination-log
		echo $(id -u) $(id -g) $(id -G)
		grep -E 'NoNewPrivs|CapBnd|Seccomp:' /proc/self/status | tr -s '\t\n' ' '; echo
		touch /x 2>/dev/null && echo "the root is writable"; touch /src/x && stat -c '%u %g' /src/x`, func(s *corev1.PodSpec, c *corev1.Container) {
		s.SecurityContext = &corev1.PodSecurityContext{RunAsUser: ptr[int64](1), RunAsGroup: ptr[int64](2345), FSGroup: ptr[int64](3456),
			RunAsNonRoot: ptr(true), SupplementalGroups: []int64{4567}}
		c.SecurityContext = &corev1.SecurityContext{RunAsUser: ptr[int64](1234), ReadOnlyRootFilesystem: ptr(true),
			AllowPrivilegeEscalation: ptr(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}
	}))
	w.create(t, "root", only("true", func(_ *corev1.PodSpec, c *corev1.Container) {
		c.SecurityContext = &corev1.SecurityContext{RunAsNonRoot: ptr(true)}
	}))
	w.create(t, "modes", only(`stat -L -c '%a %n' /s/* /c/* > /dev/termination-log; touch /s/new 2>/dev/null && echo writable >> /dev/termination-log; true`,
		func(s *corev1.PodSpec, c *corev1.Container) {
			s.Volumes = append(s.Volumes,
				corev1.Volume{Name: "s", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s", DefaultMode: ptr[int32](0o400),
					Items: []corev1.KeyToPath{{Key: "k", Path: "own", Mode: ptr[int32](0o440)}, {Key: "more", Path: "default"}}}}},
				corev1.Volume{Name: "c", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
					LocalObjectReference: corev1.LocalObjectReference{Name: "c"}, DefaultMode: ptr[int32](0o555)}}})
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "s", MountPath: "/s"}, corev1.VolumeMount{Name: "c", MountPath: "/c"})
		}))
	w.create(t, "last-words", only("exec >&2; echo first; echo last words; exit 3", func(_ *corev1.PodSpec, c *corev1.Container) {
		c.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
	}))
	w.create(t, "no-words", only("echo first; exit 3", nil))
	w.create(t, "well", only("echo first", func(_ *corev1.PodSpec, c *corev1.Container) {
		c.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
	}))

	ended := func(name string, kind batchv1.JobConditionType) *corev1.ContainerStateTerminated {
		w.ends(t, name, kind)
		return w.pod(t, name)(w).Status.ContainerStatuses[0].State.Terminated
	}
	w.Expect(ended("user", batchv1.JobComplete).Message).To(Equal("1234 2345 2345 3456 4567\n" +
		"CapBnd: 0000000000000000 NoNewPrivs: 1 Seccomp: 2 \n1234 3456\n"))
	w.Expect(ended("modes", batchv1.JobComplete).Message).To(Equal("400 /s/default\n440 /s/own\n555 /c/k\n"))
	w.Expect(ended("last-words", batchv1.JobFailed).Message).To(Equal("first\nlast words\n"))
	w.Expect(ended("no-words", batchv1.JobFailed).Message).To(BeEmpty())
	w.Expect(ended("well", batchv1.JobComplete).Message).To(BeEmpty())

	killed := ended("memory", batchv1.JobFailed)
	w.Expect(killed.ExitCode).To(BeEquivalentTo(137), "the limit is the container's")
	w.Expect(killed.Reason).To(Or(Equal("OOMKilled"), Equal("Error")), "engines on some kernels do not hear of it; TestState holds the rest")

	w.Eventually(func(g Gomega) {
		waiting := w.pod(t, "root")(g).Status.ContainerStatuses[0].State.Waiting
		g.Expect(waiting).NotTo(BeNil())
		g.Expect(waiting.Reason).To(Equal("CreateContainerConfigError"))
		g.Expect(waiting.Message).To(ContainSubstring("runAsNonRoot and would run as root: set runAsUser"))
	}, "15s", "100ms").Should(Succeed())

	w.Eventually(w.events(t, "last-words"), "15s", "100ms").Should(ContainElements("Pulled", "Created", "Started"))
	w.Eventually(w.events(t, "root"), "15s", "100ms").Should(ContainElements("Pulled", "Failed"))
	w.delete(t, "root")
}

// events are the reasons of the Events of a Job's Pod.
func (w world) events(t *testing.T, name string) func() ([]string, error) {
	t.Helper()
	uid := w.pod(t, name)(w).UID
	return func() (reasons []string, err error) {
		list, err := w.kube.EventsV1().Events(w.namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "regarding.uid=" + string(uid)})
		if err != nil {
			return nil, err
		}
		for _, e := range list.Items {
			reasons = append(reasons, e.Reason)
		}
		return reasons, nil
	}
}
