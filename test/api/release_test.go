// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/test/env"
)

func TestReleaseIsARecord(t *testing.T) {
	for name, test := range map[string]struct {
		before v1alpha1.ReleaseSpec
		change func(*v1alpha1.ReleaseSpec)
		says   string // empty: allowed
	}{
		"another service":       {change: func(s *v1alpha1.ReleaseSpec) { s.Service = "shop" }, says: "create a new Release for the other Service"},
		"another revision":      {change: func(s *v1alpha1.ReleaseSpec) { s.Revision = "v2" }, says: "create a new Release for the other revision"},
		"a reason set late":     {change: func(s *v1alpha1.ReleaseSpec) { s.Reason = "because" }, says: "its reason can't be changed"},
		"a reason changed":      {before: v1alpha1.ReleaseSpec{Reason: "a"}, change: func(s *v1alpha1.ReleaseSpec) { s.Reason = "b" }, says: "its reason can't be changed"},
		"a reason removed":      {before: v1alpha1.ReleaseSpec{Reason: "a"}, change: func(s *v1alpha1.ReleaseSpec) { s.Reason = "" }, says: "its reason can't be changed"},
		"a requester set late":  {change: func(s *v1alpha1.ReleaseSpec) { s.RequestedBy = "me" }, says: "requestedBy can't be changed"},
		"a rebuild set late":    {change: func(s *v1alpha1.ReleaseSpec) { s.Rebuild = "1" }, says: "new value of rebuild"},
		"a shrink allowed late": {change: func(s *v1alpha1.ReleaseSpec) { s.AllowShrink = true }, says: "allow a shrunken artifact"},
		"paused":                {change: func(s *v1alpha1.ReleaseSpec) { s.Paused = true }},
		"resumed":               {before: v1alpha1.ReleaseSpec{Paused: true}, change: func(s *v1alpha1.ReleaseSpec) { s.Paused = false }},
		"aborted":               {change: func(s *v1alpha1.ReleaseSpec) { s.Abort = true }},
		"rolled back":           {change: func(s *v1alpha1.ReleaseSpec) { s.RollBack = true }},
		"rollBack taken back":   {before: v1alpha1.ReleaseSpec{RollBack: true}, change: func(s *v1alpha1.ReleaseSpec) { s.RollBack = false }, says: "stays so"},
		"abort taken back":      {before: v1alpha1.ReleaseSpec{Abort: true}, change: func(s *v1alpha1.ReleaseSpec) { s.Abort = false }, says: "stays aborted"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			release := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace(t), Name: "blog-1"}, Spec: test.before}
			release.Spec.Service, release.Spec.Revision = "blog", "v1"
			g.Expect(env.Client(t).Create(t.Context(), release)).To(Succeed())
			test.change(&release.Spec)
			err := env.Client(t).Update(t.Context(), release)
			if test.says == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(ContainSubstring(test.says)))
		})
	}
}
