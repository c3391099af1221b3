// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	corev1 "k8s.io/api/core/v1"

	"github.com/slipway-dev/slipway/internal/standalone/controlplane"
	"github.com/slipway-dev/slipway/test/env"
)

// kubectl is the real command, which speaks to the test's control plane.
func (w world) kubectl(t *testing.T) func(args ...string) *exec.Cmd {
	t.Helper()
	binaries, err := controlplane.FindBinaries("")
	w.Expect(err).NotTo(HaveOccurred())
	content, err := controlplane.Kubeconfig(env.Config(t))
	w.Expect(err).NotTo(HaveOccurred())
	file := filepath.Join(t.TempDir(), "kubeconfig")
	w.Expect(os.WriteFile(file, content, 0o600)).To(Succeed())
	return func(args ...string) *exec.Cmd {
		command := exec.CommandContext(t.Context(), filepath.Join(binaries, "kubectl"), args...)
		command.Env = append(os.Environ(), "KUBECONFIG="+file)
		command.Args = append(command.Args, "--namespace", w.namespace)
		return command
	}
}

// What people type at builds does what it does on a cluster.
func TestKubectl(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	runner(t, "typed", state)
	w := newWorld(t, "typed")
	kubectl := w.kubectl(t)
	w.create(t, "hello", func(s *corev1.PodSpec) {
		s.InitContainers[1].Command = []string{"sh", "-c", "echo begun; until test -e /src/go; do sleep 0.1; done; echo ended"}
	})
	w.Eventually(w.running(t, "hello", 1), "30s", "100ms").Should(Succeed())

	follow := kubectl("logs", "--follow", "job/hello", "--container", "build")
	text := gbytes.NewBuffer()
	follow.Stdout, follow.Stderr = text, text
	w.Expect(follow.Start()).To(Succeed())
	w.Eventually(text, "15s").Should(gbytes.Say("begun\n"))
	out, err := kubectl("get", "jobs,pods").CombinedOutput()
	w.Expect(err).NotTo(HaveOccurred(), string(out))
	w.Expect(string(out)).To(And(MatchRegexp(`job.batch/hello +Running +0/1`), MatchRegexp(`pod/hello-\w+ +0/1 +Init:1/2`)))

	pod := w.pod(t, "hello")(w)
	w.Expect(os.WriteFile(filepath.Join(state, "pods", string(pod.UID), "volumes", "src", "go"), nil, 0o600)).To(Succeed())
	w.Expect(follow.Wait()).To(Succeed())
	w.Expect(text).To(gbytes.Say("ended\n"))
	out, err = kubectl("wait", "--for=condition=complete", "job/hello", "--timeout=30s").CombinedOutput()
	w.Expect(err).NotTo(HaveOccurred(), string(out))
	w.Expect(string(out)).To(Equal("job.batch/hello condition met\n"))
	out, err = kubectl("get", "jobs,pods").CombinedOutput()
	w.Expect(err).NotTo(HaveOccurred(), string(out))
	w.Expect(string(out)).To(And(MatchRegexp(`job.batch/hello +Complete +1/1`), MatchRegexp(`pod/hello-\w+ +0/1 +Completed`)))
	out, err = kubectl("logs", "job/hello", "--container", "publish").CombinedOutput()
	w.Expect(err).NotTo(HaveOccurred(), string(out))
	w.Expect(string(out)).To(Equal("one\n"))
}
