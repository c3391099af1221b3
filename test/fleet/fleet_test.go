// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package fleet tests that a Service's Targets follow a fleet of EC2: a real API server, the real SDK, and a cloud on loopback.
package fleet

import (
	"context"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/controllers/service"
	"github.com/slipway-dev/slipway/internal/awstest"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/discovery"
	"github.com/slipway-dev/slipway/internal/discovery/ec2"
	"github.com/slipway-dev/slipway/test/env"
)

const patience = "60s"

// where hosts reach the depot.
var where = depot.Endpoint{Host: "depot.example.com", Port: 2222, HostCAs: []string{"ssh-ed25519 AAAA one", "ssh-ed25519 BBBB two"}}

func TestMain(m *testing.M) { env.Main(m) }

// world is a namespace with a Service whose hosts are in a cloud, and the controller that keeps it, with the manager's rights.
type world struct {
	*WithT
	t         *testing.T
	client    client.Client
	namespace string
	cloud     *awstest.Cloud
	sweeper   *ec2.Sweeper
	policy    *v1alpha1.TargetPolicy
	stop      func()
}

func newWorld(t *testing.T, source *v1alpha1.EC2Source) *world {
	t.Helper()
	w := &world{WithT: NewWithT(t), t: t, client: env.Client(t), namespace: env.Namespace(t), cloud: awstest.New()}
	t.Cleanup(w.cloud.Close)
	for _, variable := range w.cloud.Environment() {
		key, value, _ := strings.Cut(variable, "=")
		t.Setenv(key, value)
	}
	w.policy = &v1alpha1.TargetPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: w.namespace},
		Spec: v1alpha1.TargetPolicySpec{
			Namespaces: []string{w.namespace}, SSHUsers: []string{"deploy"}, PathPrefixes: []string{"/var/www"},
			EC2: []v1alpha1.EC2Permission{{Regions: []string{"ap-northeast-1"}, Tags: map[string]v1alpha1.TagValue{"Role": "blog"}}},
		},
	}
	w.Expect(w.client.Create(t.Context(), w.policy)).To(Succeed())
	w.Expect(w.client.Create(t.Context(), &v1alpha1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "blog"},
		Spec: v1alpha1.ServiceSpec{
			Source:  v1alpha1.SourceSpec{Git: v1alpha1.GitSource{URL: "https://git.example.com/blog.git"}},
			Build:   v1alpha1.BuildSpec{Image: "php:8.3-cli"},
			Targets: []v1alpha1.TargetSource{{EC2: source}},
			SSH: v1alpha1.SSHSpec{User: "deploy", KeySecretRef: v1alpha1.LocalReference{Name: "blog-ssh"},
				HostKeys: v1alpha1.HostKeys{Policy: v1alpha1.HostKeysFirstUse}},
			Deploy: v1alpha1.DeploySpec{Path: "/var/www/blog"},
		},
	})).To(Succeed())
	w.stop = w.start()
	return w
}

// start runs the controller and its sweeps until the test ends or stop is called.
func (w *world) start() (stop func()) {
	w.t.Helper()
	mgr, err := ctrl.NewManager(env.Manager(w.t), ctrl.Options{
		Scheme: env.Scheme(), Cache: cache.Options{DefaultNamespaces: map[string]cache.Config{w.namespace: {}}},
		Metrics: metricsserver.Options{BindAddress: "0"}, Controller: config.Controller{SkipNameValidation: ptr.To(true)},
	})
	w.Expect(err).NotTo(HaveOccurred())
	w.sweeper = ec2.New(ec2.Options{Period: 50 * time.Millisecond})
	w.Expect(mgr.Add(w.sweeper)).To(Succeed())
	for _, kind := range []client.Object{&v1alpha1.Target{}, &v1alpha1.Release{}} {
		w.Expect(mgr.GetFieldIndexer().IndexField(w.t.Context(), kind, "spec.service", func(o client.Object) []string {
			if target, ok := o.(*v1alpha1.Target); ok {
				return []string{target.Spec.Service}
			}
			return []string{o.(*v1alpha1.Release).Spec.Service}
		})).To(Succeed())
	}
	w.Expect(service.New(service.Options{
		Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Endpoint: func() (depot.Endpoint, error) { return where, nil }, Finder: w.sweeper, Found: w.sweeper.Found(), Clock: clock.RealClock{}, Events: mgr.GetEventRecorder("slipway-service"),
	}).SetupWithManager(mgr)).To(Succeed())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			w.Expect(<-ended).To(Succeed())
		}
	}
	w.t.Cleanup(stop)
	return stop
}

func (w *world) targets() []v1alpha1.Target {
	var list v1alpha1.TargetList
	w.Expect(w.client.List(w.t.Context(), &list, client.InNamespace(w.namespace))).To(Succeed())
	return list.Items
}

// ids of the instances that have a Target.
func (w *world) ids() []string {
	ids := []string{}
	for _, target := range w.targets() {
		ids = append(ids, target.Spec.Host.ID)
	}
	return ids
}

// condition of the Service: "Status Reason Message".
func (w *world) condition(kind string) func() string {
	return func() string {
		var s v1alpha1.Service
		w.Expect(w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "blog"}, &s)).To(Succeed())
		c := conditions.Get(s.Status.Conditions, kind)
		return string(c.Status) + " " + c.Reason + " " + c.Message
	}
}

func ofGroup() *v1alpha1.EC2Source {
	return &v1alpha1.EC2Source{Region: "ap-northeast-1", AutoScalingGroup: "blog-asg", Tags: map[string]v1alpha1.TagValue{"Role": "blog"}}
}

