// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"context"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
)

// asks makes a Release that only asks, and waits for the answer.
func (w *world) asks(name, revision string, change ...func(*v1alpha1.ReleaseSpec)) *v1alpha1.ReleasePlan {
	release := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name, Annotations: map[string]string{v1alpha1.AnnotationDryRun: "true"}},
		Spec: v1alpha1.ReleaseSpec{Service: "blog", Revision: v1alpha1.Revision(revision)}}
	for _, c := range change {
		c(&release.Spec)
	}
	w.g.Expect(w.client.Create(w.t.Context(), release)).To(Succeed())
	w.until(func() bool { return w.get(name).Status.Plan != nil })
	return w.get(name).Status.Plan
}

// everything is all that there is in the namespace, but for Releases that only ask.
func (w *world) everything() map[string]string {
	all := map[string]string{}
	for _, list := range []client.ObjectList{&v1alpha1.ServiceList{}, &v1alpha1.TargetList{}, &v1alpha1.ReleaseList{}} {
		w.g.Expect(w.client.List(w.t.Context(), list, client.InNamespace(w.namespace))).To(Succeed())
		switch l := list.(type) {
		case *v1alpha1.ServiceList:
			for _, o := range l.Items {
				all["Service "+o.Name] = o.ResourceVersion
			}
		case *v1alpha1.TargetList:
			for _, o := range l.Items {
				all["Target "+o.Name] = o.ResourceVersion
			}
		case *v1alpha1.ReleaseList:
			for _, o := range l.Items {
				if o.Status.Plan == nil {
					all["Release "+o.Name] = o.ResourceVersion
				}
			}
		}
	}
	return all
}

// What would happen is said, and nothing happens: one write, of the question's own status.
func TestADryRunSaysWhatWouldHappen(t *testing.T) {
	w := newWorld(t)
	w.service(4)
	w.release("blog-1", "v1")
	w.until(w.finishedAll("blog-1"))
	w.pass()
	before, writes, built := w.everything(), w.writes, w.out.started

	p := w.asks("ask-1", "v2")
	w.g.Expect(w.writes-writes).To(Equal(1), "its own status")
	w.g.Expect(p).To(SatisfyAll(HaveField("Commit", HaveLen(40)), HaveField("Ref", "refs/tags/v2"), HaveField("Digest", ""), HaveField("Build", ContainSubstring("would be built in php:8.3-cli")),
		HaveField("Files", BeNil()), HaveField("Hosts", int32(4)), HaveField("Moving", int32(4)), HaveField("Batches", HaveLen(4)), HaveField("Guards", BeEmpty())))
	w.g.Expect(p.Batches[0]).To(SatisfyAll(HaveField("Names", []string{"web-0"}), HaveField("Hosts", int32(1))))
	w.g.Expect(p.Warnings).To(ContainElement(ContainSubstring("healthCheck is not set")))
	asked := w.get("ask-1")
	for kind, want := range map[string]metav1.ConditionStatus{v1alpha1.ConditionFinished: "True", v1alpha1.ConditionSucceeded: "False", v1alpha1.ConditionReady: "True"} {
		w.g.Expect(conditions.Get(asked.Status.Conditions, kind)).To(SatisfyAll(HaveField("Status", want), HaveField("Reason", v1alpha1.ReasonPlanned)), kind)
	}
	w.g.Expect(asked.Finalizers).To(BeEmpty())

	p = w.asks("ask-2", "v1")
	w.g.Expect(p.Build).To(HavePrefix("nothing would be built"))
	w.g.Expect(p.Digest).To(Equal(w.blog().Status.Current.Digest))
	w.g.Expect(*p.Files).To(Equal(v1alpha1.PlannedFiles{}))
	w.g.Expect(p.Warnings).To(ContainElement(ContainSubstring("is current already")))

	// Neither taking the annotation back nor the time makes a Release of it.
	w.g.Expect(w.client.Patch(t.Context(), w.get("ask-1"), client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"annotations":{"slipway.dev/dry-run":null}}}`)))).To(Succeed())
	for range 3 {
		w.pass()
	}
	w.g.Expect(w.everything()).To(Equal(before))
	w.g.Expect(w.out.started).To(Equal(built))
	w.g.Expect(w.jobs()).To(HaveLen(1))

	// Nor does the annotation take a Release that goes on out of the way.
	w.release("blog-2", "v2")
	w.until(func() bool { return w.get("blog-2").Status.StartTime != nil })
	w.g.Expect(w.client.Patch(t.Context(), w.get("blog-2"), client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"annotations":{"slipway.dev/dry-run":"true"}}}`)))).To(Succeed())
	w.until(w.finishedAll("blog-2"))
	w.g.Expect(w.outcome("blog-2")).To(Equal(v1alpha1.ReasonSucceeded))
	p = w.asks("ask-3", "v1")
	w.g.Expect(*p.Files).To(Equal(v1alpha1.PlannedFiles{Added: 1, Changed: 60, Bytes: 4711, AddedPaths: []string{"new.php"}}))

	w.r.Clock = clocktesting.NewFakePassiveClock(time.Now().Add(2 * time.Hour))
	w.pass()
	var left v1alpha1.ReleaseList
	w.g.Expect(w.client.List(t.Context(), &left, client.InNamespace(w.namespace))).To(Succeed())
	w.g.Expect(left.Items).To(HaveLen(2), "who asked and left it behind is tidied up after")
}

// What would hold a Release up is named.
func TestADryRunNamesTheGuards(t *testing.T) {
	w := newWorld(t)
	w.service(2)
	w.release("blog-1", "v1")
	w.until(w.finishedAll("blog-1"))
	w.out.refuse["none"] = context.DeadlineExceeded
	p := w.asks("ask-1", "none")
	w.g.Expect(p.Guards).To(ContainElement(ContainSubstring("deadline exceeded")))
	w.g.Expect(p.Batches).To(BeEmpty())
	w.g.Expect(w.ready("ask-1").Message).To(HavePrefix("it would fail"))

	w.hooked(v1alpha1.Hooks{BeforeRollout: once(true)})
	w.release("blog-2", "v2")
	w.until(w.finishedAll("blog-2"))
	w.lock("incident 42")
	p = w.asks("ask-2", "v1", func(s *v1alpha1.ReleaseSpec) { s.Paused = true })
	said := strings.Join(p.Guards, "\n")
	for _, guard := range []string{"locked by alice: incident 42", "spec.paused", "hook beforeRollout of Release blog-2, which is irreversible"} {
		w.g.Expect(said).To(ContainSubstring(guard))
	}
	p = w.asks("ask-3", "v1", func(s *v1alpha1.ReleaseSpec) { s.Requires = &v1alpha1.Requirement{Service: "staging"} })
	w.g.Expect(p.Guards).To(ContainElement(`there is no Service "staging" in this namespace (spec.requires)`))
	p = w.asks("ask-4", "v1", func(s *v1alpha1.ReleaseSpec) { s.Service = "shop" })
	w.g.Expect(p.Guards).To(HaveExactElements(HavePrefix(`there is no Service "shop"`)))
}
