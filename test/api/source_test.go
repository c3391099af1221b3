// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/test/env"
)

func TestEC2SourceDefaults(t *testing.T) {
	g := NewWithT(t)
	service := newService(env.Namespace(t), "blog")
	service.Spec.Targets = []v1alpha1.TargetSource{{EC2: &v1alpha1.EC2Source{Region: "us-gov-west-1", AutoScalingGroup: "Blog (live)"}}, {EC2: tagged()}, service.Spec.Targets[0]}
	g.Expect(env.Client(t).Create(t.Context(), service)).To(Succeed())
	g.Expect(service.Spec.Targets[0].EC2.Address).To(Equal(v1alpha1.AddressPrivateIP))
}

func tagged() *v1alpha1.EC2Source {
	return &v1alpha1.EC2Source{Region: "ap-northeast-1", Tags: map[string]v1alpha1.TagValue{"Role": "blog"},
		RoleARN: "arn:aws:iam::123456789012:role/teams/slipway", ExternalID: "tenant-1"}
}

func TestEC2SourceRefusesBadInputAtTheDoor(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*v1alpha1.TargetSource)
		says   string
	}{
		"neither hosts nor ec2":    {func(s *v1alpha1.TargetSource) { s.EC2 = nil }, "either hosts or ec2"},
		"hosts and ec2":            {func(s *v1alpha1.TargetSource) { s.Hosts = []v1alpha1.StaticHost{{Name: "a", Address: "b"}} }, "either hosts or ec2"},
		"nothing in particular":    {func(s *v1alpha1.TargetSource) { s.EC2.Tags = nil }, "would select every instance"},
		"a region of a zone":       {func(s *v1alpha1.TargetSource) { s.EC2.Region = "ap-northeast-1a" }, "region"},
		"a region of a host":       {func(s *v1alpha1.TargetSource) { s.EC2.Region = "evil.example/#" }, "region"},
		"a tag without a key":      {func(s *v1alpha1.TargetSource) { s.EC2.Tags[""] = "x" }, "1 to 128 characters"},
		"a long value":             {func(s *v1alpha1.TargetSource) { s.EC2.Tags["a"] = v1alpha1.TagValue(strings.Repeat("x", 257)) }, "256"},
		"by a tag without its key": {func(s *v1alpha1.TargetSource) { s.EC2.Address = v1alpha1.AddressTag }, "addressTag goes with address: Tag"},
		"a key without the choice": {func(s *v1alpha1.TargetSource) { s.EC2.AddressTag = "Reach" }, "addressTag goes with address: Tag"},
		"an unknown address":       {func(s *v1alpha1.TargetSource) { s.EC2.Address = "IPv6" }, "supported values"},
		"a user for a role":        {func(s *v1alpha1.TargetSource) { s.EC2.RoleARN = "arn:aws:iam::123456789012:user/x" }, "roleARN"},
		"a hook of no group":       {func(s *v1alpha1.TargetSource) { s.EC2.LaunchHook = "up" }, "name the group"},
		"another hook of no group": {func(s *v1alpha1.TargetSource) { s.EC2.TerminateHook = "down" }, "name the group"},
		"a hook that is no name": {func(s *v1alpha1.TargetSource) {
			s.EC2.AutoScalingGroup, s.EC2.LaunchHook = "web", "a b"
		}, "launchHook"},
		"an id without its role": {func(s *v1alpha1.TargetSource) { s.EC2.RoleARN = "" }, "externalID goes with roleARN"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			service := newService(env.Namespace(t), "blog")
			service.Spec.Targets = []v1alpha1.TargetSource{{EC2: tagged()}}
			test.change(&service.Spec.Targets[0])
			g.Expect(env.Client(t).Create(t.Context(), service)).To(MatchError(ContainSubstring(test.says)))
		})
	}
}
