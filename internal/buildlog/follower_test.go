// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package buildlog

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/build"
)

// kept is a sink that holds one log.
type kept struct {
	mu  sync.Mutex
	log string
}

func (k *kept) WriteLog(_ context.Context, _ v1alpha1.UID, _ string, r io.Reader) error {
	data, err := io.ReadAll(r)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.log = string(data)
	return err
}

func (k *kept) text() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.log
}

func job(conditions ...batchv1.JobConditionType) *batchv1.Job {
	j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "job"}}
	for _, c := range conditions {
		j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{Type: c, Status: corev1.ConditionTrue})
	}
	return j
}

// pod has ended with one container that ran.
func pod(name string, age time.Duration) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "web", Name: name, Labels: map[string]string{batchv1.JobNameLabel: "job"},
			CreationTimestamp: metav1.NewTime(time.Unix(1_700_000_000, 0).Add(-age)),
		},
		Status: corev1.PodStatus{Phase: corev1.PodFailed, InitContainerStatuses: []corev1.ContainerStatus{
			{Name: build.FetchContainer, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}},
		}},
	}
}

func TestALogWithoutItsPodStays(t *testing.T) {
	for name, objects := range map[string]*batchv1.Job{"a complete Job": job(batchv1.JobComplete), "a failed Job": job(batchv1.JobFailed)} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			sink := &kept{log: "what the manager before kept"}
			f := New(t.Context(), fake.NewClientset(objects), sink, slog.New(slog.DiscardHandler))
			f.Ensure("web", "job", "uid", nil)
			g.Eventually(func() bool { return f.Done("web", "job") }, "5s").Should(BeTrue())
			g.Expect(sink.text()).To(Equal("what the manager before kept"))
		})
	}
}

func TestAReplacedPodIsFollowedToo(t *testing.T) {
	g := NewWithT(t)
	sink := &kept{}
	clients := fake.NewClientset(job(), pod("first", time.Minute))
	f := New(t.Context(), clients, sink, slog.New(slog.DiscardHandler))
	f.Ensure("web", "job", "uid", nil)
	g.Eventually(func() int { return strings.Count(requests(clients), "get pods/log") }, "5s").Should(Equal(1))
	g.Expect(clients.Tracker().Add(pod("second", 0))).To(Succeed())
	g.Eventually(func() int { return strings.Count(requests(clients), "get pods/log") }, "5s").Should(Equal(2))
	_, err := clients.BatchV1().Jobs("web").Update(t.Context(), job(batchv1.JobComplete), metav1.UpdateOptions{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Eventually(func() bool { return f.Done("web", "job") }, "5s").Should(BeTrue())
	g.Expect(sink.text()).To(Equal("=== fetch ===\nfake logs=== the Pod was replaced by second ===\n=== fetch ===\nfake logs"))
}

// requests lists what was asked of the API server.
func requests(clients *fake.Clientset) string {
	var out strings.Builder
	for _, a := range clients.Actions() {
		out.WriteString(a.GetVerb() + " " + a.GetResource().Resource + "/" + a.GetSubresource() + "\n")
	}
	return out.String()
}
