// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package scale tests that a group may be scaled in the middle of a Release: a real API server, all controllers with the
// manager's rights, the real SDK and a cloud on loopback; machines, repository and depot are in memory.
package scale

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/controllers"
	"github.com/slipway-dev/slipway/internal/awstest"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/discovery/ec2"
	"github.com/slipway-dev/slipway/test/env"
)

const patience = "60s"

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	env.Main(m)
}

// world is a Service on an Auto Scaling group, one host at a time, and all that leads it.
type world struct {
	*WithT
	t         *testing.T
	client    client.Client
	namespace string
	cloud     *awstest.Cloud
	outside   *outside
	fleet     *fleet
	stop      func()
}

func newWorld(t *testing.T, change ...func(*v1alpha1.Service)) *world {
	t.Helper()
	w := &world{
		WithT: NewWithT(t), t: t, client: env.Client(t), namespace: env.Namespace(t), cloud: awstest.New(),
		outside: &outside{builds: map[string]depot.Artifact{}}, fleet: newFleet(),
	}
	t.Cleanup(w.cloud.Close)
	for _, variable := range w.cloud.Environment() {
		key, value, _ := strings.Cut(variable, "=")
		t.Setenv(key, value)
	}
	tags := map[string]v1alpha1.TagValue{"Role": "blog"}
	for _, object := range []client.Object{
		&v1alpha1.TargetPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: w.namespace},
			Spec: v1alpha1.TargetPolicySpec{
				Namespaces: []string{w.namespace}, SSHUsers: []string{"deploy"}, PathPrefixes: []string{"/var/www"},
				EC2: []v1alpha1.EC2Permission{{Regions: []string{"ap-northeast-1"}, Tags: tags}},
			},
		},
		&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "blog-ssh"}, Type: corev1.SecretTypeSSHAuth,
			Data: map[string][]byte{corev1.SSHAuthPrivateKey: []byte("a key")},
		},
		&v1alpha1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "blog"},
			Spec: v1alpha1.ServiceSpec{
				Source:  v1alpha1.SourceSpec{Git: v1alpha1.GitSource{URL: "https://git.example.com/blog.git"}},
				Build:   v1alpha1.BuildSpec{Image: "php:8.3-cli", Script: "true"},
				Targets: []v1alpha1.TargetSource{{EC2: &v1alpha1.EC2Source{Region: "ap-northeast-1", AutoScalingGroup: "blog-asg", Tags: tags}}},
				SSH: v1alpha1.SSHSpec{User: "deploy", KeySecretRef: v1alpha1.LocalReference{Name: "blog-ssh"},
					HostKeys: v1alpha1.HostKeys{Policy: v1alpha1.HostKeysFirstUse}},
				Deploy:  v1alpha1.DeploySpec{Path: "/var/www/blog"},
				Rollout: v1alpha1.RolloutSpec{MaxUnavailable: intstr.FromInt32(1)},
			},
		},
	} {
		if service, is := object.(*v1alpha1.Service); is {
			for _, c := range change {
				c(service)
			}
		}
		w.Expect(w.client.Create(t.Context(), object)).To(Succeed())
		if policy, is := object.(*v1alpha1.TargetPolicy); is {
			t.Cleanup(func() { w.Expect(w.client.Delete(context.Background(), policy)).To(Succeed()) })
		}
	}
	w.start()
	return w
}

// start runs all controllers until the test ends or stop is called.
func (w *world) start() {
	w.t.Helper()
	mgr, err := ctrl.NewManager(env.Manager(w.t), ctrl.Options{
		Scheme: env.Scheme(), Cache: cache.Options{DefaultNamespaces: map[string]cache.Config{w.namespace: {}}},
		Metrics: metricsserver.Options{BindAddress: "0"}, Controller: config.Controller{SkipNameValidation: ptr.To(true)},
	})
	w.Expect(err).NotTo(HaveOccurred())
	sweeper := ec2.New(ec2.Options{Period: 100 * time.Millisecond})
	w.Expect(mgr.Add(sweeper)).To(Succeed())
	w.Expect(controllers.Setup(w.t.Context(), mgr, controllers.Options{
		Depot: w.outside, Finder: sweeper, Found: sweeper.Found(), AutoScaling: sweeper, MaxAbandons: 2, Delivery: w.fleet,
		Endpoint:       func() (depot.Endpoint, error) { return depot.Endpoint{Host: "depot", Port: 2222}, nil },
		PullCredential: func(v1alpha1.UID, string, time.Duration) ([]byte, []byte, error) { return nil, nil, nil },
		Resolver:       repository{w.outside}, Images: registry{}, BuildLogs: logs{}, SlipwayImage: "slipway:test", OwnerID: "here",
		BuildCredential: func(depot.BuildGrant, time.Duration) ([]byte, []byte, error) { return []byte("k"), []byte("c"), nil },
		Clock:           clock.RealClock{},
	})).To(Succeed())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	w.stop = sync.OnceFunc(func() { cancel(); w.Expect(<-ended).To(Succeed()) })
	w.t.Cleanup(w.stop)
}

