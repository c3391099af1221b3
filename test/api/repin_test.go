// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/test/env"
)

// Who consents to another host key does so in his own name, and may.
func TestRepinIsInOnesOwnName(t *testing.T) {
	g := NewWithT(t)
	admin, namespace := env.Client(t), env.Namespace(t)
	target := &v1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "blog-web-1"}, Spec: v1alpha1.TargetSpec{
		Service: "blog", ServiceUID: "uid", Host: v1alpha1.TargetHost{ID: "web-1", Name: "web-1", Address: "192.0.2.1", Port: 22},
	}}
	g.Expect(admin.Create(t.Context(), target)).To(Succeed())
	g.Expect(admin.Create(t.Context(), &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "patch"},
		Rules: []rbacv1.PolicyRule{{APIGroups: []string{"slipway.dev"}, Resources: []string{"targets"}, Verbs: []string{"get", "patch"}}}})).To(Succeed())
	bind := func(name, kind, role, user string) {
		g.Expect(admin.Create(t.Context(), &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: role},
			Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: user}}})).To(Succeed())
	}
	bind("alice", "ClusterRole", "slipway-host-admin", "alice@example.com")
	bind("carol", "Role", "patch", "carol")
	write := func(user, text string) error {
		config := rest.CopyConfig(env.Config(t))
		config.Impersonate.UserName = user
		as := env.ClientFor(t, config)
		before := &v1alpha1.Target{}
		if err := as.Get(t.Context(), client.ObjectKeyFromObject(target), before); err != nil {
			return err
		}
		after := before.DeepCopy()
		after.Annotations = map[string]string{v1alpha1.AnnotationRepin: text, "note": text}
		return as.Patch(t.Context(), after, client.MergeFrom(before))
	}
	key := "SHA256:" + strings.Repeat("a", 43)
	g.Eventually(func() error { return write("alice@example.com", "bob "+key) }, 30*time.Second).Should( // it takes a while to be in force
		MatchError(ContainSubstring("must begin with your own name, alice@example.com")))
	g.Expect(write("alice@example.com", "alice@example.com "+key+" its disk was restored")).To(Succeed())
	g.Expect(write("alice@example.com", "alice@example.com MD5:aa")).To(MatchError(ContainSubstring("USER SHA256:FINGERPRINT REASON")))
	g.Expect(write("carol", "carol "+key)).To(MatchError(ContainSubstring("takes the verb repin")))
	g.Expect(write("carol", "alice@example.com "+key+" its disk was restored")).To(Succeed(), "what was said before stays")
	g.Expect(write("carol", "")).To(Succeed(), "to take it back")
}
