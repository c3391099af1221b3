// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"os"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// get reads a Service.
func (w *world) get(g Gomega, name string) *v1alpha1.Service {
	service := &v1alpha1.Service{}
	g.Expect(w.client.Get(context.Background(), client.ObjectKey{Namespace: "default", Name: name}, service)).To(Succeed())
	return service
}

// ready waits until a Service is Ready for the spec it has now.
func (w *world) ready(t *testing.T, name string) *v1alpha1.Service {
	t.Helper()
	g := NewWithT(t)
	var service *v1alpha1.Service
	g.Eventually(func(g Gomega) {
		service = w.get(g, name)
		g.Expect(service.Status.ObservedGeneration).To(Equal(service.Generation))
		g.Expect(meta.IsStatusConditionTrue(service.Status.Conditions, "Ready")).To(BeTrue(), "%+v", service.Status.Conditions)
	}, 2*time.Minute, 200*time.Millisecond).Should(Succeed())
	return service
}

// TestEtcdIsLostAndTheServicesAreAppliedAgain takes living hosts over: no host changes content, and the numbers go on.
func TestEtcdIsLostAndTheServicesAreAppliedAgain(t *testing.T) {
	w, g := shared, NewWithT(t)
	r := newRepository(t)
	r.commit("v1", map[string]string{"index.html": "one\n"})
	r.commit("v2", map[string]string{"index.html": "two\n"})
	v1 := func(s *v1alpha1.Service) { s.Spec.Revision = "v1" }
	lost := w.service(t, "lost", r, "", v1)
	w.succeeded(t, "lost-1")
	before := w.ready(t, "lost")
	type file struct {
		link string
		info os.FileInfo
	}
	look := func() []file {
		var files []file
		for n := range w.hosts {
			link, err := os.Readlink(w.onHost(n, "srv/www/lost/current"))
			g.Expect(err).NotTo(HaveOccurred())
			info, err := os.Stat(w.onHost(n, "srv/www/lost/current/index.html"))
			g.Expect(err).NotTo(HaveOccurred())
			files = append(files, file{link, info})
		}
		return files
	}
	was := look()

	g.Expect(w.lose()).To(Succeed())
	w.service(t, "lost", r, "", v1)
	g.Eventually(func(g Gomega) {
		required := meta.FindStatusCondition(w.get(g, "lost").Status.Conditions, v1alpha1.ConditionAdoptionRequired)
		g.Expect(required).NotTo(BeNil())
		g.Expect(required.Status).To(Equal(metav1.ConditionTrue))
		g.Expect(required.Message).To(ContainSubstring(string(lost.UID)), "the message says which UID to name")
	}, time.Minute, 200*time.Millisecond).Should(Succeed())
	var releases v1alpha1.ReleaseList
	g.Expect(w.client.List(t.Context(), &releases, client.InNamespace("default"))).To(Succeed())
	g.Expect(releases.Items).To(BeEmpty(), "without consent nothing is released")

	service := w.get(g, "lost")
	patch := client.MergeFrom(service.DeepCopy())
	service.Spec.Adopt = &v1alpha1.AdoptSpec{FromUID: v1alpha1.UID(lost.UID)}
	g.Expect(w.client.Patch(t.Context(), service, patch)).To(Succeed())
	after := w.ready(t, "lost")
	g.Expect(after.Status.Current.Digest).To(Equal(before.Status.Current.Digest))
	for n, now := range look() {
		g.Expect(now.link).To(Equal(was[n].link))
		g.Expect(os.SameFile(now.info, was[n].info)).To(BeTrue(), "the very same file")
	}

	w.release(t, "lost-next", "lost", "v2")
	w.succeeded(t, "lost-next")
	w.live(t, "lost", "index.html", "two\n")
	w.release(t, "lost-back", "lost", "v1")
	w.succeeded(t, "lost-back")
	w.live(t, "lost", "index.html", "one\n")
}