// until waits for a condition; what build Pods would do is done meanwhile.
func (w *world) until(what func() any, matcher types.GomegaMatcher, description ...any) {
	w.t.Helper()
	w.Eventually(func() any { w.runJobs(); return what() }, patience, "100ms").Should(matcher, description...)
}

// launch starts instances of the group.
func (w *world) launch(n int) (ids []string) {
	for range n {
		ids = append(ids, w.cloud.Add(awstest.Instance{Tags: map[string]string{"Role": "blog"}, Group: "blog-asg"}))
	}
	return ids
}

// boot starts an instance that ran the delivery by itself before anybody saw it, and runs what another host runs.
func (w *world) boot(like string) string {
	const id = "i-0b007ed0000000001"
	w.fleet.copy(id, like)
	return w.cloud.Add(awstest.Instance{ID: id, Tags: map[string]string{"Role": "blog"}, Group: "blog-asg"})
}

// terminate ends instances, whatever is under way on them.
func (w *world) terminate(ids ...string) {
	for _, id := range ids {
		w.fleet.end(id)
		w.cloud.Terminate(id)
	}
}

func (w *world) release(name, revision string) {
	w.Expect(w.client.Create(w.t.Context(), &v1alpha1.Release{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec:       v1alpha1.ReleaseSpec{Service: "blog", Revision: v1alpha1.Revision(revision)},
	})).To(Succeed())
}

func (w *world) get(name string) *v1alpha1.Release {
	release := &v1alpha1.Release{}
	w.Expect(w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, release)).To(Succeed())
	return release
}

// succeeded is how a Release ended: its reason.
func (w *world) succeeded(name string) func() any {
	return func() any {
		return conditions.Get(w.get(name).Status.Conditions, v1alpha1.ConditionSucceeded).Reason
	}
}

// reason for which a Release is as it is.
func (w *world) reason(name string) func() any {
	return func() any { return conditions.Get(w.get(name).Status.Conditions, v1alpha1.ConditionReady).Reason }
}

// counts of a Release.
func (w *world) counts(name string) func() any {
	return func() any { return w.get(name).Status.Targets }
}

// targets are the hosts that have a Target, each with what it runs, "!" for one that is not Ready.
func (w *world) targets() any {
	var list v1alpha1.TargetList
	w.Expect(w.client.List(w.t.Context(), &list, client.InNamespace(w.namespace))).To(Succeed())
	hosts := map[string]string{}
	for i := range list.Items {
		target, text := &list.Items[i], ""
		if target.Status.Running != nil {
			text, _, _ = strings.Cut(target.Status.Running.Label, " ")
		}
		if !conditions.IsTrue(target.Status.Conditions, v1alpha1.ConditionReady) || target.Status.ObservedGeneration != target.Generation {
			text += "!"
		}
		hosts[target.Spec.Host.ID] = text
	}
	return hosts
}

// runJobs does what the Job controller and build Pods do, unless builds are held.
func (w *world) runJobs() {
	if w.outside.holds("Build") {
		return
	}
	var jobs batchv1.JobList
	w.Expect(w.client.List(w.t.Context(), &jobs, client.InNamespace(w.namespace))).To(Succeed())
	for i := range jobs.Items {
		job := &jobs.Items[i]
		release := w.get(job.Labels[v1alpha1.LabelRelease])
		if len(job.Status.Conditions) > 0 || release.Status.Build == nil {
			continue
		}
		w.outside.built(release.Status.Build.Key)
		now := metav1.Now()
		job.Status.StartTime, job.Status.CompletionTime, job.Status.Succeeded = &now, &now, 1
		job.Status.Conditions = []batchv1.JobCondition{
			{Type: batchv1.JobSuccessCriteriaMet, Status: corev1.ConditionTrue, LastTransitionTime: now},
			{Type: batchv1.JobComplete, Status: corev1.ConditionTrue, LastTransitionTime: now},
		}
		w.Expect(client.IgnoreNotFound(w.client.Status().Update(w.t.Context(), job))).To(Succeed())
	}
}
