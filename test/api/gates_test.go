// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/standalone/install"
	"github.com/slipway-dev/slipway/test/env"
)

func TestWindowsRefuseBadInputAtTheDoor(t *testing.T) {
	good := func() *v1alpha1.Window {
		return &v1alpha1.Window{Schedule: "0 10 * * MON-FRI", Duration: metav1.Duration{Duration: time.Hour}}
	}
	for name, c := range map[string]struct {
		change func(*v1alpha1.Windows, *v1alpha1.Window)
		says   string // empty: it is good
	}{
		"good":              {func(*v1alpha1.Windows, *v1alpha1.Window) {}, ""},
		"steps and lists":   {func(_ *v1alpha1.Windows, w *v1alpha1.Window) { w.Schedule = "*/5 0-23/2 1,15 JAN,6 ?" }, ""},
		"none":              {func(s *v1alpha1.Windows, w *v1alpha1.Window) { w.Schedule = ""; s.Allow = nil }, "name windows to allow or to deny"},
		"four fields":       {func(_ *v1alpha1.Windows, w *v1alpha1.Window) { w.Schedule = "0 10 * *" }, "five fields"},
		"a macro":           {func(_ *v1alpha1.Windows, w *v1alpha1.Window) { w.Schedule = "@daily" }, "five fields"},
		"a zone in front":   {func(_ *v1alpha1.Windows, w *v1alpha1.Window) { w.Schedule = "TZ=UTC 0 10 * * *" }, "five fields"},
		"no time":           {func(_ *v1alpha1.Windows, w *v1alpha1.Window) { w.Duration.Duration = time.Second }, "between 1m and 744h"},
		"a zone of its own": {func(s *v1alpha1.Windows, _ *v1alpha1.Window) { s.TimeZone = "../../etc/passwd" }, "timeZone"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			service, w := newService(env.Namespace(t), "blog"), good()
			service.Spec.Windows = &v1alpha1.Windows{Allow: []v1alpha1.Window{{}}}
			c.change(service.Spec.Windows, w)
			if service.Spec.Windows.Allow != nil {
				service.Spec.Windows.Allow[0] = *w
			}
			err := env.Client(t).Create(t.Context(), service)
			if c.says == "" {
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(service.Spec.Windows.TimeZone).To(Equal("UTC"))
			} else {
				g.Expect(err).To(MatchError(ContainSubstring(c.says)))
			}
		})
	}
}

// Who overrides a gate does so in his own name, and may; what he said stays.
func TestAnOverrideIsInOnesOwnName(t *testing.T) {
	g := NewWithT(t)
	admin, namespace := env.Client(t), env.Namespace(t)
	release := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "blog-1"}, Spec: v1alpha1.ReleaseSpec{Service: "blog", Revision: "v1"}}
	g.Expect(admin.Create(t.Context(), release)).To(Succeed())
	bind := func(name, role, user string) {
		g.Expect(admin.Create(t.Context(), &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: user}}})).To(Succeed())
	}
	bind("alice-1", "slipway-releaser", "alice@example.com")
	bind("alice-2", "slipway-overrider", "alice@example.com")
	bind("carol", "slipway-releaser", "carol")
	as := func(user string) client.Client {
		config := rest.CopyConfig(env.Config(t))
		config.Impersonate.UserName = user
		return env.ClientFor(t, config)
	}
	override := func(by string) *v1alpha1.Override {
		return &v1alpha1.Override{By: by, Reason: "hotfix", Gates: []v1alpha1.Gate{v1alpha1.GateLock}}
	}
	write := func(user string, o *v1alpha1.Override, options ...client.PatchOption) error {
		before := &v1alpha1.Release{}
		g.Expect(admin.Get(t.Context(), client.ObjectKeyFromObject(release), before)).To(Succeed())
		after := before.DeepCopy()
		after.Spec.Override = o
		return as(user).Patch(t.Context(), after, client.MergeFrom(before), options...)
	}
	g.Eventually(func() error { return write("alice@example.com", override("bob"), client.DryRunAll) }, 30*time.Second).Should( // it takes a while to be in force
		MatchError(ContainSubstring("must be your own name, alice@example.com")))
	g.Eventually(func() error { return write("carol", override("carol"), client.DryRunAll) }, 30*time.Second).Should(MatchError(ContainSubstring("takes the verb override")))
	g.Expect(write("alice@example.com", override("alice@example.com"))).To(Succeed())
	g.Expect(write("alice@example.com", nil)).To(MatchError(ContainSubstring("can't be changed or taken back")))
	other := override("alice@example.com")
	other.Reason = "no hotfix"
	g.Expect(write("alice@example.com", other)).To(MatchError(ContainSubstring("can't be changed or taken back")))

	paused := &v1alpha1.Release{}
	g.Expect(admin.Get(t.Context(), client.ObjectKeyFromObject(release), paused)).To(Succeed())
	before := paused.DeepCopy()
	paused.Spec.Paused = true
	g.Expect(as("carol").Patch(t.Context(), paused, client.MergeFrom(before))).To(Succeed(), "what another one overrode does not keep her from pausing")
	made := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "blog-2"},
		Spec: v1alpha1.ReleaseSpec{Service: "blog", Revision: "v2", Override: override("alice@example.com")}}
	g.Expect(as("carol").Create(t.Context(), made)).To(MatchError(ContainSubstring("must be your own name, carol")))
}

