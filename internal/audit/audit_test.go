// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

var noon = time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)

// Each thing that is done shows up once, whoever looks and however often.
func TestWhatWasDoneToARelease(t *testing.T) {
	g := NewWithT(t)
	release := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Name: "blog-2", UID: "uid-2"},
		Spec: v1alpha1.ReleaseSpec{Service: "blog", Revision: "v2", Reason: "ticket\n812", RequestedBy: "alice"}}
	record := []v1alpha1.AuditEntry{{Action: v1alpha1.AuditRequested, Release: "blog-2", UID: "another of this name"}}
	var told []string
	look := func() {
		due := OfRelease(record, release, noon)
		for i := range due {
			told = append(told, Sentence(&due[i]))
		}
		record = Add(record, due)
		g.Expect(OfRelease(record, release, noon)).To(BeEmpty(), "it is on record now")
	}
	by := func(name string, change func()) {
		release.Annotations = map[string]string{v1alpha1.AnnotationChangedBy: name}
		change()
		look()
	}
	look()
	by("bob", func() { release.Spec.Paused = true })
	by("carol", func() {
		release.Spec.Paused = false
		release.Spec.Approvals = []v1alpha1.Approval{{Gate: "Step-2", By: "carol", Reason: "looks well"}}
	})
	by("dave", func() { release.Spec.Paused = true })
	by("dave", func() {
		release.Spec.Approvals = append(release.Spec.Approvals, v1alpha1.Approval{Gate: "Step-2", By: "dave"}, v1alpha1.Approval{Gate: "Irreversible", By: "carol"})
		release.Spec.Override = &v1alpha1.Override{By: "dave", Reason: "hotfix", Gates: []v1alpha1.Gate{v1alpha1.GateLock, v1alpha1.GateWindow}}
	})
	by("", func() { release.Spec.RollBack = true })
	by("erin", func() { release.Spec.Abort = true })
	release.DeletionTimestamp = &metav1.Time{Time: noon}
	look()
	g.Expect(told).To(Equal([]string{
		"alice asked for Release blog-2 (v2): ticket 812",
		"bob paused Release blog-2",
		"carol approved Release blog-2 (Step-2): looks well", "carol resumed Release blog-2",
		"dave paused Release blog-2",
		"dave let through Release blog-2 (Lock, Window): hotfix", "dave approved Release blog-2 (Step-2)", "carol approved Release blog-2 (Irreversible)",
		"somebody whose name is not known rolled back Release blog-2",
		"erin aborted Release blog-2",
		"somebody whose name is not known deleted Release blog-2",
	}))
	g.Expect(record[0].Action).To(Equal(v1alpha1.AuditDeleted), "the newest comes first")
}

func TestWhatWasDoneToAService(t *testing.T) {
	g := NewWithT(t)
	service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{v1alpha1.AnnotationChangedBy: "alice"}}}
	var record []v1alpha1.AuditEntry
	var told []string
	look := func() {
		due := OfService(record, service, noon)
		for i := range due {
			told = append(told, Sentence(&due[i]))
		}
		record = Add(record, due)
		g.Expect(OfService(record, service, noon)).To(BeEmpty())
	}
	look()
	service.Spec.Lock = &v1alpha1.Lock{Reason: "incident 42"}
	look()
	service.Spec.Lock = &v1alpha1.Lock{Reason: "incident 42", Until: &metav1.Time{Time: noon}}
	look()
	record = Add(record, []v1alpha1.AuditEntry{{Action: v1alpha1.AuditLocked, UID: "of a Release"}})
	service.Spec.Lock = nil
	look()
	service.Spec.Adopt = &v1alpha1.AdoptSpec{FromUID: "uid-0"}
	look()
	service.Spec.Adopt = &v1alpha1.AdoptSpec{FromUID: "uid-1"}
	look()
	g.Expect(told).To(Equal([]string{
		"alice locked the Service: incident 42", "alice locked the Service (until 2026-11-23T03:00:00Z): incident 42", "alice unlocked the Service",
		"alice consented to take over the hosts of Service object uid-0", "alice consented to take over the hosts of Service object uid-1",
	}))
}

func TestTheRecordIsBounded(t *testing.T) {
	g := NewWithT(t)
	var record []v1alpha1.AuditEntry
	for i := range 3 * Limit {
		record = Add(record, []v1alpha1.AuditEntry{{By: fmt.Sprint(i)}})
	}
	g.Expect(record).To(HaveLen(Limit))
	g.Expect(record[0].By).To(Equal(fmt.Sprint(3*Limit - 1)))
}
