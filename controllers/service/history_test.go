// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package service_test

import (
	"context"
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/event"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/controllers/service"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/discovery"
	"github.com/slipway-dev/slipway/internal/frozen"
	"github.com/slipway-dev/slipway/test/env"
)

func TestMain(m *testing.M) { env.Main(m) }

// start runs the controller in a namespace with the manager's own rights.
func start(t *testing.T, g *WithT, namespace string) {
	t.Helper()
	mgr, err := ctrl.NewManager(env.Manager(t), ctrl.Options{
		Scheme: env.Scheme(), Cache: cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}},
		Metrics: metricsserver.Options{BindAddress: "0"}, Controller: config.Controller{SkipNameValidation: ptr.To(true)},
	})
	g.Expect(err).NotTo(HaveOccurred())
	for _, kind := range []client.Object{&v1alpha1.Target{}, &v1alpha1.Release{}} {
		g.Expect(mgr.GetFieldIndexer().IndexField(t.Context(), kind, "spec.service", func(o client.Object) []string {
			if release, ok := o.(*v1alpha1.Release); ok {
				return []string{release.Spec.Service}
			}
			return []string{o.(*v1alpha1.Target).Spec.Service}
		})).To(Succeed())
	}
	g.Expect(service.New(service.Options{
		Client: mgr.GetClient(), Found: make(chan event.TypedGenericEvent[discovery.Account]), Clock: clock.RealClock{}, Events: mgr.GetEventRecorder("slipway-service"),
	}).SetupWithManager(mgr)).To(Succeed())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	t.Cleanup(func() { cancel(); g.Expect(<-ended).To(Succeed()) })
}

// Each changed spec.revision makes a Release. Of those that ended as many stay as revisionHistoryLimit says, and no frozen
// spec that nothing names; what a person made stays.
func TestHistoryIsBounded(t *testing.T) {
	g, c, namespace := NewWithT(t), env.Client(t), env.Namespace(t)
	blog := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "blog"}, Spec: v1alpha1.ServiceSpec{
		Source: v1alpha1.SourceSpec{Git: v1alpha1.GitSource{URL: "https://git.example.com/blog.git"}}, Build: v1alpha1.BuildSpec{Image: "php:8.3-cli"},
		SSH:    v1alpha1.SSHSpec{User: "deploy", KeySecretRef: v1alpha1.LocalReference{Name: "blog-ssh"}, HostKeys: v1alpha1.HostKeys{Policy: v1alpha1.HostKeysFirstUse}},
		Deploy: v1alpha1.DeploySpec{Path: "/var/www/blog"}, RevisionHistoryLimit: ptr.To[int32](1),
	}}
	g.Expect(c.Create(t.Context(), blog)).To(Succeed())
	person := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "mine"}, Spec: v1alpha1.ReleaseSpec{Service: "blog", Revision: "v0"}}
	g.Expect(c.Create(t.Context(), person)).To(Succeed())
	finish(t, g, c, person, blog, 1)
	start(t, g, namespace)
	for n := 1; n <= 4; n++ {
		g.Eventually(func() error {
			g.Expect(c.Get(t.Context(), client.ObjectKeyFromObject(blog), blog)).To(Succeed())
			blog.Spec.Revision = v1alpha1.Revision(fmt.Sprintf("v%d", n))
			blog.Spec.Build.Script = fmt.Sprintf("echo %d", n) // so that each has a frozen spec of its own
			return c.Update(t.Context(), blog)
		}, "30s").Should(Succeed())
		made := &v1alpha1.Release{}
		g.Eventually(func() error {
			return c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: fmt.Sprintf("blog-%d", n)}, made)
		}, "30s").Should(Succeed())
		finish(t, g, c, made, blog, int64(n+1))
	}
	g.Eventually(func() []string {
		var releases v1alpha1.ReleaseList
		g.Expect(c.List(t.Context(), &releases, client.InNamespace(namespace))).To(Succeed())
		var names []string
		for _, r := range releases.Items {
			names = append(names, r.Name)
		}
		return names
	}, "30s").Should(ConsistOf("mine", "blog-4"))
	g.Eventually(func() int {
		var specs appsv1.ControllerRevisionList
		g.Expect(c.List(t.Context(), &specs, client.InNamespace(namespace))).To(Succeed())
		return len(specs.Items)
	}, "30s").Should(Equal(2), "those of mine and blog-4")
}

// finish does what the release controller would: it freezes the Service and ends the Release.
func finish(t *testing.T, g *WithT, c client.Client, release *v1alpha1.Release, of *v1alpha1.Service, sequence int64) {
	t.Helper()
	name, err := frozen.Ensure(t.Context(), c, of, frozen.Spec(of), sequence)
	g.Expect(err).NotTo(HaveOccurred())
	before := release.DeepCopy()
	release.Status.ServiceUID, release.Status.Sequence, release.Status.Frozen = v1alpha1.UID(of.UID), sequence, name
	conditions.True(&release.Status.Conditions, 1, v1alpha1.ConditionFinished, v1alpha1.ReasonFailed, "")
	g.Expect(c.Status().Patch(t.Context(), release, client.MergeFrom(before))).To(Succeed())
}
