// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
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
	"github.com/slipway-dev/slipway/controllers/rollout"
	"github.com/slipway-dev/slipway/controllers/target"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/discovery"
	"github.com/slipway-dev/slipway/internal/frozen"
	"github.com/slipway-dev/slipway/internal/metrics"
	"github.com/slipway-dev/slipway/test/env"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	env.Main(m)
}

const patience = 30 * time.Second

// answers is a depot that remembers what it was told.
type answers struct {
	mu   sync.Mutex
	last depot.Word
}

func (a *answers) SetWord(_ context.Context, word depot.Word) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = word
	return nil
}

func (a *answers) digest(host string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.last.Host(host)
	if known == nil {
		return ""
	}
	return known.Digest
}

// fixture is a Service with Targets, as the service controller makes them, and machines behind them.
type fixture struct {
	*WithT
	t       *testing.T
	c       client.Client
	ns      string
	service *v1alpha1.Service
	fleet   *fleet
	depot   *answers
	counts  *prometheus.Registry
}

func newFixture(t *testing.T, hosts int, maxUnavailable intstr.IntOrString) *fixture {
	t.Helper()
	f := &fixture{WithT: NewWithT(t), t: t, c: env.Client(t), ns: env.Namespace(t), fleet: newFleet(), depot: &answers{}}
	f.Expect(f.c.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.ns, Name: "blog-ssh"}, Type: corev1.SecretTypeSSHAuth,
		Data: map[string][]byte{corev1.SSHAuthPrivateKey: []byte("a key")},
	})).To(Succeed())
	f.service = &v1alpha1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.ns, Name: "blog"},
		Spec: v1alpha1.ServiceSpec{
			Source: v1alpha1.SourceSpec{Git: v1alpha1.GitSource{URL: "https://git.example.com/blog.git"}},
			Build:  v1alpha1.BuildSpec{Image: "php:8.3-cli", Timeout: metav1.Duration{Duration: time.Minute}},
			SSH: v1alpha1.SSHSpec{User: "deploy", KeySecretRef: v1alpha1.LocalReference{Name: "blog-ssh"},
				HostKeys: v1alpha1.HostKeys{Policy: v1alpha1.HostKeysFirstUse}},
			Deploy: v1alpha1.DeploySpec{Path: "/var/www/blog", DriftInterval: metav1.Duration{Duration: 5 * time.Second},
				Timeout: metav1.Duration{Duration: time.Minute}},
			Rollout: v1alpha1.RolloutSpec{MaxUnavailable: maxUnavailable, ProgressDeadline: metav1.Duration{Duration: time.Minute}},
		},
	}
	var listed []v1alpha1.StaticHost // more than there are: a test may add Targets
	for i := range hosts + 5 {
		name := fmt.Sprintf("web-%02d", i+1)
		listed = append(listed, v1alpha1.StaticHost{Name: name, Address: name})
	}
	f.service.Spec.Targets = []v1alpha1.TargetSource{{Hosts: listed}}
	f.Expect(f.c.Create(t.Context(), f.service)).To(Succeed())
	for i := range hosts {
		f.addTarget(fmt.Sprintf("web-%02d", i+1))
	}
	return f
}

func (f *fixture) addTarget(host string) {
	f.t.Helper()
	uid := v1alpha1.UID(f.service.UID)
	f.Expect(f.c.Create(f.t.Context(), &v1alpha1.Target{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.ns, Name: discovery.TargetName("blog", uid, host), Labels: map[string]string{v1alpha1.LabelService: "blog"}},
		Spec: v1alpha1.TargetSpec{Service: "blog", ServiceUID: uid,
			Host: v1alpha1.TargetHost{ID: host, Name: host, Address: host, Port: 22}},
	})).To(Succeed())
}

// record makes a Release of a revision and says what it orders.
func (f *fixture) record(revision string) *v1alpha1.ReleaseRecord {
	f.t.Helper()
	name, err := frozen.Ensure(f.t.Context(), f.c, f.service, frozen.Spec(f.service), 1)
	f.Expect(err).NotTo(HaveOccurred())
	release := &v1alpha1.Release{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.ns, GenerateName: "blog-"},
		Spec:       v1alpha1.ReleaseSpec{Service: "blog", Revision: v1alpha1.Revision(revision)},
	}
	f.Expect(f.c.Create(f.t.Context(), release)).To(Succeed())
	return &v1alpha1.ReleaseRecord{Release: release.Name, UID: v1alpha1.UID(release.UID), Revision: revision,
		Commit: "0123456789abcdef0123456789abcdef01234567", Digest: digestOf(revision), Frozen: name}
}

func digestOf(revision string) string { return fmt.Sprintf("sha256:%064x", []byte(revision)) }

// slot writes what is current and what rolls.
func (f *fixture) slot(current, rolling *v1alpha1.ReleaseRecord) {
	f.t.Helper()
	f.Eventually(func() error {
		if err := f.c.Get(f.t.Context(), client.ObjectKeyFromObject(f.service), f.service); err != nil {
			return err
		}
		f.service.Status.Current, f.service.Status.Rolling = current, rolling
		return f.c.Status().Update(f.t.Context(), f.service)
	}, patience).Should(Succeed())
}

