// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// A Service released one, two, three and four; two failed, three began an irreversible hook.
func TestWaysBack(t *testing.T) {
	record := func(sequence int64, digest string) *v1alpha1.ReleaseRecord {
		return &v1alpha1.ReleaseRecord{Sequence: sequence, Digest: digest}
	}
	history := []v1alpha1.ReleaseOutcome{
		{Sequence: 4, Digest: "four", Outcome: Succeeded}, {Sequence: 3, Digest: "three", Outcome: Succeeded},
		{Sequence: 2, Digest: "two", Outcome: Failed}, {Sequence: 1, Digest: "one", Outcome: Succeeded},
	}
	hook := &v1alpha1.IrreversibleRecord{Sequence: 3, Digest: "three"}
	for name, c := range map[string]struct {
		current, previous *v1alpha1.ReleaseRecord
		hook              *v1alpha1.IrreversibleRecord
		digest            string
		back, behind      bool
	}{
		"something new":                                      {record(4, "four"), record(3, "three"), hook, "five", false, false},
		"what is current":                                    {record(4, "four"), record(3, "three"), hook, "four", false, false},
		"back to the hook's own":                             {record(4, "four"), record(3, "three"), hook, "three", true, false},
		"back behind the hook":                               {record(4, "four"), record(3, "three"), hook, "one", true, true},
		"back without a hook":                                {record(4, "four"), record(3, "three"), nil, "one", true, false},
		"one that failed before the hook":                    {record(4, "four"), record(3, "three"), hook, "two", false, true},
		"the hook's Release failed and the current is older": {record(1, "one"), nil, hook, "one", false, true},
		"again where a person went back before":              {record(5, "one"), record(4, "four"), hook, "one", false, false},
		"previous that the history forgot":                   {record(4, "four"), record(0, "zero"), hook, "zero", true, true},
		"the first of all":                                   {nil, nil, nil, "one", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			status := &v1alpha1.ServiceStatus{Current: c.current, Previous: c.previous, Irreversible: c.hook}
			if c.current != nil {
				status.History = history
			}
			g.Expect(GoesBack(status, c.digest)).To(Equal(c.back), "back")
			g.Expect(GoesBehind(status, c.digest) != nil).To(Equal(c.behind), "behind")
		})
	}
	g := NewWithT(t)
	g.Expect(Bars(hook, record(2, "two"))).To(BeTrue())
	g.Expect(Bars(hook, record(4, "four"))).To(BeFalse(), "released after the hook")
	g.Expect(Bars(nil, record(2, "two"))).To(BeFalse())
	g.Expect(Bars(hook, nil)).To(BeFalse())
}

func TestConfirmations(t *testing.T) {
	g := NewWithT(t)
	given := []v1alpha1.Approval{
		{Gate: v1alpha1.GateIrreversible, By: "carol"}, {Gate: v1alpha1.GateIrreversible, By: "system:serviceaccount:ci:bot"},
		{Gate: "Step-1", By: "dave"}, {Gate: v1alpha1.GateIrreversible, By: "carol"},
	}
	g.Expect(Approvals{RequestedBy: "carol", Given: given}.Confirmed(v1alpha1.GateIrreversible)).To(Equal([]string{"carol"}), "who asked may confirm it himself")
	g.Expect(Approvals{Given: given[1:3]}.Confirmed(v1alpha1.GateIrreversible)).To(BeEmpty(), "a program may not")
}
