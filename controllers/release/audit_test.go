// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/audit"
)

// The Service keeps who did what to its Releases, once each, also when the Release that it was done to is gone.
func TestWhoDidWhatIsOnRecord(t *testing.T) {
	w := newWorld(t)
	w.service(2)
	w.release("blog-1", "v1")
	w.until(w.finishedAll("blog-1"))
	made := &v1alpha1.Release{}
	made.Namespace, made.Name, made.Annotations = w.namespace, "blog-2", map[string]string{v1alpha1.AnnotationChangedBy: "alice"}
	made.Spec = v1alpha1.ReleaseSpec{Service: "blog", Revision: "v2", RequestedBy: "alice", Reason: "ticket 812", Paused: true}
	w.g.Expect(w.as("alice").Create(t.Context(), made)).To(Succeed())
	w.until(w.waits("blog-2", v1alpha1.ReasonPaused))
	release := w.get("blog-2")
	before := release.DeepCopy()
	release.Annotations[v1alpha1.AnnotationChangedBy], release.Spec.Abort = "bob", true
	w.g.Expect(w.as("bob").Patch(t.Context(), release, client.MergeFrom(before))).To(Succeed())
	w.until(w.finishedAll("blog-2"))
	w.g.Expect(w.client.Delete(t.Context(), w.get("blog-2"))).To(Succeed())
	w.pass()
	var told []string
	for _, entry := range w.blog().Status.Audit {
		told = append(told, audit.Sentence(&entry))
	}
	w.g.Expect(told).To(Equal([]string{
		"bob aborted Release blog-2", "alice paused Release blog-2", "alice asked for Release blog-2 (v2): ticket 812",
		"somebody whose name is not known asked for Release blog-1 (v1)",
	}))
}