func (w *world) add(lifecycle string) string {
	return w.cloud.Add(awstest.Instance{Tags: map[string]string{"Role": "blog"}, Group: "blog-asg", Lifecycle: lifecycle})
}

func TestTargetsFollowTheFleet(t *testing.T) {
	w := newWorld(t, ofGroup())
	w.Eventually(w.condition("Ready"), patience).Should(HavePrefix("False NoTargets no running instance matches"), "no host is never success")

	one, two := w.add(""), w.add("")
	w.cloud.Add(awstest.Instance{Tags: map[string]string{"Role": "shop"}, Group: "shop-asg"})
	w.Eventually(w.ids, patience).Should(ConsistOf(one, two))
	three := w.add("Pending:Wait")
	w.Eventually(w.ids, patience).Should(ConsistOf(one, two, three))
	w.Eventually(func() []string {
		var seen []string
		for _, target := range w.targets() {
			w.Expect(target.Name).To(HavePrefix("blog-" + target.Spec.Host.ID + "-"))
			if i := target.Status.Instance; i != nil && i.ID == target.Spec.Host.ID && i.Account == awstest.Account && i.Zone != "" && i.Type != "" && i.LaunchTime != nil {
				seen = append(seen, i.LifecycleState)
			}
		}
		return seen
	}, patience).Should(ConsistOf("InService", "InService", "Pending:Wait"))
	w.cloud.Change(three, func(i *awstest.Instance) { i.Lifecycle = "InService" })
	w.Eventually(func() string { return w.lifecycle(three) }, patience).Should(Equal("InService"))

	w.cloud.Change(one, func(i *awstest.Instance) { i.Lifecycle = "Terminating:Wait" })
	w.Eventually(w.ids, patience).Should(ConsistOf(two, three), "what is on its way out is left alone")
	w.cloud.Terminate(one)
	w.cloud.Remove(two)
	w.Eventually(w.ids, patience).Should(ConsistOf(three))
	w.Eventually(w.condition("Discovered"), patience).Should(HavePrefix("True Succeeded"))
}

func (w *world) lifecycle(id string) string {
	for _, target := range w.targets() {
		if target.Spec.Host.ID == id && target.Status.Instance != nil {
			return target.Status.Instance.LifecycleState
		}
	}
	return ""
}

// Nobody may look any more: the hosts last known stay, also over a restart, and the Service says why.
func TestHostsAreKeptWhileNobodyMayLook(t *testing.T) {
	w := newWorld(t, ofGroup())
	one, two := w.add(""), w.add("")
	w.Eventually(w.ids, patience).Should(ConsistOf(one, two))
	w.cloud.Refuse("DescribeInstances", awstest.Denied, 0)
	w.Eventually(w.condition("Discovered"), patience).Should(And(
		HavePrefix("False DiscoveryFailed EC2 in ap-northeast-1: "), ContainSubstring("UnauthorizedOperation"), ContainSubstring("next try at "),
		HaveSuffix("the hosts last known are kept")))
	w.Expect(w.ids()).To(ConsistOf(one, two))
	w.cloud.Permit("DescribeInstances")
	w.cloud.Remove(two)
	w.Eventually(w.ids, patience).Should(ConsistOf(one))
	w.Eventually(w.condition("Discovered"), patience).Should(HavePrefix("True Succeeded"))
}

// A manager that starts while it may not look has never seen the hosts: that is no reason to let them go.
func TestHostsAreKeptOverARestartWhileNobodyMayLook(t *testing.T) {
	w := newWorld(t, ofGroup())
	one := w.add("")
	w.Eventually(w.ids, patience).Should(ConsistOf(one))
	w.cloud.Refuse("DescribeInstances", awstest.Denied, 0)
	w.stop()
	w.start()
	failed := func() bool { return strings.HasPrefix(w.condition("Discovered")(), "False DiscoveryFailed") }
	w.Eventually(failed, patience).Should(BeTrue())
	w.Consistently(w.ids, "1s", "100ms").Should(ConsistOf(one))
}

// Without a policy nothing of EC2 is touched; one that is narrowed lets hosts go.
func TestAnAdministratorsPolicyBoundsTheFleet(t *testing.T) {
	w := newWorld(t, ofGroup())
	one := w.add("")
	w.Eventually(w.ids, patience).Should(ConsistOf(one))
	narrow := w.policy.DeepCopy()
	narrow.Spec.EC2[0].Tags["Stage"] = "live"
	w.Expect(w.client.Patch(t.Context(), narrow, client.MergeFrom(w.policy))).To(Succeed())
	w.Eventually(w.ids, patience).Should(BeEmpty())
	w.Eventually(w.condition("Ready"), patience).Should(And(HavePrefix("False NotPermitted "+one+" is not permitted by any TargetPolicy"), HaveSuffix(": its tags lack Stage=live: ask an administrator")))
	w.cloud.Change(one, func(i *awstest.Instance) {
		i.Tags = map[string]string{"Role": "blog", "Stage": "live", discovery.GroupTag: "blog-asg"}
	})
	w.Eventually(w.ids, patience).Should(ConsistOf(one))

	w.Expect(w.client.Delete(t.Context(), narrow)).To(Succeed())
	w.Eventually(w.condition("Discovered"), patience).Should(HavePrefix("False NotPermitted no TargetPolicy speaks for the namespace"))
	w.Eventually(w.ids, patience).Should(BeEmpty())
}
