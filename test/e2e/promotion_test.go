// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// Production gets the bytes that staging ran, of a build that never gives the same ones twice.
func TestProductionGetsWhatStagingRan(t *testing.T) {
	w, g := shared, NewWithT(t)
	r := newRepository(t)
	r.commit("v1", map[string]string{"index.html": "one\n"})
	const script = "head -c 32 /dev/urandom | base64 > built.txt; ln -s index.html link; chmod +x built.txt"
	w.service(t, "staging", r, script)
	w.service(t, "production", r, script)
	release := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "production-1"}, Spec: v1alpha1.ReleaseSpec{
		Service: "production", Revision: "v1", Requires: &v1alpha1.Requirement{Service: "staging", Bake: metav1.Duration{Duration: 5 * time.Second}}}}
	g.Expect(w.client.Create(t.Context(), release)).To(Succeed())
	w.release(t, "staging-1", "staging", "v1")
	staged := w.succeeded(t, "staging-1")
	promoted := w.succeeded(t, "production-1")
	g.Expect(promoted.Status.Artifact).To(SatisfyAll(HaveField("Digest", staged.Status.Artifact.Digest), HaveField("PromotedFrom", "staging/staging-1")))
	g.Expect(promoted.Status.CompletionTime.Sub(staged.Status.CompletionTime.Time)).To(BeNumerically(">=", 5*time.Second))
	g.Expect(w.jobs(t, "production")).To(BeZero())
	ran, err := os.ReadFile(w.onHost(0, "srv/www/staging/current/built.txt"))
	g.Expect(err).NotTo(HaveOccurred())
	w.live(t, "production", "built.txt", string(ran))
}
