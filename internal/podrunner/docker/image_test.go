// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/image"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/slipway-dev/slipway/internal/build"
)

// newRegistry is a real registry on loopback, which the engine speaks plain HTTP with. It has lost the
// layers of the repository "torn".
func newRegistry(t *testing.T) (address string) {
	t.Helper()
	whole := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/v2/torn/blobs/") {
			http.NotFound(w, r)
			return
		}
		whole.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// pushed is the test's image in a registry, by its digest there.
func pushed(t *testing.T, address string) (reference string) {
	t.Helper()
	g := NewWithT(t)
	engine, err := newEngine("")
	g.Expect(err).NotTo(HaveOccurred())
	busy, err := tarball.Image(func() (io.ReadCloser, error) { return engine.ImageSave(t.Context(), []string{busybox}) }, nil)
	g.Expect(err).NotTo(HaveOccurred())
	tag, err := name.NewTag(address + "/busybox:1")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(remote.Write(tag, busy)).To(Succeed())
	digest, err := busy.Digest()
	g.Expect(err).NotTo(HaveOccurred())
	reference = address + "/busybox@" + digest.String()
	t.Cleanup(func() {
		_, err := engine.ImageRemove(context.Background(), reference, image.RemoveOptions{})
		g.Expect(err).NotTo(HaveOccurred())
	})
	return reference
}

// An image is pulled by digest; one that a registry does not have is asked for again, and then the Pod fails.
func TestImages(t *testing.T) {
	t.Parallel()
	runner(t, "images", t.TempDir())
	w := newWorld(t, "images")
	address := newRegistry(t)
	reference := pushed(t, address)
	w.create(t, "digest", func(s *corev1.PodSpec) {
		s.InitContainers = nil
		s.Containers[0].Image = reference
		s.Containers[0].Command = []string{"echo", "pulled"}
	})
	told, err := w.kube.CoreV1().Pods(w.namespace).Watch(t.Context(), metav1.ListOptions{LabelSelector: "job-name=absent"})
	w.Expect(err).NotTo(HaveOccurred())
	defer told.Stop()
	w.create(t, "absent", func(s *corev1.PodSpec) { s.InitContainers[1].Image = address + "/busybox:2" })

	torn, err := random.Image(1024, 1)
	w.Expect(err).NotTo(HaveOccurred())
	tag, err := name.NewTag(address + "/torn:1")
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(remote.Write(tag, torn)).To(Succeed())
	w.create(t, "torn", func(s *corev1.PodSpec) { s.InitContainers[1].Image = tag.String() })

	w.ends(t, "digest", batchv1.JobComplete)
	w.Expect(w.log(t, w.pod(t, "digest")(w).Name)).To(Equal("pulled\n"))
	w.Eventually(w.events(t, "digest"), "15s", "100ms").Should(ContainElements("Pulling", "Pulled", "Created", "Started"))

	var waited []string
	w.Eventually(func(g Gomega) {
		var e watch.Event
		g.Expect(told.ResultChan()).To(Receive(&e), "%q", waited)
		pod := e.Object.(*corev1.Pod)
		if statuses := pod.Status.InitContainerStatuses; len(statuses) > 1 && statuses[1].State.Waiting != nil {
			waited = append(waited, statuses[1].State.Waiting.Reason+": "+statuses[1].State.Waiting.Message)
		}
		g.Expect(pod.Status.Phase).To(Equal(corev1.PodFailed))
	}, "60s", "10ms").Should(Succeed())
	for _, reason := range []string{"ErrImagePull", "ImagePullBackOff"} {
		w.Expect(waited).To(ContainElement(SatisfyAll(HavePrefix(reason), ContainSubstring(address+"/busybox:2"), ContainSubstring("manifest unknown"))))
	}
	w.ends(t, "absent", batchv1.JobFailed)
	status := w.pod(t, "absent")(w).Status
	w.Expect(status.Reason).To(Equal("ErrImagePull"))
	w.Expect(status.Message).To(ContainSubstring("manifest unknown"))
	w.ends(t, "torn", batchv1.JobFailed)
	w.Expect(w.pod(t, "torn")(w).Status.Reason).To(Equal("ErrImagePull"), "the failure came when the engine had begun to answer")
	w.Eventually(w.events(t, "absent"), "15s", "100ms").Should(ContainElements("Pulling", "Failed"))
}

// What cannot be had is told apart from what cannot be had now.
func TestImageResolver(t *testing.T) {
	t.Parallel()
	needsEngine(t)
	g := NewWithT(t)
	r, err := NewImageResolver("")
	g.Expect(err).NotTo(HaveOccurred())
	address := newRegistry(t)
	reference := pushed(t, address)
	local, err := r.Resolve(t.Context(), busybox)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(local.Digest).To(HavePrefix("sha256:"))
	g.Expect(r.Resolve(t.Context(), reference)).To(Equal(local), "it is the same image")

	for _, missing := range []string{address + "/busybox:2", address + "/other:1", "UPPER:x", "a b"} {
		_, err := r.Resolve(t.Context(), missing)
		g.Expect(err).To(MatchError(build.ErrImageNotFound), missing)
		g.Expect(err).To(MatchError(ContainSubstring(missing)))
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(closed.Close()).To(Succeed())
	_, err = r.Resolve(t.Context(), closed.Addr().String()+"/busybox:1")
	g.Expect(err).To(HaveOccurred())
	g.Expect(err).NotTo(MatchError(build.ErrImageNotFound), "a registry that is down may come back")
	away, err := NewImageResolver("unix://" + t.TempDir() + "/docker.sock")
	g.Expect(err).NotTo(HaveOccurred())
	_, err = away.Resolve(t.Context(), busybox)
	g.Expect(err).To(HaveOccurred())
	g.Expect(err).NotTo(MatchError(build.ErrImageNotFound), "an engine that is down may come back")
}
