// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

func (w *world) service() *v1alpha1.Service {
	var s v1alpha1.Service
	w.Expect(w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "blog"}, &s)).To(Succeed())
	return &s
}

// A Service with hosts on EC2 has user-data for them, which goes with it. Somebody else's ConfigMap is left alone.
func TestUserDataIsInAConfigMap(t *testing.T) {
	w := newWorld(t, ofGroup())
	var data corev1.ConfigMap
	w.Eventually(func() *v1alpha1.BootStatus { return w.service().Status.Boot }, patience).Should(
		HaveField("ConfigMapRef", HaveValue(HaveField("Name", "blog-boot"))))
	w.Expect(w.client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "blog-boot"}, &data)).To(Succeed())
	w.Expect(data.Data["user-data"]).To(And(HavePrefix("#cloud-boothook\n"), ContainSubstring("depot.example.com 2222"), ContainSubstring("AAAA one"), ContainSubstring("BBBB two")))
	w.Expect(metav1.IsControlledBy(&data, w.service())).To(BeTrue())

	w.stop()
	w.Expect(w.client.Delete(t.Context(), &data)).To(Succeed())
	theirs := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "blog-boot"}, Data: map[string]string{"user-data": "theirs"}}
	w.Expect(w.client.Create(t.Context(), theirs)).To(Succeed())
	w.stop = w.start()
	w.Eventually(func() string { return w.service().Status.Boot.Message }, patience).Should(ContainSubstring("is not this Service's"))
	w.Expect(w.client.Get(t.Context(), client.ObjectKeyFromObject(theirs), theirs)).To(Succeed())
	w.Expect(theirs.Data).To(HaveKeyWithValue("user-data", "theirs"))
}
