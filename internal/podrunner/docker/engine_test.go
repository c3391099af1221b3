// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/internal/podrunner"
)

// engineProxy stands before the real engine: closed, the engine is down to whoever goes through it.
type engineProxy struct {
	socket   string
	mu       sync.Mutex
	listener net.Listener
	conns    []net.Conn
}

func newEngineProxy(t *testing.T) *engineProxy {
	t.Helper()
	p := &engineProxy{socket: filepath.Join(t.TempDir(), "docker.sock")}
	p.open(t)
	t.Cleanup(p.close)
	return p
}

func (p *engineProxy) open(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("unix", p.socket)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	p.listener = listener
	p.mu.Unlock()
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", "/var/run/docker.sock")
			if err != nil {
				_ = in.Close()
				return
			}
			p.mu.Lock()
			p.conns = append(p.conns, in, out)
			p.mu.Unlock()
			pipe := func(to, from net.Conn) { _, _ = io.Copy(to, from); _ = to.Close(); _ = from.Close() }
			go pipe(in, out)
			go pipe(out, in)
		}
	}()
}

func (p *engineProxy) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.listener.Close()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// The engine goes away and comes back: the Node and the Pods say so, nothing is built twice, and what ended meanwhile
// is seen.
func TestTheEngineGoesAndComesBack(t *testing.T) {
	t.Parallel()
	needsEngine(t)
	proxy, state := newEngineProxy(t), t.TempDir()
	runner(t, "broken", state, func(o *Options) { o.Host = "unix://" + proxy.socket })
	w := newWorld(t, "broken")
	ready := func(g Gomega) corev1.NodeCondition {
		node, err := w.kube.CoreV1().Nodes().Get(t.Context(), "broken", metav1.GetOptions{})
		g.Expect(err).NotTo(HaveOccurred())
		return node.Status.Conditions[0]
	}
	w.create(t, "before", func(s *corev1.PodSpec) {
		s.InitContainers[1].Command = []string{"sh", "-c", "echo once >> /src/f; until test -e /src/go; do sleep 0.1; done"}
	})
	w.Eventually(w.running(t, "before", 1), "30s", "100ms").Should(Succeed())

	proxy.close()
	w.Eventually(ready, "15s", "100ms").Should(SatisfyAll(HaveField("Status", corev1.ConditionFalse),
		HaveField("Reason", podrunner.ReasonEngineUnavailable), HaveField("Message", ContainSubstring(proxy.socket))))
	w.create(t, "during", nil)
	for _, name := range []string{"before", "during"} {
		w.Eventually(func(g Gomega) {
			status := w.pod(t, name)(g).Status
			g.Expect(status.Phase).To(Equal(corev1.PodPending))
			g.Expect(status.Reason).To(Equal(podrunner.ReasonEngineUnavailable))
			g.Expect(status.Message).To(HavePrefix("the container engine does not answer: "))
			g.Expect(status.ContainerStatuses[0].State.Waiting.Reason).To(Equal(podrunner.ReasonEngineUnavailable))
		}, "15s", "100ms").Should(Succeed(), name)
	}
	w.running(t, "before", 1)(w)
	file := filepath.Join(state, "pods", string(w.pod(t, "before")(w).UID), "volumes", "src", "go")
	w.Expect(os.WriteFile(file, nil, 0o600)).To(Succeed())

	proxy.open(t)
	w.Eventually(ready, "15s", "100ms").Should(HaveField("Status", corev1.ConditionTrue))
	w.ends(t, "before", batchv1.JobComplete)
	w.ends(t, "during", batchv1.JobComplete)
	pod := w.pod(t, "before")(w)
	w.Expect(pod.Status.ContainerStatuses[0].State.Terminated.Message).To(Equal("one\nonce\n"))
	w.Expect(pod.Status.Reason + pod.Status.Message).To(BeEmpty())
}
