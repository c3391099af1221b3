// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout_test

import (
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/controllers/rollout"
)

// A host that leaves and comes back as another machine under the same name is new, though the wave that is on record
// names its Target: it gets the last completed Release, and not the one that is held.
func TestAWaveDoesNotOrderATargetThatWasMadeAnew(t *testing.T) {
	f := newFixture(t, 2, intstr.FromInt32(1))
	v1, v2 := f.record("v1"), f.record("v2")
	f.slot(v1, nil)
	stop := f.start()
	f.Eventually(f.ready("v1"), patience).Should(Equal(2))
	stop()

	release := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: f.ns, Name: v2.Release}}
	f.Expect(f.c.Patch(t.Context(), release, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"paused":true}}`)))).To(Succeed())
	f.slot(v1, v2)
	member := f.targets()[0]
	f.service.Status.Wave = &v1alpha1.Wave{Number: f.service.Status.Wave.Number + 1, Hash: "recorded", Records: []v1alpha1.ReleaseRecord{*v2},
		Members: []v1alpha1.WaveMember{{Target: member.Name, UID: v1alpha1.UID(member.UID), Record: 0, Fence: member.Spec.Fence + 1}}}
	f.Expect(f.c.Status().Update(t.Context(), f.service, client.FieldOwner(rollout.FieldOwner))).To(Succeed())
	f.Expect(f.c.Delete(t.Context(), &member)).To(Succeed())
	f.fleet.replace(member.Spec.Host.Name)
	f.addTarget(member.Spec.Host.Name)
	f.fleet.watch()

	f.start()
	f.Eventually(f.ready("v1"), patience).Should(Equal(2))
	f.Expect(f.fleet.order()).To(Equal([]string{member.Spec.Host.Name}), "delivered to once, and with v1")
}
