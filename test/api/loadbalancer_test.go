// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/test/env"
)

const groupARN = "arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:targetgroup/web/0123456789abcdef"

func TestLoadBalancersAtTheDoor(t *testing.T) {
	groups := func(arns ...v1alpha1.TargetGroupARN) *v1alpha1.LoadBalancer {
		lb := &v1alpha1.LoadBalancer{}
		for _, arn := range arns {
			lb.TargetGroups = append(lb.TargetGroups, v1alpha1.TargetGroup{ARN: arn})
		}
		return lb
	}
	commands := &v1alpha1.LoadBalancerCommands{Drain: v1alpha1.HostHook{Command: []string{"drain", "$(no shell)"}}, Undrain: v1alpha1.HostHook{Script: "undrain"}}
	changed := func(change func(*v1alpha1.LoadBalancer)) *v1alpha1.LoadBalancer {
		lb := groups(groupARN)
		change(lb)
		return lb
	}
	for name, test := range map[string]struct {
		lb   *v1alpha1.LoadBalancer
		says string
	}{
		"a group":        {lb: groups(groupARN)},
		"of China":       {lb: groups("arn:aws-cn:elasticloadbalancing:cn-north-1:123456789012:targetgroup/web/0123456789abcdef")},
		"commands":       {lb: &v1alpha1.LoadBalancer{Commands: commands}},
		"neither":        {groups(), "exactly one of the fields in [targetGroups commands] must be set"},
		"both":           {changed(func(lb *v1alpha1.LoadBalancer) { lb.Commands = commands }), "exactly one of the fields"},
		"twice":          {groups(groupARN, groupARN), "Duplicate value"},
		"a balancer":     {groups("arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:loadbalancer/app/web/0123456789abcdef"), "must be the ARN of a target group"},
		"a pattern":      {groups("arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:targetgroup/web-*"), "must be the ARN of a target group"},
		"a port":         {changed(func(lb *v1alpha1.LoadBalancer) { lb.TargetGroups[0].Port = 65536 }), "should be less than or equal to 65535"},
		"no time":        {changed(func(lb *v1alpha1.LoadBalancer) { lb.DrainTimeout.Duration = time.Second }), "must be between 10s and 1h"},
		"too much time":  {changed(func(lb *v1alpha1.LoadBalancer) { lb.HealthyTimeout.Duration = 2 * time.Hour }), "must be between 10s and 1h"},
		"half a command": {&v1alpha1.LoadBalancer{Commands: &v1alpha1.LoadBalancerCommands{Drain: commands.Drain}}, "exactly one of the fields in [command script] must be set"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			service := newService(env.Namespace(t), "blog")
			service.Spec.Deploy.LoadBalancer = test.lb
			err := env.Client(t).Create(t.Context(), service)
			if test.says != "" {
				g.Expect(err).To(MatchError(ContainSubstring(test.says)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			five := metav1.Duration{Duration: 5 * time.Minute}
			g.Expect([]metav1.Duration{service.Spec.Deploy.LoadBalancer.DrainTimeout, service.Spec.Deploy.LoadBalancer.HealthyTimeout}).To(Equal([]metav1.Duration{five, five}))
		})
	}
}
