// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// Instances come and go for as long as the process lives, and no id comes twice.
func TestAHostThatLeftIsForgotten(t *testing.T) {
	g := NewWithT(t)
	r := New(Options{})
	target := &v1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "blog-i-1"}}
	r.memory.learn(target, "print", time.Unix(0, 0), lesson{known: true, after: time.Minute})
	g.Expect(r.memory.entries).To(HaveLen(1))
	r.siblingsOfDrifted().Delete(t.Context(), event.DeleteEvent{Object: target}, nil)
	g.Expect(r.memory.entries).To(BeEmpty())
}