// start runs both controllers with the manager's own rights until stop is called.
func (f *fixture) start() (stop func()) {
	f.t.Helper()
	rest := env.Manager(f.t)
	rest.QPS = -1 // the server's own fairness is the limit, as in the manager
	mgr, err := ctrl.NewManager(rest, ctrl.Options{
		Scheme: env.Scheme(), Cache: cache.Options{DefaultNamespaces: map[string]cache.Config{f.ns: {}}}, Metrics: metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
	})
	f.Expect(err).NotTo(HaveOccurred())
	f.Expect(mgr.GetFieldIndexer().IndexField(f.t.Context(), &v1alpha1.Target{}, rollout.ServiceField, func(o client.Object) []string {
		return []string{o.(*v1alpha1.Target).Spec.Service}
	})).To(Succeed())
	f.counts = prometheus.NewRegistry()
	counts := metrics.New(f.counts)
	f.Expect(rollout.New(rollout.Options{
		Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Depot: f.depot, Clock: clock.RealClock{},
		Events: mgr.GetEventRecorder("slipway-rollout"), DriftQuiet: 2 * time.Second, Metrics: counts,
	}).SetupWithManager(mgr)).To(Succeed())
	f.Expect(target.New(target.Options{
		Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Delivery: f.fleet, OwnerID: "here", Clock: clock.RealClock{},
		Events: mgr.GetEventRecorder("slipway-target"), Metrics: counts,
	}).SetupWithManager(mgr)).To(Succeed())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); f.Expect(<-done).To(Succeed()) }) }
	f.t.Cleanup(stop)
	return stop
}

