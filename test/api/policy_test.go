// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"strconv"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/test/env"
)

// newPolicy is a TargetPolicy that the API accepts.
func newPolicy(t *testing.T) *v1alpha1.TargetPolicy {
	return &v1alpha1.TargetPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: env.Namespace(t)}, // as unlike others as a namespace is
		Spec: v1alpha1.TargetPolicySpec{
			Namespaces: []string{"web", "web-*"},
			EC2: []v1alpha1.EC2Permission{{
				Regions: []string{"ap-northeast-1"}, RoleARNs: []string{"arn:aws:iam::123456789012:role/teams/web-*"},
				Accounts: []string{"123456789012"}, Tags: map[string]v1alpha1.TagValue{"Team": "web"}, AutoScalingGroups: []string{"web-*"},
			}},
			Addresses: []string{"10.0.0.0/16"}, SSHUsers: []string{"deploy"}, PathPrefixes: []string{"/srv/www"},
			TargetGroupARNs: []string{"arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:targetgroup/web/0123456789abcdef"},
		},
	}
}

func create(t *testing.T, policy *v1alpha1.TargetPolicy) error {
	err := env.Client(t).Create(t.Context(), policy)
	if err == nil {
		t.Cleanup(func() { NewWithT(t).Expect(env.Client(t).Delete(context.Background(), policy)).To(Succeed()) })
	}
	return err
}

func TestTargetPolicyAcceptsWhatAdministratorsWrite(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.TargetPolicySpec){
		"a team's":       func(*v1alpha1.TargetPolicySpec) {},
		"nothing of EC2": func(p *v1alpha1.TargetPolicySpec) { p.EC2, p.TargetGroupARNs = nil, nil },
		"everywhere":     func(p *v1alpha1.TargetPolicySpec) { p.EC2[0].Regions = []string{"*"} },
		"every role":     func(p *v1alpha1.TargetPolicySpec) { p.EC2[0].RoleARNs = []string{"*"} },
		"every role of one": func(p *v1alpha1.TargetPolicySpec) {
			p.EC2[0].RoleARNs = []string{"arn:aws-us-gov:iam::123456789012:role/*"}
		},
		"any account":         func(p *v1alpha1.TargetPolicySpec) { p.EC2[0].Accounts = nil },
		"every target group":  func(p *v1alpha1.TargetPolicySpec) { p.TargetGroupARNs = []string{"*"} },
		"target groups":       func(p *v1alpha1.TargetPolicySpec) { p.TargetGroupARNs = groups("web-*", "shop/*", "*") },
		"all instances":       func(p *v1alpha1.TargetPolicySpec) { p.EC2[0].Tags, p.EC2[0].AllInstances = nil, true },
		"as many as possible": many,
	} {
		t.Run(name, func(t *testing.T) {
			policy := newPolicy(t)
			change(&policy.Spec)
			NewWithT(t).Expect(create(t, policy)).To(Succeed())
		})
	}
}

func groups(names ...string) []string {
	var arns []string
	for _, name := range names {
		arns = append(arns, "arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:targetgroup/"+name)
	}
	return arns
}

// many fills lists to their bounds.
func many(p *v1alpha1.TargetPolicySpec) {
	p.TargetGroupARNs, p.EC2[0].Accounts, p.EC2[0].RoleARNs = nil, nil, nil
	for i := range 64 {
		account := strconv.Itoa(100000000000 + i)
		p.TargetGroupARNs = append(p.TargetGroupARNs, groups("web-"+strconv.Itoa(i)+"/0123456789abcdef")...)
		p.EC2[0].Accounts = append(p.EC2[0].Accounts, account)
		p.EC2[0].RoleARNs = append(p.EC2[0].RoleARNs, "arn:aws:iam::"+account+":role/"+strings.Repeat("x", 600))
	}
	for range 31 {
		p.EC2 = append(p.EC2, p.EC2[0])
	}
}

