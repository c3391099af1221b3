// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package target_test

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/controllers/target"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/delivery"
	"github.com/slipway-dev/slipway/internal/frozen"
	"github.com/slipway-dev/slipway/internal/health"
	"github.com/slipway-dev/slipway/internal/loadbalancer"
	"github.com/slipway-dev/slipway/internal/rollout"
	"github.com/slipway-dev/slipway/test/env"
)

const digest = "sha256:0123456789012345678901234567890123456789012345678901234567890123"

// machine is a host in memory whose health is as it is told.
type machine struct {
	seen       delivery.Observation
	answer     health.Answer
	off        bool
	deliveries int
	looks      int
	probes     int
	// delivering and checking, if set, are called first, and may fail a delivery; commands are those of a load balancer that ran.
	delivering func() *delivery.Failure
	checking   func()
	commands   []string
	// asked are the hooks that it was asked to run once, hookOrder what the last was to run in, claims what came of those that
	// began. running, if set, is called first, and may fail an attempt.
	asked     []delivery.Once
	hookOrder delivery.Order
	claims    map[string]delivery.OnceResult
	running   func(delivery.Once, func()) *delivery.Failure
	// staged are the digests that were staged; staging, if set, is called first, and may fail it.
	staged  []string
	staging func() *delivery.Failure
	// command, if set, fails a load balancer's command.
	command func(step string) *delivery.Failure
}

var off = &delivery.Failure{Step: "Connect", Reason: v1alpha1.ReasonUnreachable, Message: "it is off"}

func (m *machine) Probe(context.Context, delivery.Host, delivery.Owner, v1alpha1.DeploySpec) (delivery.Observation, error) {
	m.probes++
	if m.off {
		return delivery.Observation{}, off
	}
	return m.seen, nil
}

func (m *machine) Deliver(_ context.Context, _ delivery.Host, order delivery.Order, _ func(string)) (delivery.Result, error) {
	if m.delivering != nil {
		if failure := m.delivering(); failure != nil {
			return delivery.Result{}, failure
		}
	}
	m.deliveries++
	m.seen = delivery.Observation{HostKey: "key", Fence: order.Fence, SwitchedFence: order.Fence, Digest: order.Digest, Commit: order.Commit, Revision: order.Revision}
	return delivery.Result{Observation: m.seen, Steps: []v1alpha1.DeliveryStep{{Name: "Switch", Milliseconds: 5}}}, nil
}

// Stage implements delivery.Stager.
func (m *machine) Stage(_ context.Context, _ delivery.Host, order delivery.Order, _ func(string)) (delivery.Result, error) {
	if m.staging != nil {
		if failure := m.staging(); failure != nil {
			return delivery.Result{}, failure
		}
	}
	m.staged = append(m.staged, order.Digest)
	return delivery.Result{Observation: m.seen, Steps: []v1alpha1.DeliveryStep{{Name: "Pull", Milliseconds: 7}}, BytesReceived: 4711}, nil
}

func (m *machine) Check(_ context.Context, host delivery.Host, _ v1alpha1.DeploySpec, _ []byte) (health.Answer, error) {
	m.looks++
	if m.checking != nil {
		m.checking()
	}
	if m.off || len(host.PrivateKey) == 0 {
		return health.Answer{}, off
	}
	return m.answer, nil
}

var (
	well = health.Answer{Well: true, Said: "GET http://127.0.0.1:8080/: 200"}
	bad  = health.Answer{Said: "GET http://127.0.0.1:8080/: 503, wanted 200-399"}
)

// stage is one Target, reconciled step by step on a clock that stands still in between.
type stage struct {
	*WithT
	t       *testing.T
	c       client.Client
	clock   *clocktesting.FakeClock
	machine *machine
	r       *target.Reconciler
	target  *v1alpha1.Target
	due     time.Time
	// balancers are the target groups, if there are any; through stands between the process and the API, if set.
	balancers loadbalancer.Groups
	through   client.Client
}

func (s *stage) client() client.Client {
	if s.through != nil {
		return s.through
	}
	return s.c
}

