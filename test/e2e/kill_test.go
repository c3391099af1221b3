// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// killWhen ends everything as a power cut would as soon as the Release is as asked, and starts it again.
func (w *world) killWhen(t *testing.T, name string, ripe func(*v1alpha1.Release) bool) {
	t.Helper()
	g := NewWithT(t)
	g.Eventually(func(g Gomega) {
		var release v1alpha1.Release
		g.Expect(w.client.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: name}, &release)).To(Succeed())
		g.Expect(ripe(&release)).To(BeTrue(), "%+v", release.Status.Targets)
	}, 2*time.Minute, 50*time.Millisecond).Should(Succeed())
	w.kill()
	g.Expect(w.start()).To(Succeed())
}

func TestKilledInTheBuild(t *testing.T) {
	w := shared
	r := newRepository(t)
	r.commit("v1", map[string]string{"index.html": "one\n"})
	w.service(t, "killed-build", r, "sleep 8; cat index.html > built.txt")
	w.release(t, "killed-build-1", "killed-build", "v1")
	w.killWhen(t, "killed-build-1", func(r *v1alpha1.Release) bool {
		return r.Status.Build != nil && r.Status.Build.JobUID != ""
	})
	release := w.succeeded(t, "killed-build-1")
	w.live(t, "killed-build", "built.txt", "one\n")
	NewWithT(t).Expect(release.Status.Build.Attempt).To(Equal(int32(1)), "nothing is built twice")
	NewWithT(t).Expect(w.jobs(t, "killed-build")).To(Equal(1))
}

func TestKilledInTheMiddleOfARollout(t *testing.T) {
	w := shared
	r := newRepository(t)
	r.commit("v1", map[string]string{"index.html": "one\n"})
	r.commit("v2", map[string]string{"index.html": "two\n"})
	w.service(t, "killed-wave", r, "")
	w.release(t, "killed-wave-1", "killed-wave", "v1")
	w.succeeded(t, "killed-wave-1")
	w.release(t, "killed-wave-2", "killed-wave", "v2")
	w.killWhen(t, "killed-wave-2", func(r *v1alpha1.Release) bool { return r.Status.Targets.Updated >= 1 })
	for n := range w.hosts { // whole before it goes on: one release or the other
		content, err := os.ReadFile(w.onHost(n, "srv/www/killed-wave/current/index.html"))
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
		NewWithT(t).Expect(string(content)).To(Or(Equal("one\n"), Equal("two\n")))
	}
	w.succeeded(t, "killed-wave-2")
	w.live(t, "killed-wave", "index.html", "two\n")
}
