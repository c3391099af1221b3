// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// leftover makes a container as a runner of that owner would have, and starts it.
func leftover(t *testing.T, r *Runner, owner string) (id string) {
	t.Helper()
	g := NewWithT(t)
	made, err := r.engine.ContainerCreate(t.Context(), &container.Config{Image: busybox, Cmd: []string{"sleep", "300"},
		Labels: map[string]string{labelOwner: owner, labelPodUID: "of-long-ago", labelPod: "old/old", labelContainer: "build"}},
		&container.HostConfig{NetworkMode: "none"}, nil, nil, "")
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() {
		err := r.engine.ContainerRemove(context.Background(), made.ID, container.RemoveOptions{Force: true})
		g.Expect(err == nil || cerrdefs.IsNotFound(err)).To(BeTrue(), "%v", err)
	})
	g.Expect(r.engine.ContainerStart(t.Context(), made.ID, container.StartOptions{})).To(Succeed())
	return made.ID
}

// containersOf lists the names of a Pod's containers that the engine has.
func containersOf(t *testing.T, r *Runner, pod *corev1.Pod) func() []string {
	return func() (names []string) {
		list, err := r.engine.ContainerList(t.Context(), container.ListOptions{All: true,
			Filters: filters.NewArgs(filters.Arg("label", labelPodUID+"="+string(pod.UID)))})
		if err != nil {
			return []string{err.Error()}
		}
		for _, c := range list {
			names = append(names, c.Labels[labelContainer])
		}
		return names
	}
}

// What Pods left behind goes with them, at a start and, where they are over, at a stop. What is another
// installation's, and what a Pod that is not over will need, stays.
func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	needsEngine(t)
	engine, err := newEngine("")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	state := t.TempDir()
	r := &Runner{Options: Options{NodeName: "tidy", StateDir: state}, engine: engine}
	exists := func(id string) bool {
		_, err := engine.ContainerInspect(t.Context(), id)
		return !cerrdefs.IsNotFound(err)
	}
	ours, others := leftover(t, r, r.owner()), leftover(t, r, "tidy@/another/installation")
	old := filepath.Join(state, "pods", "of-long-ago", "volumes")
	NewWithT(t).Expect(os.MkdirAll(old, 0o755)).To(Succeed())

	var ahead atomic.Int64
	now := func(o *Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	}
	stop := runner(t, "tidy", state, now)
	w := newWorld(t, "tidy")
	w.Eventually(func() bool { return exists(ours) }, "15s", "100ms").Should(BeFalse())
	w.Eventually(old).ShouldNot(BeADirectory())
	w.Expect(exists(others)).To(BeTrue())

	w.create(t, "deleted", nil)
	w.create(t, "over", nil)
	w.create(t, "runs", func(s *corev1.PodSpec) {
		s.InitContainers[1].Command = []string{"sh", "-c", "echo two >> /src/f; until test -e /src/go; do sleep 0.1; done"}
	})
	w.ends(t, "deleted", batchv1.JobComplete)
	w.ends(t, "over", batchv1.JobComplete)
	w.Eventually(w.running(t, "runs", 1), "30s", "100ms").Should(Succeed())
	deleted, over, runs := w.pod(t, "deleted")(w), w.pod(t, "over")(w), w.pod(t, "runs")(w)
	w.Expect(containersOf(t, r, deleted)()).To(ConsistOf("fetch", "build", "publish"))
	w.delete(t, "deleted")
	w.Eventually(containersOf(t, r, deleted), "15s", "100ms").Should(BeEmpty())
	w.Eventually(filepath.Join(state, "pods", string(over.UID), "volumes"), "10s").ShouldNot(BeADirectory(), "Secrets do not stay on the disk")

	stop()
	w.Expect(containersOf(t, r, over)()).To(ConsistOf("fetch", "build", "publish"), "its log may not have been read to the end")
	ours = leftover(t, r, r.owner())
	stop = runner(t, "tidy", state, now)
	w.Eventually(func() bool { return exists(ours) }, "15s", "100ms").Should(BeFalse(), "it knows the Pods")
	ahead.Store(int64(2 * logsKept))
	stop()
	w.Expect(containersOf(t, r, over)()).To(BeEmpty())
	w.Expect(containersOf(t, r, runs)()).To(ConsistOf("fetch", "build"))
	w.Expect(exists(others)).To(BeTrue())

	runner(t, "tidy", state)
	w.Eventually(func() string {
		_, err := w.log(t, over.Name)
		return fmt.Sprint(err)
	}, "15s", "100ms").Should(ContainSubstring("was removed when slipway stopped"))
	w.Expect(os.WriteFile(filepath.Join(state, "pods", string(runs.UID), "volumes", "src", "go"), nil, 0o600)).To(Succeed())
	w.ends(t, "runs", batchv1.JobComplete)
	w.Expect(w.pod(t, "runs")(w).Status.ContainerStatuses[0].State.Terminated.Message).To(Equal("one\ntwo\n"))
}