func newStage(t *testing.T, check *v1alpha1.HealthCheck, change ...func(*v1alpha1.Service)) *stage {
	s := &stage{WithT: NewWithT(t), t: t, c: env.Client(t), clock: clocktesting.NewFakeClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)),
		machine: &machine{answer: well, seen: delivery.Observation{HostKey: "key"}}}
	ns := env.Namespace(t)
	s.Expect(s.c.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "blog-ssh"}, Type: corev1.SecretTypeSSHAuth,
		Data: map[string][]byte{corev1.SSHAuthPrivateKey: []byte("a key")}})).To(Succeed())
	service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "blog"}, Spec: v1alpha1.ServiceSpec{
		Source:  v1alpha1.SourceSpec{Git: v1alpha1.GitSource{URL: "https://git.example.com/blog.git"}},
		Build:   v1alpha1.BuildSpec{Image: "php:8.3-cli"},
		Targets: []v1alpha1.TargetSource{{Hosts: []v1alpha1.StaticHost{{Name: "web-1", Address: "10.0.0.1"}}}},
		SSH: v1alpha1.SSHSpec{User: "deploy", KeySecretRef: v1alpha1.LocalReference{Name: "blog-ssh"},
			HostKeys: v1alpha1.HostKeys{Policy: v1alpha1.HostKeysFirstUse}},
		Deploy: v1alpha1.DeploySpec{Path: "/var/www/blog", HealthCheck: check},
	}}
	for _, c := range change {
		c(service)
	}
	s.Expect(s.c.Create(t.Context(), service)).To(Succeed())
	name, err := frozen.Ensure(t.Context(), s.c, service, frozen.Spec(service), 1)
	s.Expect(err).NotTo(HaveOccurred())
	record := &v1alpha1.ReleaseRecord{Release: "blog-1", UID: "uid-1", Revision: "v1", Commit: "0123456789012345678901234567890123456789",
		Digest: digest, Frozen: name, Sequence: 1}
	service.Status.Current = record
	s.Expect(s.c.Status().Update(t.Context(), service)).To(Succeed())
	s.target = &v1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "blog-web-1"}, Spec: v1alpha1.TargetSpec{
		Service: "blog", ServiceUID: v1alpha1.UID(service.UID), Artifact: record, Fence: 1,
		Host: v1alpha1.TargetHost{ID: "web-1", Name: "web-1", Address: "10.0.0.1", Port: 22}}}
	s.Expect(s.c.Create(t.Context(), s.target)).To(Succeed())
	s.restart()
	return s
}

// restart forgets all that the process knew.
func (s *stage) restart() {
	s.r = target.New(target.Options{Client: s.client(), Reader: s.c, Delivery: s.machine, Balancers: s.balancers, OwnerID: "here", Clock: s.clock, Jitter: func() float64 { return 0 }})
	s.due = s.clock.Now()
}

// step lets the time pass until the host is due, and reconciles it.
func (s *stage) step() {
	s.t.Helper()
	if s.clock.Now().Before(s.due) {
		s.clock.SetTime(s.due)
	}
	s.Expect(s.c.Get(s.t.Context(), client.ObjectKeyFromObject(s.target), s.target)).To(Succeed())
	result, err := s.r.Reconcile(s.t.Context(), s.target.DeepCopy())
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(result.RequeueAfter).To(BeNumerically(">=", time.Second), "a host is looked at no more often, and never forgotten")
	s.due = s.clock.Now().Add(result.RequeueAfter)
	s.Expect(s.c.Get(s.t.Context(), client.ObjectKeyFromObject(s.target), s.target)).To(Succeed())
}

// until steps until so much time has passed.
func (s *stage) until(passed time.Duration) {
	s.t.Helper()
	end := s.clock.Now().Add(passed)
	for !s.due.After(end) {
		s.step()
	}
	s.clock.SetTime(end)
}

// is expects the conditions Healthy, Available and Ready, and Ready's reason.
func (s *stage) is(healthy, available, ready metav1.ConditionStatus, reason string) {
	s.t.Helper()
	list := s.target.Status.Conditions
	s.Expect([]metav1.ConditionStatus{conditions.Get(list, v1alpha1.ConditionHealthy).Status, conditions.Get(list, v1alpha1.ConditionAvailable).Status,
		conditions.Get(list, v1alpha1.ConditionReady).Status}).To(Equal([]metav1.ConditionStatus{healthy, available, ready}), "%v", list)
	s.Expect(conditions.Get(list, v1alpha1.ConditionReady).Reason).To(Equal(reason))
}

