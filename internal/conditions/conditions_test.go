// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package conditions

import (
	"strings"
	"testing"
	"unicode/utf8"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// TestSummarizeSpeaksKstatus holds what GitOps tools wait by: Ready, and at most one of Reconciling and Stalled.
func TestSummarizeSpeaksKstatus(t *testing.T) {
	for name, test := range map[string]struct {
		state                State
		ready                metav1.ConditionStatus
		reconciling, stalled bool
	}{
		"in progress": {InProgress, metav1.ConditionUnknown, true, false},
		"current":     {Current, metav1.ConditionTrue, false, false},
		"waiting":     {Waiting, metav1.ConditionFalse, true, false},
		"stalled":     {Stalled, metav1.ConditionFalse, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var list []metav1.Condition
			for _, before := range []State{Stalled, Waiting, test.state} { // whatever was there before
				Summarize(&list, 7, before, v1alpha1.ReasonProgressing, "words")
			}
			ready := Get(list, v1alpha1.ConditionReady)
			g.Expect(ready.Status).To(Equal(test.ready))
			g.Expect(ready.ObservedGeneration).To(BeEquivalentTo(7))
			g.Expect(IsTrue(list, v1alpha1.ConditionReconciling)).To(Equal(test.reconciling))
			g.Expect(IsTrue(list, v1alpha1.ConditionStalled)).To(Equal(test.stalled))
		})
	}
}

func TestShortenKeepsValidText(t *testing.T) {
	g := NewWithT(t)
	g.Expect(Shorten("short", 10)).To(Equal("short"))
	long := Shorten(strings.Repeat("日本語", 1000), 100)
	g.Expect(len(long)).To(BeNumerically("<=", 100))
	g.Expect(utf8.ValidString(long)).To(BeTrue())
	g.Expect(long).To(HaveSuffix("…"))
	g.Expect(utf8.ValidString(Shorten("bad \xff byte", 100))).To(BeTrue())
}
