// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

func TestDeadline(t *testing.T) {
	g := NewWithT(t)
	began := time.Unix(1000, 0)
	left, exceeded := Deadline(began, time.Time{}, began.Add(time.Minute), 10*time.Minute)
	g.Expect(left).To(Equal(9 * time.Minute))
	g.Expect(exceeded).To(BeFalse())
	left, exceeded = Deadline(began, began.Add(5*time.Minute), began.Add(11*time.Minute), 10*time.Minute)
	g.Expect(left).To(Equal(4*time.Minute), "progress moves the deadline")
	g.Expect(exceeded).To(BeFalse())
	_, exceeded = Deadline(began, time.Time{}, began.Add(10*time.Minute), 10*time.Minute)
	g.Expect(exceeded).To(BeTrue())
}

func TestBudgetRoundsDownToAtLeastOne(t *testing.T) {
	g := NewWithT(t)
	for _, test := range []struct {
		value       intstr.IntOrString
		total, want int
	}{
		{percent("25%"), 8, 2}, {percent("25%"), 7, 1}, {percent("1%"), 3, 1}, {percent("100%"), 4, 4},
		{number(3), 2, 3}, {intstr.IntOrString{}, 8, 2}, {percent("25%"), 0, 1}, {intstr.FromString("nonsense"), 9, 1},
	} {
		g.Expect(Strategy{MaxUnavailable: test.value}.budget(test.total)).To(Equal(test.want), "%v of %d", test.value, test.total)
	}
}

func TestAWaveIsSettledOnlyWhenItsWritesAreDoneAndItsHostsToo(t *testing.T) {
	g := NewWithT(t)
	rolling := record("v2")
	target := v1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Name: "web-01"}}
	target.Spec.Fence = 1
	service := &v1alpha1.Service{}
	service.Status.Wave = NewWave(4, Plan{Members: []Member{{Target: "web-01", Record: *rolling, Fence: 2}, {Target: "gone", Record: *rolling, Fence: 7}}})
	targets := []v1alpha1.Target{target}
	g.Expect(Missing(service.Status.Wave, targets)).To(Equal([]v1alpha1.WaveMember{service.Status.Wave.Members[1]}))
	g.Expect(Unwritten(service.Status.Wave, targets)).To(Equal([]Write{{Index: 0, Record: *rolling, Fence: 2, Wave: 4}}))
	g.Expect(Settled(service, targets, rolling)).To(BeFalse(), "the order is not written")

	targets[0].Spec.Artifact, targets[0].Spec.Fence = rolling, 2
	condition(&targets[0], v1alpha1.ConditionReachable, true, time.Unix(0, 0), v1alpha1.ReasonSucceeded)
	g.Expect(Unwritten(service.Status.Wave, targets)).To(BeEmpty())
	g.Expect(Settled(service, targets, rolling)).To(BeFalse(), "the delivery is under way")
	g.Expect(Settled(service, targets, record("v3"))).To(BeTrue(), "another Release has nothing to do with it")

	targets[0].Status.Delivery = &v1alpha1.DeliveryStatus{Fence: 2, Digest: rolling.Digest, Outcome: Failed, Failures: 1}
	g.Expect(Settled(service, targets, rolling)).To(BeTrue(), "it failed")
	targets[0].Status.Delivery.Outcome = Succeeded
	g.Expect(Settled(service, targets, rolling)).To(BeTrue(), "it arrived")
}

func TestStormCountsHostsThatDrifted(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(4, number(1)).running("v1")
	w.machines["web-01"].drifted = true
	w.run(1)
	g.Expect(Storm(w.strategy, w.list())).To(BeFalse())
	w.machines["web-02"].drifted = true
	w.run(1)
	g.Expect(Storm(w.strategy, w.list())).To(BeTrue())
	g.Expect(Count(Slot{Current: record("v1")}, w.list())).To(Equal(v1alpha1.TargetCounts{Total: 4, Ready: 2, Updated: 2, Drifted: 2}))
}

func TestLabel(t *testing.T) {
	g := NewWithT(t)
	g.Expect(LabelOf("v1.4.2", "0123456789ab")).To(Equal("v1.4.2 (01234567)"))
	g.Expect(LabelOf("0123456789ab", "0123456789ab")).To(Equal("01234567"))
	g.Expect(LabelOf("main", "")).To(Equal("main"))
	g.Expect(LabelOf("", "abc")).To(Equal("abc"))
}