func (s *stage) message(condition string) string {
	return conditions.Get(s.target.Status.Conditions, condition).Message
}

const (
	yes     = metav1.ConditionTrue
	no      = metav1.ConditionFalse
	unknown = metav1.ConditionUnknown
)

// every is a check with the default thresholds.
func every(interval time.Duration) *v1alpha1.HealthCheck {
	return &v1alpha1.HealthCheck{HTTP: &v1alpha1.HTTPCheck{Port: 8080}, Interval: metav1.Duration{Duration: interval}}
}

func TestHealth(t *testing.T) {
	env.Start(t)

	t.Run("without a check nothing is asked", func(t *testing.T) {
		s := newStage(t, nil)
		s.step()
		s.is(unknown, yes, yes, v1alpha1.ReasonUpToDate)
		s.Expect(meta.FindStatusCondition(s.target.Status.Conditions, v1alpha1.ConditionHealthy)).To(BeNil())
		s.Expect(s.machine.looks).To(BeZero())
		s.Expect(s.due.Sub(s.clock.Now())).To(Equal(5 * time.Minute))
	})

	t.Run("a healthy delivery succeeds", func(t *testing.T) {
		s := newStage(t, every(5*time.Second))
		s.step()
		s.is(yes, yes, yes, v1alpha1.ReasonUpToDate)
		d := s.target.Status.Delivery
		s.Expect(d.Outcome).To(Equal(rollout.Succeeded))
		s.Expect(d.Steps).To(HaveLen(2))
		s.Expect(d.Steps[1]).To(And(HaveField("Name", "Health"), HaveField("Message", well.Said)))
		probes := s.machine.probes
		s.until(time.Minute)
		s.Expect(s.machine.looks).To(Equal(13), "it is watched closely after a switch")
		s.Expect(s.machine.probes).To(Equal(probes), "without a look at all of its files each time")
		s.until(20 * time.Minute)
		looks := s.machine.looks
		s.until(50 * time.Minute)
		s.Expect(s.machine.looks).To(BeNumerically("~", looks+10, 1), "later with each look at the host")
		s.Expect(s.machine.deliveries).To(Equal(1))
	})

	t.Run("an unhealthy delivery fails, is not repeated, and recovers", func(t *testing.T) {
		s := newStage(t, every(5*time.Second))
		s.machine.answer = bad
		s.step()
		s.is(unknown, unknown, unknown, v1alpha1.ReasonCheckingHealth)
		s.Expect(s.message(v1alpha1.ConditionReady)).To(ContainSubstring("503"))
		s.Expect(s.target.Status.Delivery.Outcome).To(BeEmpty(), "the grace is not over")
		s.until(30 * time.Second)
		s.is(unknown, unknown, unknown, v1alpha1.ReasonCheckingHealth)
		s.until(15 * time.Second)
		s.is(no, no, no, v1alpha1.ReasonUnhealthy)
		d := s.target.Status.Delivery
		s.Expect([]any{d.Outcome, d.Step, d.Failures}).To(Equal([]any{rollout.Failed, "Health", int32(1)}))
		s.Expect(s.message(v1alpha1.ConditionReady)).To(HaveSuffix("not healthy: " + bad.Said))
		host := rollout.Observe(s.target)
		s.Expect([]any{host.Available, host.Ready, host.Complete, host.Failures}).To(Equal([]any{false, false, false, int32(1)}), "the planner counts it")

		version := s.target.ResourceVersion
		s.until(time.Hour)
		s.Expect(s.target.ResourceVersion).To(Equal(version), "nothing is written while nothing changes")
		s.Expect(s.target.Status.Delivery.Failures).To(BeEquivalentTo(1))
		s.restart()
		s.until(time.Hour)
		s.is(no, no, no, v1alpha1.ReasonUnhealthy)
		s.Expect(s.machine.deliveries).To(Equal(1), "what is live stays until there is another order")

		s.machine.answer = well
		s.until(5 * time.Minute)
		s.is(yes, yes, yes, v1alpha1.ReasonUpToDate)
		d = s.target.Status.Delivery
		s.Expect([]any{d.Outcome, d.Step, d.Failures}).To(Equal([]any{rollout.Succeeded, "", int32(0)}))
		s.Expect(s.machine.deliveries).To(Equal(1))
	})

	t.Run("a host that turns bad is seen in seconds, and nothing is switched for it", func(t *testing.T) {
		s := newStage(t, every(2*time.Second))
		s.step()
		s.machine.answer = bad
		s.until(6 * time.Second)
		s.is(no, no, no, v1alpha1.ReasonUnhealthy)
		s.Expect(s.target.Status.Delivery.Outcome).To(Equal(rollout.Succeeded), "the delivery was well")
		s.machine.answer = well
		s.until(2 * time.Second)
		s.is(yes, yes, yes, v1alpha1.ReasonUpToDate)
		s.Expect(s.machine.deliveries).To(Equal(1))
	})

	t.Run("long after the switch a look that fails is followed at once", func(t *testing.T) {
		s := newStage(t, every(5*time.Second))
		s.step()
		s.until(time.Hour)
		s.machine.answer = bad
		s.until(5*time.Minute + 10*time.Second)
		s.is(no, no, no, v1alpha1.ReasonUnhealthy)
	})

	t.Run("after a restart the thresholds still hold", func(t *testing.T) {
		check := every(5 * time.Second)
		check.SuccessThreshold = 2
		s := newStage(t, check)
		s.step()
		s.is(unknown, unknown, unknown, v1alpha1.ReasonCheckingHealth)
		s.restart()
		s.step()
		s.is(unknown, unknown, unknown, v1alpha1.ReasonCheckingHealth)
		s.step()
		s.is(yes, yes, yes, v1alpha1.ReasonUpToDate)
		s.Expect(s.machine.deliveries).To(Equal(1), "the order was carried out but for its health")
		s.machine.answer = bad
		s.restart()
		s.step()
		s.is(yes, yes, yes, v1alpha1.ReasonUpToDate)
		s.step()
		s.step()
		s.is(no, no, no, v1alpha1.ReasonUnhealthy)
		s.machine.answer = well
		s.restart()
		s.step()
		s.is(no, no, no, v1alpha1.ReasonUnhealthy)
		s.step()
		s.is(yes, yes, yes, v1alpha1.ReasonUpToDate)
	})

	t.Run("of a host that was off nothing is taken for granted", func(t *testing.T) {
		s := newStage(t, every(5*time.Second))
		s.step()
		s.machine.off = true
		s.step()
		s.is(unknown, unknown, no, v1alpha1.ReasonUnreachable)
		s.machine.off, s.machine.answer = false, bad
		s.step()
		s.is(unknown, unknown, unknown, v1alpha1.ReasonCheckingHealth)
		s.machine.answer = well
		s.step()
		s.is(yes, yes, yes, v1alpha1.ReasonUpToDate)
		s.Expect(s.machine.deliveries).To(Equal(1))
	})

	t.Run("a host that lets nobody ask fails at once, and says why", func(t *testing.T) {
		s := newStage(t, every(5*time.Second))
		s.machine.answer = health.Answer{Refused: true, Said: "sshd lets nobody"}
		s.step()
		s.is(no, no, no, v1alpha1.ReasonForwardingRefused)
		s.Expect(conditions.IsTrue(s.target.Status.Conditions, v1alpha1.ConditionStalled)).To(BeTrue())
		s.Expect(s.target.Status.Delivery.Outcome).To(Equal(rollout.Failed))
	})

	t.Run("a missing authority is said before anything is switched", func(t *testing.T) {
		check := every(5 * time.Second)
		check.HTTP.Scheme, check.HTTP.TLS = v1alpha1.SchemeHTTPS, &v1alpha1.CheckTLS{CAConfigMapRef: &v1alpha1.LocalReference{Name: "ca"}}
		s := newStage(t, check)
		s.step()
		s.Expect(s.message(v1alpha1.ConditionReady)).To(ContainSubstring("ConfigMap ca, which the Service names in spec.deploy.healthCheck.http.tls.caConfigMapRef"))
		s.Expect(s.machine.deliveries).To(BeZero())
	})
}
