// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
)

// staging makes another Service that has released a revision.
func (w *world) staging(outcome, revision string, ago time.Duration) {
	service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "staging"}, Spec: w.blog().Spec}
	service.Spec.Deploy.Path = "/var/www/staging"
	w.g.Expect(w.client.Create(w.t.Context(), service)).To(Succeed())
	service.Status.History = []v1alpha1.ReleaseOutcome{{Release: "staging-1", UID: "uid", Outcome: outcome, Commit: fmt.Sprintf("%040x", []byte(revision)),
		Digest: stagingDigest, Time: &metav1.Time{Time: w.r.Clock.Now().Add(-ago)}}}
	w.g.Expect(w.client.Status().Update(w.t.Context(), service)).To(Succeed())
}

const stagingDigest = "sha256:5555555555555555555555555555555555555555555555555555555555555555"

// requires makes a Release that takes over what staging has released.
func (w *world) requires(name, revision string, bake, timeout time.Duration) {
	release := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
	release.Spec = v1alpha1.ReleaseSpec{Service: "blog", Revision: v1alpha1.Revision(revision), Requires: &v1alpha1.Requirement{
		Service: "staging", Bake: metav1.Duration{Duration: bake}, Timeout: metav1.Duration{Duration: timeout}}}
	w.g.Expect(w.client.Create(w.t.Context(), release)).To(Succeed())
}

// What staging ran is what production gets: nothing is built, and the digest is the same.
func TestAnArtifactIsPromoted(t *testing.T) {
	w := newWorld(t)
	w.service(2)
	w.requires("blog-1", "v1", time.Hour, 0)
	w.until(w.waits("blog-1", v1alpha1.ReasonAwaitingPromotion))
	w.g.Expect(w.ready("blog-1").Message).To(ContainSubstring(`no Service "staging"`))
	w.staging(v1alpha1.ReasonSucceeded, "v1", 50*time.Minute)
	w.hurry()
	w.until(func() bool { return len(w.ready("blog-1").Message) > 0 && w.ready("blog-1").Message[:7] == "Service" })
	w.g.Expect(w.ready("blog-1").Message).To(MatchRegexp("Service staging has run it for 5.* of 1h0m0s; it goes on at 20"))
	w.g.Expect(w.get("blog-1").Status.Phase).To(Equal("Held"))
	w.until(w.finishedAll("blog-1"))
	w.g.Expect(w.outcome("blog-1")).To(Equal(v1alpha1.ReasonSucceeded))
	w.g.Expect(w.get("blog-1").Status.Artifact).To(SatisfyAll(HaveField("Digest", stagingDigest), HaveField("PromotedFrom", "staging/staging-1"), HaveField("Reused", true)))
	w.g.Expect(w.out.promoted).To(HaveLen(1))
	w.g.Expect(w.out.started).To(BeZero(), "nothing was built")
	w.g.Expect(w.running()).To(Equal(map[string]int{"v1": 2}))
}

// One that waits takes nobody's place, and can be aborted; what staging did not take is refused; nobody waits for ever.
func TestAPromotionThatDoesNotCome(t *testing.T) {
	w := newWorld(t)
	w.service(1)
	w.requires("blog-1", "v1", 0, 0)
	w.until(w.waits("blog-1", v1alpha1.ReasonAwaitingPromotion))
	w.change("blog-1", func(s *v1alpha1.ReleaseSpec) { s.Abort = true })
	w.until(w.finishedAll("blog-1"))
	w.g.Expect(w.outcome("blog-1")).To(Equal(v1alpha1.ReasonAborted))

	w.staging(v1alpha1.ReasonRolledBack, "v2", time.Minute)
	w.requires("blog-2", "v2", 0, 0)
	w.until(w.finishedAll("blog-2"))
	w.g.Expect(w.outcome("blog-2")).To(Equal(v1alpha1.ReasonPromotionRefused))
	w.g.Expect(w.ready("blog-2").Message).To(ContainSubstring("Release staging-1 ended as RolledBack"))

	w.requires("blog-3", "v3", 0, time.Minute)
	w.until(w.waits("blog-3", v1alpha1.ReasonAwaitingPromotion))
	w.release("blog-4", "v4")
	w.until(w.finishedAll("blog-3", "blog-4"))
	w.g.Expect(w.outcome("blog-3")).To(Equal(v1alpha1.ReasonSuperseded))
	w.requires("blog-5", "v5", 0, time.Minute)
	w.hurry()
	w.until(w.finishedAll("blog-5"))
	w.g.Expect(w.outcome("blog-5")).To(Equal(v1alpha1.ReasonAwaitingPromotion))
	w.g.Expect(conditions.Get(w.get("blog-5").Status.Conditions, v1alpha1.ConditionFinished).Message).To(ContainSubstring("gave up after 1m0s"))
}

func TestAnArtifactThatTheDepotForgotIsNamed(t *testing.T) {
	w := newWorld(t)
	w.service(1)
	w.staging(v1alpha1.ReasonSucceeded, "v1", time.Minute)
	w.out.gone = true
	w.requires("blog-1", "v1", 0, 0)
	w.until(w.finishedAll("blog-1"))
	w.g.Expect(w.outcome("blog-1")).To(Equal(v1alpha1.ReasonPublishFailed))
	w.g.Expect(w.ready("blog-1").Message).To(ContainSubstring("Release staging-1 of Service staging any more: release it there again"))
}