// A shrunken artifact is accepted in advance by those who may override, and approved by others.
func TestAllowingAShrinkTakesTheVerbOverride(t *testing.T) {
	g, namespace := NewWithT(t), env.Namespace(t)
	shrinks := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "blog-1"},
		Spec: v1alpha1.ReleaseSpec{Service: "blog", Revision: "v1", AllowShrink: true}}
	carol := as(t, "carol", "slipway-releaser")(namespace)
	g.Eventually(func() error { return carol.Create(t.Context(), shrinks.DeepCopy(), client.DryRunAll) }, 30*time.Second).Should(
		MatchError(ContainSubstring("have somebody approve the gate ShrunkenArtifact")))
	g.Expect(as(t, "alice", "slipway-releaser", "slipway-overrider")(namespace).Create(t.Context(), shrinks)).To(Succeed())
}

// as is a client of a user who may release and, if he may, approve.
func as(t *testing.T, user string, roles ...string) func(namespace string) client.Client {
	return func(namespace string) client.Client {
		g := NewWithT(t)
		for _, role := range roles {
			g.Expect(env.Client(t).Create(t.Context(), &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "who-"},
				RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
				Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: user}}})).To(Succeed())
		}
		config := rest.CopyConfig(env.Config(t))
		config.Impersonate.UserName = user
		return env.ClientFor(t, config)
	}
}

// Who approves does so in his own name, and may; what was said stays.
func TestAnApprovalIsInOnesOwnName(t *testing.T) {
	g, namespace := NewWithT(t), env.Namespace(t)
	alice, bob := as(t, "alice", "slipway-releaser")(namespace), as(t, "bob@example.com", "slipway-releaser", "slipway-approver")(namespace)
	release := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "blog-1"}, Spec: v1alpha1.ReleaseSpec{Service: "blog", Revision: "v1"}}
	g.Expect(alice.Create(t.Context(), release)).To(Succeed())
	approve := func(c client.Client, options []client.PatchOption, approvals ...v1alpha1.Approval) error {
		before := &v1alpha1.Release{}
		g.Expect(env.Client(t).Get(t.Context(), client.ObjectKeyFromObject(release), before)).To(Succeed())
		after := before.DeepCopy()
		after.Spec.Approvals = approvals
		return c.Patch(t.Context(), after, client.MergeFrom(before), options...)
	}
	dry := []client.PatchOption{client.DryRunAll}
	bobs, alices := v1alpha1.Approval{Gate: "Step-2", By: "bob@example.com", Reason: "looks well"}, v1alpha1.Approval{Gate: "Step-2", By: "alice"}
	g.Eventually(func() error { return approve(bob, dry, alices) }, 30*time.Second).Should(MatchError(ContainSubstring("must be your own name, bob@example.com")))
	g.Eventually(func() error { return approve(alice, dry, alices) }, 30*time.Second).Should(MatchError(ContainSubstring("takes the verb approve")))
	g.Expect(approve(bob, nil, bobs)).To(Succeed())
	g.Expect(approve(bob, nil)).To(MatchError(ContainSubstring("can't be changed or taken back")))
	changed := bobs
	changed.Reason = "does not look well"
	g.Expect(approve(bob, nil, changed)).To(MatchError(ContainSubstring("can't be changed or taken back")))
	g.Expect(approve(bob, nil, bobs, v1alpha1.Approval{Gate: "Step-0", By: "bob@example.com"})).To(MatchError(ContainSubstring("gate")))
	g.Expect(approve(bob, nil, bobs, v1alpha1.Approval{Gate: "Step-4", By: "bob@example.com"})).To(Succeed())
}

