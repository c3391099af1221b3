// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// hangingRegistry takes requests for images and never answers them. asked counts them.
func hangingRegistry(t *testing.T) (address string, asked *atomic.Int32) {
	t.Helper()
	asked = &atomic.Int32{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		asked.Add(1)
		<-r.Context().Done()
	}))
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return strings.TrimPrefix(server.URL, "http://"), asked
}

// More Pods than there are workers wait for a registry that hangs: another Pod runs all the same, and a Pod that is
// deleted in mid-pull goes at once.
func TestAHangingRegistryHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	runner(t, "pulling", t.TempDir())
	w := newWorld(t, "pulling")
	registry, asked := hangingRegistry(t)
	for i := range workers + 1 {
		w.create(t, fmt.Sprintf("pulls-%d", i), func(s *corev1.PodSpec) { s.InitContainers[0].Image = fmt.Sprintf("%s/slow:%d", registry, i) })
	}
	w.Eventually(asked.Load, "30s", "100ms").Should(BeNumerically(">", workers))
	w.create(t, "quick", nil)
	w.ends(t, "quick", batchv1.JobComplete)
	waiting := w.pod(t, "pulls-0")(w).Status.InitContainerStatuses[0].State.Waiting
	w.Expect(waiting).NotTo(BeNil())
	w.Expect(waiting.Message).To(Equal(fmt.Sprintf("pulling image %q", registry+"/slow:0")))

	for i := range workers + 1 {
		w.delete(t, fmt.Sprintf("pulls-%d", i))
	}
	for i := range workers + 1 {
		w.gone(t, fmt.Sprintf("pulls-%d", i), "10s")
	}
}

// More Pods than there are workers do not heed SIGTERM and have ten minutes of grace: another Pod runs all the same,
// and deleting one again with less grace ends it.
func TestASlowStopHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	runner(t, "stopping", t.TempDir())
	w := newWorld(t, "stopping")
	names := make([]string, workers+1)
	for i := range names {
		names[i] = fmt.Sprintf("deaf-%d", i)
		w.create(t, names[i], func(s *corev1.PodSpec) {
			tenMinutes := int64(600)
			s.TerminationGracePeriodSeconds = &tenMinutes
			s.InitContainers = s.InitContainers[:1]
			s.InitContainers[0].Command = []string{"sh", "-c", "trap '' TERM; while :; do sleep 1; done"}
		})
	}
	pods := map[string]string{}
	for _, name := range names {
		w.Eventually(w.running(t, name, 0), "30s", "100ms").Should(Succeed())
		pods[name] = w.pod(t, name)(w).Name
		w.delete(t, name)
	}
	w.Eventually(func(g Gomega) {
		for _, name := range names {
			g.Expect(w.pod(t, name)(g).DeletionTimestamp).NotTo(BeNil())
		}
	}, "20s", "100ms").Should(Succeed())
	w.create(t, "quick", nil)
	w.ends(t, "quick", batchv1.JobComplete)
	for _, name := range names {
		w.running(t, name, 0)(w)
	}
	second := int64(1)
	for _, pod := range pods {
		w.Expect(w.kube.CoreV1().Pods(w.namespace).Delete(t.Context(), pod, metav1.DeleteOptions{GracePeriodSeconds: &second})).To(Succeed())
	}
	for _, name := range names {
		w.gone(t, name, "20s")
	}
}
