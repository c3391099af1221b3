// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package elbv2_test

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/awstest"
	"github.com/slipway-dev/slipway/internal/discovery"
	"github.com/slipway-dev/slipway/internal/loadbalancer"
	"github.com/slipway-dev/slipway/internal/loadbalancer/elbv2"
)

var tokyo = discovery.Account{Region: "ap-northeast-1"}

func start(t *testing.T) (*WithT, *awstest.Cloud, *elbv2.Groups) {
	cloud := awstest.New()
	t.Cleanup(cloud.Close)
	for _, variable := range cloud.Environment() {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	return NewWithT(t), cloud, elbv2.New()
}

func TestAHostLeavesAndReturns(t *testing.T) {
	w, cloud, groups := start(t)
	now := time.Now()
	cloud.Now = func() time.Time { return now }
	arn := cloud.AddTargetGroup("web", awstest.TargetGroup{Port: 8080, Delay: time.Minute, Slow: true})
	id := cloud.Add(awstest.Instance{})
	member, err := groups.Member(t.Context(), tokyo, arn, 0, loadbalancer.Host{Instance: id, Address: "10.0.0.1"})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(member).To(Equal(v1alpha1.LoadBalancerMember{TargetGroupARN: arn, ID: id, Port: 8080}))
	stands := func() loadbalancer.Health {
		t.Helper()
		health, err := groups.Health(t.Context(), tokyo, member)
		w.Expect(err).NotTo(HaveOccurred())
		return health
	}
	w.Expect([]bool{stands().Drained(), stands().Serving()}).To(Equal([]bool{true, false}), "it was never registered")
	w.Expect(groups.Register(t.Context(), tokyo, member)).To(Succeed())
	w.Expect(stands()).To(And(HaveField("State", "initial"), HaveField("Reason", "Elb.RegistrationInProgress")))
	w.Expect([]bool{stands().Serving(), stands().InService()}).To(Equal([]bool{true, false}))
	cloud.SetTargetState(arn, id, 0, "healthy")
	w.Expect(stands().InService()).To(BeTrue())
	w.Expect(groups.Deregister(t.Context(), tokyo, member)).To(Succeed())
	w.Expect([]bool{stands().Serving(), stands().Drained(), stands().InService()}).To(Equal([]bool{false, false, false}))
	now = now.Add(time.Minute)
	w.Expect(stands().Drained()).To(BeTrue())
	w.Expect(groups.Deregister(t.Context(), tokyo, member)).To(Succeed(), "again")

	cloud.Remove(id)
	w.Expect(stands().Drained()).To(BeTrue(), "an instance that is gone gets no requests")
	w.Expect(groups.Register(t.Context(), tokyo, member)).To(MatchError(And(ContainSubstring("RegisterTargets: InvalidTarget"), ContainSubstring(id))))

	other, err := groups.Member(t.Context(), tokyo, arn, 9090, loadbalancer.Host{Instance: id})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(other.Port).To(BeEquivalentTo(9090))
	w.Expect(cloud.Calls("DescribeTargetGroups")).To(Equal(1), "a group's type and port are asked for once")
}

func TestTargetsByAddress(t *testing.T) {
	w, cloud, groups := start(t)
	arn := cloud.AddTargetGroup("web", awstest.TargetGroup{Type: "ip"})
	member, err := groups.Member(t.Context(), tokyo, arn, 0, loadbalancer.Host{Instance: "i-1", Address: "10.0.0.1"})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(member).To(Equal(v1alpha1.LoadBalancerMember{TargetGroupARN: arn, ID: "10.0.0.1", Port: 80}))
	w.Expect(groups.Register(t.Context(), tokyo, member)).To(Succeed())
	w.Expect(cloud.TargetState(arn, "10.0.0.1", 80)).To(Equal("healthy"))
	_, err = groups.Member(t.Context(), tokyo, arn, 0, loadbalancer.Host{Address: "web-1.example.com"})
	w.Expect(err).To(MatchError(ContainSubstring(`target group web has IP addresses for targets, and "web-1.example.com" is none`)))
	instances := cloud.AddTargetGroup("api", awstest.TargetGroup{})
	_, err = groups.Member(t.Context(), tokyo, instances, 0, loadbalancer.Host{Address: "10.0.0.1"})
	w.Expect(err).To(MatchError(ContainSubstring("use a target group of target type ip")))
	functions := cloud.AddTargetGroup("f", awstest.TargetGroup{Type: "lambda"})
	_, err = groups.Member(t.Context(), tokyo, functions, 0, loadbalancer.Host{Address: "10.0.0.1"})
	w.Expect(err).To(MatchError(ContainSubstring("target type lambda: only instance and ip are known")))
}

func TestWhatAWSRefuses(t *testing.T) {
	w, cloud, groups := start(t)
	arn := cloud.AddTargetGroup("web", awstest.TargetGroup{Type: "ip"})
	member := v1alpha1.LoadBalancerMember{TargetGroupARN: arn, ID: "10.0.0.1", Port: 80}
	cloud.Refuse("DeregisterTargets", awstest.ELBDenied, 1)
	w.Expect(groups.Deregister(t.Context(), tokyo, member)).To(MatchError(And(HavePrefix("ELB in ap-northeast-1: "), ContainSubstring("DeregisterTargets: AccessDenied"))))
	cloud.Refuse("DescribeTargetHealth", awstest.ELBThrottled, 1)
	health, err := groups.Health(t.Context(), tokyo, member)
	w.Expect(err).NotTo(HaveOccurred(), "it is asked again")
	w.Expect(health.State).To(Equal("unused"))
	w.Expect(cloud.Calls("DescribeTargetHealth")).To(Equal(2))
	_, err = groups.Member(t.Context(), discovery.Account{Region: "us-east-1"}, arn, 0, loadbalancer.Host{Address: "10.0.0.1"})
	w.Expect(err).To(MatchError(ContainSubstring("DescribeTargetGroups: TargetGroupNotFound")))

	role := discovery.Account{Region: "ap-northeast-1", RoleARN: "arn:aws:iam::123456789012:role/web", ExternalID: "ours"}
	w.Expect(groups.Register(t.Context(), role, member)).To(MatchError(ContainSubstring("AssumeRole")), "a role that does not trust the manager")
	cloud.Trust(awstest.Role{ARN: role.RoleARN, ExternalID: "ours"})
	w.Expect(groups.Register(t.Context(), role, member)).To(Succeed())
}