// The cluster says who asks, and nobody asks in another one's name.
func TestWhoAsksForARelease(t *testing.T) {
	g, namespace := NewWithT(t), env.Namespace(t)
	g.Expect(install.Requester(t.Context(), env.Config(t))).To(Succeed())
	alice, eve := as(t, "alice", "slipway-editor")(namespace), as(t, "eve", "slipway-editor")(namespace)
	asked := func(c client.Client, name, by string, options ...client.CreateOption) (string, error) {
		release := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			Spec: v1alpha1.ReleaseSpec{Service: "blog", Revision: "v1", RequestedBy: by}}
		err := c.Create(t.Context(), release, options...)
		return release.Spec.RequestedBy, err
	}
	g.Eventually(func() (string, error) { return asked(alice, "dry", "", client.DryRunAll) }, 30*time.Second).Should(Equal("alice"))
	g.Eventually(func() error { _, err := asked(eve, "dry", "alice", client.DryRunAll); return err }, 30*time.Second).Should(
		MatchError(ContainSubstring("must be your own name, eve")))
	g.Expect(asked(eve, "blog-1", "eve")).To(Equal("eve"))
	g.Expect(asked(env.Client(t), "blog-2", "carol")).To(Equal("carol"), "whoever has the verb attribute may")

	service := newService(namespace, "blog")
	service.Spec.Revision = "v1"
	g.Expect(alice.Create(t.Context(), service)).To(Succeed())
	g.Expect(service.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationRequestedBy, "alice"))
	service.Spec.Revision = "v2"
	g.Expect(eve.Update(t.Context(), service)).To(Succeed())
	g.Expect(service.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationRequestedBy, "eve"), "with alice's name still on it")
	service.Annotations[v1alpha1.AnnotationRequestedBy] = "alice"
	g.Expect(eve.Update(t.Context(), service)).To(MatchError(ContainSubstring("must be your own name, eve")))
	service.Annotations[v1alpha1.AnnotationRequestedBy] = "eve"
	g.Expect(service.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationChangedBy, "eve"))
	delete(service.Annotations, v1alpha1.AnnotationChangedBy)
	service.Spec.Lock = &v1alpha1.Lock{Reason: "incident"}
	g.Expect(alice.Update(t.Context(), service)).To(Succeed())
	g.Expect(service.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationChangedBy, "alice"), "the cluster says who locked it")
	service.Annotations[v1alpha1.AnnotationChangedBy] = "eve"
	g.Expect(alice.Update(t.Context(), service)).To(MatchError(ContainSubstring("must be your own name, alice")))
	service.Annotations[v1alpha1.AnnotationChangedBy] = "alice"
	service.Annotations["note"] = "x"
	g.Expect(alice.Update(t.Context(), service)).To(Succeed(), "what does not change may stay")
}

func TestPauses(t *testing.T) {
	for name, c := range map[string]struct {
		pause v1alpha1.RolloutPause
		good  bool
	}{
		"a while":        {v1alpha1.RolloutPause{Duration: metav1.Duration{Duration: time.Minute}}, true},
		"until approved": {v1alpha1.RolloutPause{UntilApproved: true}, true},
		"neither":        {v1alpha1.RolloutPause{}, false},
		"both":           {v1alpha1.RolloutPause{Duration: metav1.Duration{Duration: time.Minute}, UntilApproved: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			service := newService(env.Namespace(t), "blog")
			service.Spec.Rollout.Steps = []v1alpha1.RolloutStep{{Pause: &c.pause}}
			err := env.Client(t).Create(t.Context(), service)
			if c.good {
				NewWithT(t).Expect(err).NotTo(HaveOccurred())
			} else {
				NewWithT(t).Expect(err).To(MatchError(ContainSubstring("either a duration or untilApproved")))
			}
		})
	}
}
