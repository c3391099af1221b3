// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package target_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/awstest"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/delivery"
	"github.com/slipway-dev/slipway/internal/loadbalancer/elbv2"
	"github.com/slipway-dev/slipway/internal/rollout"
	"github.com/slipway-dev/slipway/test/env"
)

const oldDigest = "sha256:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

// Command implements delivery.Commander.
func (m *machine) Command(_ context.Context, _ delivery.Host, _ v1alpha1.DeploySpec, step string, hook v1alpha1.HostHook) error {
	m.commands = append(m.commands, strings.Join(hook.Command, " "))
	if m.command != nil {
		if failure := m.command(step); failure != nil {
			return failure
		}
	}
	return nil
}

// balanced is a host that serves an older artifact behind target groups, and is ordered to run another.
type balanced struct {
	*stage
	cloud  *awstest.Cloud
	arn    string
	policy *v1alpha1.TargetPolicy
}

func newBalanced(t *testing.T, check *v1alpha1.HealthCheck, slow bool) *balanced {
	b := &balanced{cloud: awstest.New()}
	t.Cleanup(b.cloud.Close)
	for _, variable := range b.cloud.Environment() {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	b.arn = b.cloud.AddTargetGroup("web", awstest.TargetGroup{Type: "ip", Delay: 20 * time.Second, Slow: slow})
	b.cloud.SetTargetState(b.arn, "10.0.0.1", 0, "healthy")
	b.stage = newStage(t, check, func(s *v1alpha1.Service) {
		s.Spec.Deploy.LoadBalancer = &v1alpha1.LoadBalancer{TargetGroups: []v1alpha1.TargetGroup{{ARN: v1alpha1.TargetGroupARN(b.arn)}},
			DrainTimeout: metav1.Duration{Duration: time.Minute}, HealthyTimeout: metav1.Duration{Duration: time.Minute}}
	})
	b.cloud.Now = b.clock.Now
	b.balancers = elbv2.New()
	b.policy = &v1alpha1.TargetPolicy{ObjectMeta: metav1.ObjectMeta{Name: b.target.Namespace}, Spec: v1alpha1.TargetPolicySpec{
		Namespaces: []string{b.target.Namespace}, Addresses: []string{"*"}, SSHUsers: []string{"*"}, PathPrefixes: []string{"/"}, TargetGroupARNs: []string{"*"}}}
	b.Expect(b.c.Create(t.Context(), b.policy)).To(Succeed())
	t.Cleanup(func() { _ = b.c.Delete(context.Background(), b.policy) })
	b.machine.seen = delivery.Observation{HostKey: "key", Digest: oldDigest, Commit: "1", Owner: &v1alpha1.PathOwner{OwnerID: "here", ServiceUID: b.target.Spec.ServiceUID}}
	b.machine.delivering = func() *delivery.Failure {
		b.Expect(b.state()).To(BeEmpty(), "it is switched only when it gets no request any more")
		return nil
	}
	b.machine.checking = func() {
		if conditions.Get(b.target.Status.Conditions, v1alpha1.ConditionHealthy).Status != yes {
			b.Expect(b.state()).To(BeEmpty(), "it is brought back only when it is healthy")
		}
	}
	b.restart()
	return b
}

func (b *balanced) state() string { return b.cloud.TargetState(b.arn, "10.0.0.1", 0) }

func (b *balanced) record() v1alpha1.LoadBalancerState {
	if b.target.Status.LoadBalancer == nil {
		return ""
	}
	return b.target.Status.LoadBalancer.State
}

// abort has the order withdrawn.
func (b *balanced) abort() {
	var service v1alpha1.Service
	b.Expect(b.c.Get(b.t.Context(), client.ObjectKey{Namespace: b.target.Namespace, Name: "blog"}, &service)).To(Succeed())
	service.Status.Current = nil
	b.Expect(b.c.Status().Update(b.t.Context(), &service)).To(Succeed())
	b.due = b.clock.Now()
}

// order the host to run something.
func (b *balanced) order(digest string) {
	b.Expect(b.c.Get(b.t.Context(), client.ObjectKeyFromObject(b.target), b.target)).To(Succeed())
	b.target.Spec.Artifact.Digest, b.target.Spec.Fence = digest, b.target.Spec.Fence+1
	b.Expect(b.c.Update(b.t.Context(), b.target)).To(Succeed())
	b.due = b.clock.Now()
}

// served expects the delivery to have succeeded, and the host to be back.
func (b *balanced) served() {
	b.t.Helper()
	b.Expect(b.target.Status.Delivery).To(And(HaveField("Outcome", rollout.Succeeded), HaveField("Step", "")), "%v", b.target.Status.LoadBalancer)
	b.Expect(b.state()).To(Equal("healthy"))
	b.Expect(b.target.Status.LoadBalancer).To(And(HaveField("State", v1alpha1.InService), HaveField("Members", BeEmpty())))
	b.Expect(conditions.IsTrue(b.target.Status.Conditions, v1alpha1.ConditionAvailable)).To(BeTrue())
	b.Expect(conditions.IsTrue(b.target.Status.Conditions, v1alpha1.ConditionReady)).To(BeTrue())
}

func TestLoadBalancer(t *testing.T) {
	env.Start(t)

	t.Run("what is ordered is pulled before a host leaves and one that can't pull it stays in", func(t *testing.T) {
		b := newBalanced(t, nil, false)
		full := true
		b.machine.staging = func() *delivery.Failure {
			b.Expect(b.state()).To(Equal("healthy"), "it serves while it pulls")
			if full {
				return &delivery.Failure{Step: "Pull", Reason: v1alpha1.ReasonDiskFull, Message: "the disk is full"}
			}
			return nil
		}
		b.step()
		b.Expect(b.state()).To(Equal("healthy"))
		b.Expect(b.target.Status.LoadBalancer).To(BeNil())
		b.Expect(b.target.Status.Delivery).To(And(HaveField("Outcome", rollout.Failed), HaveField("Reason", v1alpha1.ReasonDiskFull)))
		b.Expect(conditions.IsTrue(b.target.Status.Conditions, v1alpha1.ConditionAvailable)).To(BeTrue())
		full = false
		b.until(time.Minute)
		b.served()
		b.Expect(b.machine.staged).To(Equal([]string{digest}), "once, however long it drains")
		b.Expect(b.target.Status.Delivery.BytesReceived).To(BeEquivalentTo(4711))
		b.Expect(b.target.Status.Delivery.Steps).To(HaveExactElements(HaveField("Name", "Pull"), HaveField("Name", "Switch"), HaveField("Name", v1alpha1.StepReturn)))
	})

	t.Run("a host leaves, is switched, and returns when it is healthy", func(t *testing.T) {
		b := newBalanced(t, every(5*time.Second), true)
		b.machine.answer = bad
		b.step()
		b.Expect([]any{b.state(), b.record()}).To(Equal([]any{"draining", v1alpha1.Draining}))
		b.Expect(b.message(v1alpha1.ConditionReady)).To(Equal("10.0.0.1:80 is draining Target.DeregistrationInProgress in target group web"))
		b.Expect(rollout.Observe(b.target).Available).To(BeFalse(), "it counts against maxUnavailable")
		b.until(18 * time.Second)
		b.Expect(b.machine.deliveries).To(BeZero())
		b.until(5 * time.Second)
		b.Expect([]any{b.machine.deliveries, b.record(), b.state()}).To(Equal([]any{1, v1alpha1.Drained, ""}))
		b.machine.answer = well
		b.until(8 * time.Second)
		b.Expect([]any{b.state(), b.record()}).To(Equal([]any{"initial", v1alpha1.Registering}))
		b.Expect(b.target.Status.Delivery).To(And(HaveField("Outcome", ""), HaveField("Step", v1alpha1.StepReturn)))
		b.is(yes, no, unknown, v1alpha1.ReasonRegistering)
		probes := b.machine.probes
		b.cloud.SetTargetState(b.arn, "10.0.0.1", 0, "healthy")
		b.until(6 * time.Second)
		b.served()
		b.Expect(b.machine.probes).To(Equal(probes), "its files are not looked at each time")
		var names []string
		for _, step := range b.target.Status.Delivery.Steps {
			names = append(names, step.Name)
		}
		b.Expect(names).To(Equal([]string{"Pull", "Switch", "Health", "Return"}))
	})

	t.Run("without a health check, what is delivered is well", func(t *testing.T) {
		b := newBalanced(t, nil, false)
		b.until(30 * time.Second)
		b.served()
		b.Expect(b.machine.deliveries).To(Equal(1))
		calls := b.cloud.Calls("DescribeTargetHealth")
		b.until(time.Hour)
		b.Expect(b.cloud.Calls("DescribeTargetHealth")).To(Equal(calls), "a host that is in service is nobody's business")
	})

	t.Run("what changes nothing, and what serves nothing, leaves nothing", func(t *testing.T) {
		b := newBalanced(t, nil, false)
		b.machine.delivering = nil
		b.machine.seen.Digest = digest
		b.step()
		b.Expect([]any{b.machine.deliveries, b.record(), b.state()}).To(Equal([]any{1, v1alpha1.LoadBalancerState(""), "healthy"}))
		b = newBalanced(t, nil, false)
		b.machine.seen = delivery.Observation{HostKey: "key"}
		b.cloud.SetTargetState(b.arn, "10.0.0.1", 0, "")
		b.step()
		b.Expect([]any{b.machine.deliveries, b.record(), b.state()}).To(Equal([]any{1, v1alpha1.LoadBalancerState(""), ""}), "nor is it registered")
	})

	t.Run("who was taken out by somebody else is not brought back", func(t *testing.T) {
		b := newBalanced(t, nil, false)
		b.cloud.SetTargetState(b.arn, "10.0.0.1", 0, "")
		b.until(time.Minute)
		b.Expect([]any{b.machine.deliveries, b.record(), b.state()}).To(Equal([]any{1, v1alpha1.LoadBalancerState(""), ""}))
		b.Expect(b.target.Status.Delivery.Outcome).To(Equal(rollout.Succeeded))
	})

	t.Run("one that does not drain in time fails, and comes back", func(t *testing.T) {
		b := newBalanced(t, nil, false)
		b.step()
		b.cloud.SetTargetState(b.arn, "10.0.0.1", 0, "draining") // for ever
		for range 40 {
			if b.step(); b.target.Status.Delivery.Outcome != "" {
				break
			}
		}
		d := b.target.Status.Delivery
		b.Expect([]any{d.Outcome, d.Step, d.Reason, d.Failures}).To(Equal([]any{rollout.Failed, v1alpha1.StepDrain, v1alpha1.ReasonDrainFailed, int32(1)}))
		b.Expect(b.message(v1alpha1.ConditionReady)).To(ContainSubstring("not drained within 1m0s"))
		b.Expect([]any{b.machine.deliveries, b.state()}).To(Equal([]any{0, "healthy"}), "nothing was switched, and it serves")
		b.Expect(rollout.Observe(b.target)).To(And(HaveField("Failures", int32(1)), HaveField("Failure", v1alpha1.ReasonDrainFailed)))
		b.abort()
		b.until(10 * time.Second)
		b.Expect([]any{b.record(), b.state()}).To(Equal([]any{v1alpha1.InService, "healthy"}))
		b.Expect(conditions.IsTrue(b.target.Status.Conditions, v1alpha1.ConditionAvailable)).To(BeTrue())
	})

	t.Run("while AWS refuses, nothing is switched", func(t *testing.T) {
		for _, action := range []string{"DescribeTargetGroups", "DescribeTargetHealth", "DeregisterTargets"} {
			b := newBalanced(t, nil, false)
			b.cloud.Refuse(action, awstest.ELBDenied, 0)
			b.step()
			d := b.target.Status.Delivery
			b.Expect([]any{d.Outcome, d.Step, d.Reason}).To(Equal([]any{rollout.Failed, v1alpha1.StepDrain, v1alpha1.ReasonDrainFailed}), action)
			b.Expect(b.message(v1alpha1.ConditionReady)).To(ContainSubstring(action + ": AccessDenied"))
			b.Expect([]any{b.machine.deliveries, b.state()}).To(Equal([]any{0, "healthy"}))
			b.cloud.Permit(action)
			b.until(time.Minute)
			b.served()
		}
	})

	t.Run("one that AWS does not let return fails, and returns when it may", func(t *testing.T) {
		b := newBalanced(t, nil, false)
		b.cloud.Refuse("RegisterTargets", awstest.ELBDenied, 0)
		b.until(3 * time.Minute)
		d := b.target.Status.Delivery
		b.Expect([]any{d.Outcome, d.Step, d.Reason, d.Failures}).To(Equal([]any{rollout.Failed, v1alpha1.StepReturn, v1alpha1.ReasonReturnFailed, int32(1)}))
		b.Expect(b.message(v1alpha1.ConditionReady)).To(ContainSubstring("RegisterTargets: AccessDenied"))
		b.Expect(b.machine.deliveries).To(Equal(1), "it is not delivered again for that")
		b.cloud.Permit("RegisterTargets")
		b.until(time.Minute)
		b.served()
	})

	t.Run("one that is not healthy stays out, and returns when it is rolled back", func(t *testing.T) {
		b := newBalanced(t, every(5*time.Second), false)
		b.machine.answer = bad
		b.until(3 * time.Minute)
		d := b.target.Status.Delivery
		b.Expect([]any{d.Outcome, d.Step, d.Reason, b.state(), b.record()}).To(
			Equal([]any{rollout.Failed, v1alpha1.StepHealth, v1alpha1.ReasonUnhealthy, "", v1alpha1.Drained}))
		b.restart()
		b.until(time.Hour)
		b.Expect(b.state()).To(BeEmpty())
		b.machine.delivering = func() *delivery.Failure {
			b.machine.answer = well
			return nil
		}
		b.order(oldDigest)
		b.until(time.Minute)
		b.served()
		b.Expect(b.target.Status.Running.Digest).To(Equal(oldDigest))
	})

	t.Run("one that is out is rolled back while AWS is down", func(t *testing.T) {
		b := newBalanced(t, every(5*time.Second), false)
		b.machine.answer = bad
		b.until(3 * time.Minute)
		b.Expect(b.record()).To(Equal(v1alpha1.Drained))
		for _, action := range []string{"DescribeTargetHealth", "RegisterTargets"} {
			b.cloud.Refuse(action, awstest.ELBDenied, 0)
		}
		b.machine.delivering = func() *delivery.Failure {
			b.machine.answer = well
			return nil
		}
		b.order(oldDigest)
		b.until(30 * time.Second)
		b.Expect([]any{b.machine.deliveries, b.record(), b.target.Status.Delivery.Step}).To(Equal([]any{2, v1alpha1.Registering, v1alpha1.StepReturn}))
		b.cloud.Permit("DescribeTargetHealth")
		b.cloud.Permit("RegisterTargets")
		b.until(30 * time.Second)
		b.served()
	})

	t.Run("one whose hook failed after the switch stays out", func(t *testing.T) {
		b := newBalanced(t, nil, false)
		b.machine.delivering = func() *delivery.Failure {
			b.machine.seen.Digest, b.machine.seen.SwitchedFence, b.machine.seen.Fence = digest, 1, 1
			return &delivery.Failure{Step: "AfterSwitch", Reason: v1alpha1.ReasonHookFailed, Message: "exit 1", Switched: true}
		}
		b.until(time.Minute)
		b.Expect([]any{b.target.Status.Delivery.Outcome, b.state(), b.record()}).To(Equal([]any{rollout.Failed, "", v1alpha1.Drained}))
		b.abort()
		b.until(time.Hour)
		b.Expect([]any{b.state(), b.record()}).To(Equal([]any{"", v1alpha1.Drained}), "it must not serve")
	})

	t.Run("one to which nothing could be delivered serves what it served", func(t *testing.T) {
		b := newBalanced(t, nil, false)
		b.machine.delivering = func() *delivery.Failure {
			return &delivery.Failure{Step: "Pull", Reason: v1alpha1.ReasonDeliveryFailed, Message: "the depot is down"}
		}
		b.until(22 * time.Second)
		b.Expect([]any{b.target.Status.Delivery.Step, b.state(), b.record()}).To(Equal([]any{"Pull", "healthy", v1alpha1.Registering}))
		b.machine.delivering = nil
		b.until(time.Minute)
		b.served()
	})

	t.Run("a Release that ends while a host drains has it come back", func(t *testing.T) {
		b := newBalanced(t, nil, false)
		b.step()
		b.Expect(b.record()).To(Equal(v1alpha1.Draining))
		b.abort()
		b.restart()
		b.until(10 * time.Second)
		b.Expect([]any{b.record(), b.state(), b.machine.deliveries}).To(Equal([]any{v1alpha1.InService, "healthy", 0}))
	})

	t.Run("what the policy no longer permits is not done", func(t *testing.T) {
		b := newBalanced(t, nil, false)
		permit := func(arns ...string) {
			b.policy.Spec.TargetGroupARNs = arns
			b.Expect(b.c.Update(t.Context(), b.policy)).To(Succeed())
		}
		permit()
		b.step()
		d := b.target.Status.Delivery
		b.Expect([]any{d.Step, d.Reason, b.state()}).To(Equal([]any{v1alpha1.StepDrain, v1alpha1.ReasonNotPermitted, "healthy"}))
		b.Expect(b.cloud.Calls("DescribeTargetGroups")).To(BeZero(), "AWS is not even asked")
		permit("*")
		b.until(5 * time.Second)
		b.Expect(b.record()).To(Equal(v1alpha1.Draining))
		b.machine.delivering = func() *delivery.Failure {
			permit()
			return nil
		}
		b.until(25 * time.Second)
		d = b.target.Status.Delivery
		b.Expect([]any{d.Outcome, d.Step, d.Reason, b.state()}).To(Equal([]any{rollout.Failed, v1alpha1.StepReturn, v1alpha1.ReasonNotPermitted, ""}))
		permit(b.arn)
		b.until(time.Minute)
		b.served()
	})

	t.Run("commands", func(t *testing.T) {
		b := newBalanced(t, nil, false)
		s := newStage(t, nil, func(s *v1alpha1.Service) {
			s.Spec.Deploy.LoadBalancer = &v1alpha1.LoadBalancer{Commands: &v1alpha1.LoadBalancerCommands{
				Drain: v1alpha1.HostHook{Command: []string{"out"}}, Undrain: v1alpha1.HostHook{Command: []string{"in"}}}}
		})
		s.machine.seen = delivery.Observation{HostKey: "key", Digest: oldDigest, Owner: &v1alpha1.PathOwner{OwnerID: "here", ServiceUID: s.target.Spec.ServiceUID}}
		b.stage = s
		fail := true
		s.machine.command = func(step string) *delivery.Failure {
			if fail && step == v1alpha1.StepDrain {
				return &delivery.Failure{Step: step, Reason: v1alpha1.ReasonDrainFailed, Message: "exit code 1"}
			}
			return nil
		}
		s.step()
		s.Expect([]any{s.target.Status.Delivery.Step, s.target.Status.Delivery.Reason, s.machine.deliveries}).To(
			Equal([]any{v1alpha1.StepDrain, v1alpha1.ReasonDrainFailed, 0}))
		s.Expect(s.machine.commands).To(Equal([]string{"out", "in"}), "half out is not out")
		fail = false
		s.machine.delivering = func() *delivery.Failure {
			s.Expect(s.machine.commands).To(Equal([]string{"out", "in", "out"}))
			return nil
		}
		s.step()
		s.Expect(s.machine.commands).To(Equal([]string{"out", "in", "out", "in"}))
		s.Expect([]any{s.target.Status.Delivery.Outcome, b.record()}).To(Equal([]any{rollout.Succeeded, v1alpha1.InService}))
	})
}

// mortal lets the process die at its n-th write, before or after it.
type mortal struct {
	client.Client
	left  int
	after bool
	dead  bool
}

var errDead = errors.New("the process has died")

func (m *mortal) Status() client.SubResourceWriter { return mortalStatus{m.Client.Status(), m} }

type mortalStatus struct {
	client.SubResourceWriter
	m *mortal
}

func (s mortalStatus) Patch(ctx context.Context, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
	if s.m.dead {
		return errDead
	}
	s.m.left--
	if s.m.dead = s.m.left < 0; !s.m.dead {
		return s.SubResourceWriter.Patch(ctx, o, p, opts...)
	}
	if s.m.after {
		_ = s.SubResourceWriter.Patch(ctx, o, p, opts...)
	}
	return errDead
}

// Whenever the process dies, the next one brings the host to what it should run, out of the load balancer, and back in.
func TestLoadBalancerSurvivesEveryCrash(t *testing.T) {
	env.Start(t)
	for n := range 40 {
		survived := false
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("write %d after=%t", n, after), func(t *testing.T) {
				b := newBalanced(t, every(5*time.Second), false)
				life := &mortal{Client: b.c, left: n, after: after}
				b.through = life
				b.restart()
				for range 30 {
					b.clock.SetTime(b.due)
					b.Expect(b.c.Get(t.Context(), client.ObjectKeyFromObject(b.target), b.target)).To(Succeed())
					result, err := b.r.Reconcile(t.Context(), b.target.DeepCopy())
					if life.dead {
						break
					}
					b.Expect(err).NotTo(HaveOccurred())
					b.due = b.clock.Now().Add(result.RequeueAfter)
				}
				survived = survived || !life.dead
				b.through = nil
				b.restart()
				b.until(time.Minute)
				b.served()
			})
		}
		if survived {
			if n < 8 {
				t.Fatalf("there were only %d writes", n)
			}
			return
		}
	}
	t.Fatal("there is no end of writes")
}
