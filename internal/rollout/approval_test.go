// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

func TestApprovals(t *testing.T) {
	at := func(gate string, by ...string) (list []v1alpha1.Approval) {
		for _, who := range by {
			list = append(list, v1alpha1.Approval{Gate: gate, By: who})
		}
		return list
	}
	const argo = "system:serviceaccount:argocd:argocd-application-controller"
	for name, c := range map[string]struct {
		requestedBy string
		given       []v1alpha1.Approval
		missing     string
	}{
		"nobody":                          {"alice", nil, "somebody other than alice"},
		"who asked":                       {"alice", at("Step-2", "alice"), "somebody other than alice"},
		"another one":                     {"alice", at("Step-2", "bob"), ""},
		"another one, at another gate":    {"alice", at("Step-4", "bob"), "somebody other than alice"},
		"a program":                       {"alice", at("Step-2", argo), "somebody other than alice"},
		"nobody knows who asked":          {"", nil, "two people"},
		"one, and nobody knows who asked": {"", at("Step-2", "bob"), "one more person, as nobody knows which person asked for the Release and bob may have"},
		"one twice":                       {"", at("Step-2", "bob", "bob"), "one more person"},
		"two":                             {"", at("Step-2", "bob", "carol"), ""},
		"a program asked, and one":        {argo, at("Step-2", "bob"), "one more person"},
		"a program asked, and one and it": {argo, at("Step-2", "bob", argo), "one more person"},
		"a program asked, and two":        {argo, at("Step-2", "bob", "carol"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			missing := Approvals{RequestedBy: c.requestedBy, Given: c.given}.Missing(StepGate(1))
			if c.missing == "" {
				NewWithT(t).Expect(missing).To(BeEmpty())
			} else {
				NewWithT(t).Expect(missing).To(ContainSubstring(c.missing))
			}
		})
	}
}