func TestTargetPolicyRefusesBadInputAtTheDoor(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*v1alpha1.TargetPolicySpec)
		says   string
	}{
		"for nobody":                {func(p *v1alpha1.TargetPolicySpec) { p.Namespaces = []string{} }, "namespaces"},
		"as nobody":                 {func(p *v1alpha1.TargetPolicySpec) { p.SSHUsers = []string{} }, "sshUsers"},
		"nowhere":                   {func(p *v1alpha1.TargetPolicySpec) { p.PathPrefixes = []string{} }, "pathPrefixes"},
		"a pattern in the middle":   {func(p *v1alpha1.TargetPolicySpec) { p.Namespaces = []string{"web-*-eu"} }, "namespaces"},
		"a path that goes up":       {func(p *v1alpha1.TargetPolicySpec) { p.PathPrefixes = []string{"srv"} }, "pathPrefixes"},
		"neither tags nor all":      {func(p *v1alpha1.TargetPolicySpec) { p.EC2[0].Tags = nil }, "demand tags, or say allInstances: true"},
		"tags and all":              {func(p *v1alpha1.TargetPolicySpec) { p.EC2[0].AllInstances = true }, "demand tags, or say allInstances: true"},
		"a tag without a key":       {func(p *v1alpha1.TargetPolicySpec) { p.EC2[0].Tags[""] = "x" }, "a tag's key has 1 to 128 characters"},
		"a zone for a region":       {func(p *v1alpha1.TargetPolicySpec) { p.EC2[0].Regions = []string{"ap-northeast-1a"} }, "regions"},
		"a name for an account":     {func(p *v1alpha1.TargetPolicySpec) { p.EC2[0].Accounts = []string{"web"} }, "an account of AWS is 12 digits"},
		"an account with dashes":    {func(p *v1alpha1.TargetPolicySpec) { p.EC2[0].Accounts = []string{"1234-5678-9012"} }, "Too long"},
		"a short account":           {func(p *v1alpha1.TargetPolicySpec) { p.EC2[0].Accounts = []string{"12345678901"} }, "an account of AWS is 12 digits"},
		"every account":             {func(p *v1alpha1.TargetPolicySpec) { p.EC2[0].Accounts = []string{"*"} }, "an account of AWS is 12 digits"},
		"an account twice":          {func(p *v1alpha1.TargetPolicySpec) { p.EC2[0].Accounts = []string{"123456789012", "123456789012"} }, "Duplicate value"},
		"a user for a role":         {func(p *v1alpha1.TargetPolicySpec) { p.EC2[0].RoleARNs = []string{"arn:aws:iam::123456789012:user/x"} }, "must be the ARN of a role"},
		"a role of any account":     {func(p *v1alpha1.TargetPolicySpec) { p.EC2[0].RoleARNs = []string{"arn:aws:iam::*"} }, "never for an account"},
		"a role of half an account": {func(p *v1alpha1.TargetPolicySpec) { p.EC2[0].RoleARNs = []string{"arn:aws:iam::1234*"} }, "never for an account"},
		"a role with a star in it":  {func(p *v1alpha1.TargetPolicySpec) { p.EC2[0].RoleARNs = []string{"arn:aws:iam::123456789012:role/*/x"} }, "must be the ARN of a role"},
		"a balancer for its group": {func(p *v1alpha1.TargetPolicySpec) {
			p.TargetGroupARNs = []string{"arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:loadbalancer/app/web/0123456789abcdef"}
		}, "must be the ARN of a target group"},
		"a target group's bare name": {func(p *v1alpha1.TargetPolicySpec) { p.TargetGroupARNs = []string{"web"} }, "must be the ARN of a target group"},
		"a target group without id":  {func(p *v1alpha1.TargetPolicySpec) { p.TargetGroupARNs = groups("web") }, "must be the ARN of a target group"},
		"target groups of anybody": {func(p *v1alpha1.TargetPolicySpec) {
			p.TargetGroupARNs = []string{"arn:aws:elasticloadbalancing:ap-northeast-1:*"}
		}, "must be the ARN of a target group"},
		"a newline in a target group": {func(p *v1alpha1.TargetPolicySpec) { p.TargetGroupARNs = groups("web/0123456789abcdef\n") }, "must be the ARN of a target group"},
		"more target groups":          {func(p *v1alpha1.TargetPolicySpec) { many(p); p.TargetGroupARNs = append(p.TargetGroupARNs, "*") }, "64"},
		"more accounts": {func(p *v1alpha1.TargetPolicySpec) {
			many(p)
			p.EC2[0].Accounts = append(p.EC2[0].Accounts, "123456789012")
		}, "64"},
	} {
		t.Run(name, func(t *testing.T) {
			policy := newPolicy(t)
			test.change(&policy.Spec)
			NewWithT(t).Expect(create(t, policy)).To(MatchError(ContainSubstring(test.says)))
		})
	}
}