// counted sums a metric up.
func (f *fixture) counted(name string) (sum float64) {
	families, err := f.counts.Gather()
	f.Expect(err).NotTo(HaveOccurred())
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if family.GetName() == name {
				sum += metric.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func (f *fixture) targets() []v1alpha1.Target {
	var list v1alpha1.TargetList
	f.Expect(f.c.List(f.t.Context(), &list, client.InNamespace(f.ns))).To(Succeed())
	return list.Items
}

// ready counts the Targets that run a revision and are well.
func (f *fixture) ready(revision string) func() int {
	return func() int {
		n := 0
		for _, t := range f.targets() {
			if conditions.IsTrue(t.Status.Conditions, v1alpha1.ConditionReady) && t.Status.ObservedGeneration == t.Generation &&
				t.Status.Running != nil && t.Status.Running.Digest == digestOf(revision) {
				n++
			}
		}
		return n
	}
}

// reasons lists why the Targets are as they are.
func (f *fixture) reasons() []string {
	var reasons []string
	for _, t := range f.targets() {
		reasons = append(reasons, conditions.Get(t.Status.Conditions, v1alpha1.ConditionReady).Reason)
	}
	return reasons
}

func TestHostsMoveInWavesUnderTheBudget(t *testing.T) {
	f := newFixture(t, 4, intstr.FromInt32(1))
	f.start()
	f.Eventually(f.reasons, patience).Should(HaveEach(v1alpha1.ReasonNothingDelivered))

	v1 := f.record("v1")
	f.slot(nil, v1)
	f.Eventually(f.ready("v1"), patience).Should(Equal(4))
	f.slot(v1, nil)

	f.fleet.watch()
	v2 := f.record("v2")
	f.slot(v1, v2)
	f.Eventually(f.ready("v2"), patience).Should(Equal(4))
	f.slot(v2, nil)
	f.Expect(f.fleet.mostAtOnce()).To(Equal(1), "maxUnavailable is 1")
	for _, one := range f.targets() {
		f.Expect(one.Status.Running.Label).To(Equal("v2 (01234567)"))
		f.Expect(one.Status.HostKey).To(Equal("key of "+one.Spec.Host.Name), "the first key is pinned")
		f.Expect(one.Status.Fence).To(Equal(one.Spec.Fence))
	}
	f.Eventually(func() string { return f.depot.digest("web-01") }, patience).Should(Equal(digestOf("v2")))

	f.Expect(f.counted("slipway_deliveries_total")).To(BeEquivalentTo(8), "two Releases to four hosts")
	f.Expect(f.counted("slipway_waves_total")).To(BeNumerically(">=", 5), "at once where nothing served, then one by one")

	f.addTarget("web-05")
	f.Eventually(f.ready("v2"), patience).Should(Equal(5), "a host that appears gets the current Release")
}

func TestARecordedWaveIsCompletedAfterACrash(t *testing.T) {
	f := newFixture(t, 3, intstr.FromInt32(1))
	v1 := f.record("v1")
	stop := f.start()
	f.slot(v1, nil)
	f.Eventually(f.ready("v1"), patience).Should(Equal(3))
	stop()

	// The controller died after it recorded a wave and before it wrote a member of it.
	v2 := f.record("v2")
	f.slot(v1, v2)
	last := f.targets()[2]
	f.service.Status.Wave = &v1alpha1.Wave{Number: f.service.Status.Wave.Number + 1, Hash: "recorded", Records: []v1alpha1.ReleaseRecord{*v2},
		Members: []v1alpha1.WaveMember{{Target: last.Name, Record: 0, Fence: last.Spec.Fence + 1}}}
	f.Expect(f.c.Status().Update(t.Context(), f.service)).To(Succeed())
	f.fleet.watch()
	f.start()
	f.Eventually(f.ready("v2"), patience).Should(Equal(3))
	f.Expect(f.fleet.order()[0]).To(Equal(last.Spec.Host.Name), "the recorded wave comes first")
	f.Expect(f.fleet.mostAtOnce()).To(Equal(1))
	f.Expect(f.fleet.unseen()).To(BeEmpty(), "after a restart no host is delivered to before it was looked at")
}

func TestADriftedHostIsRepairedUnderANewFence(t *testing.T) {
	f := newFixture(t, 3, intstr.FromInt32(1))
	v1 := f.record("v1")
	f.slot(v1, nil)
	f.start()
	f.Eventually(f.ready("v1"), patience).Should(Equal(3))
	fence := f.fleet.host("web-02").fenceNow()
	f.fleet.host("web-02").drift()
	f.Eventually(f.fleet.host("web-02").repairs, patience).Should(Equal(1))
	f.Eventually(f.ready("v1"), patience).Should(Equal(3))
	f.Expect(f.fleet.host("web-02").fenceNow()).To(BeNumerically(">", fence))
}

func TestFortyDriftedHostsWaitForAPerson(t *testing.T) {
	f := newFixture(t, 40, intstr.FromString("25%"))
	v1 := f.record("v1")
	f.slot(v1, nil)
	f.start()
	f.Eventually(f.ready("v1"), 2*patience).Should(Equal(40))
	for _, one := range f.targets() {
		f.fleet.host(one.Spec.Host.Name).drift()
	}
	f.Eventually(f.reasons, patience).Should(HaveEach(v1alpha1.ReasonContentChanged))
	f.Consistently(f.fleet.repairs, 5*time.Second).Should(BeZero())
	f.fleet.watch()
	f.slot(v1, f.record("v1")) // a person releases it again
	f.Eventually(f.ready("v1"), 2*patience).Should(Equal(40))
	f.Expect(f.fleet.mostAtOnce()).To(BeNumerically("<=", 10))
}

func TestAHigherFenceOnAHostIsOvertaken(t *testing.T) {
	f := newFixture(t, 2, intstr.FromInt32(1))
	v1 := f.record("v1")
	f.slot(v1, nil)
	f.start()
	f.Eventually(f.ready("v1"), patience).Should(Equal(2))
	f.fleet.host("web-01").seize(41) // a leader that lost its lease was there
	f.slot(v1, f.record("v2"))
	f.Eventually(f.ready("v2"), patience).Should(Equal(2))
	f.Expect(f.fleet.host("web-01").fenceNow()).To(BeNumerically(">", 41))
}

func TestPausedReleasesMoveNoHost(t *testing.T) {
	f := newFixture(t, 2, intstr.FromInt32(1))
	v1 := f.record("v1")
	f.slot(v1, nil)
	f.start()
	f.Eventually(f.ready("v1"), patience).Should(Equal(2))
	v2 := f.record("v2")
	release := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: f.ns, Name: v2.Release}}
	pause := func(paused string) {
		f.Expect(f.c.Patch(t.Context(), release, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"paused":`+paused+`}}`)))).To(Succeed())
	}
	pause("true")
	f.slot(v1, v2)
	f.Consistently(f.ready("v1"), 2*time.Second).Should(Equal(2))
	pause("false")
	f.Eventually(f.ready("v2"), patience).Should(Equal(2))
}

func TestForeignHostsAreNotTouchedWithoutConsent(t *testing.T) {
	f := newFixture(t, 2, intstr.FromInt32(1))
	for _, name := range []string{"web-01", "web-02"} {
		f.fleet.host(name).belongs("there", "another-service", digestOf("v1"), 7)
	}
	v1 := f.record("v1")
	f.slot(v1, nil)
	f.start()
	f.Eventually(f.reasons, patience).Should(HaveEach(v1alpha1.ReasonForeignOwner))
	f.Expect(f.fleet.order()).To(BeEmpty())
	f.Eventually(func() error {
		if err := f.c.Get(t.Context(), client.ObjectKeyFromObject(f.service), f.service); err != nil {
			return err
		}
		f.service.Spec.Adopt = &v1alpha1.AdoptSpec{FromUID: "another-service"}
		return f.c.Update(t.Context(), f.service)
	}, patience).Should(Succeed())
	f.Eventually(f.ready("v1"), patience).Should(Equal(2))
	f.Expect(f.fleet.host("web-01").fenceNow()).To(BeNumerically(">", 7))
}
