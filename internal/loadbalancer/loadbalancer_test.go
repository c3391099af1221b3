// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package loadbalancer_test

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/discovery"
	"github.com/slipway-dev/slipway/internal/loadbalancer"
)

func at(state v1alpha1.LoadBalancerState) *v1alpha1.LoadBalancerStatus {
	return &v1alpha1.LoadBalancerStatus{State: state, Fence: 5}
}

func TestHowATargetGroupIsUnderstood(t *testing.T) {
	for name, test := range map[string]struct {
		health                      loadbalancer.Health
		serving, drained, inService bool
	}{
		"never registered":          {loadbalancer.Health{State: "unused", Reason: "Target.NotRegistered"}, false, true, false},
		"in a group nobody uses":    {loadbalancer.Health{State: "unused", Reason: "Target.NotInUse"}, true, false, true},
		"an instance that stopped":  {loadbalancer.Health{State: "unused", Reason: "Target.InvalidState"}, true, false, false},
		"just registered":           {loadbalancer.Health{State: "initial", Reason: "Elb.InitialHealthChecking"}, true, false, false},
		"healthy":                   {loadbalancer.Health{State: "healthy"}, true, false, true},
		"unhealthy":                 {loadbalancer.Health{State: "unhealthy", Reason: "Target.Timeout"}, true, false, false},
		"without health checks":     {loadbalancer.Health{State: "unavailable", Reason: "Target.HealthCheckDisabled"}, true, false, true},
		"draining":                  {loadbalancer.Health{State: "draining", Reason: "Target.DeregistrationInProgress"}, false, false, false},
		"unhealthy, still draining": {loadbalancer.Health{State: "unhealthy.draining"}, false, false, false},
		"of a state of the future":  {loadbalancer.Health{State: "new"}, true, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := test.health
			NewWithT(t).Expect([]bool{h.Serving(), h.Drained(), h.InService()}).To(Equal([]bool{test.serving, test.drained, test.inService}))
		})
	}
}

func TestWhoMustLeave(t *testing.T) {
	for name, test := range map[string]struct {
		content loadbalancer.Content
		leaves  bool
	}{
		"other content":                              {loadbalancer.Content{Configured: true, Live: "a", Ordered: "b"}, true},
		"the same content":                           {loadbalancer.Content{Configured: true, Live: "b", Ordered: "b"}, false},
		"the same content, mended":                   {loadbalancer.Content{Configured: true, Live: "b", Ordered: "b", Repair: true}, true},
		"the first content":                          {loadbalancer.Content{Configured: true, Ordered: "b"}, true},
		"no load balancer":                           {loadbalancer.Content{Live: "a", Ordered: "b"}, false},
		"no load balancer any more, and back":        {loadbalancer.Content{Live: "a", Ordered: "b", Status: at(v1alpha1.InService)}, false},
		"no load balancer any more, on its way back": {loadbalancer.Content{Live: "a", Ordered: "b", Status: at(v1alpha1.Registering)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(loadbalancer.MustLeave(test.content)).To(Equal(test.leaves))
		})
	}
}

func TestWhoMayReturn(t *testing.T) {
	well := loadbalancer.Facts{Status: at(v1alpha1.Drained), Ordered: "b", Live: "b", Healthy: true}
	NewWithT(t).Expect(loadbalancer.MayReturn(well)).To(BeTrue())
	for name, test := range map[string]struct {
		change  func(*loadbalancer.Facts)
		returns bool
	}{
		"was about to leave":              {func(f *loadbalancer.Facts) { f.Status = at(v1alpha1.Draining) }, true},
		"was about to return":             {func(f *loadbalancer.Facts) { f.Status = at(v1alpha1.Registering) }, true},
		"the order was withdrawn":         {func(f *loadbalancer.Facts) { f.Ordered, f.Live = "", "a" }, true},
		"is in service":                   {func(f *loadbalancer.Facts) { f.Status = at(v1alpha1.InService) }, false},
		"was never taken out":             {func(f *loadbalancer.Facts) { f.Status = nil }, false},
		"is not healthy":                  {func(f *loadbalancer.Facts) { f.Healthy = false }, false},
		"runs something else":             {func(f *loadbalancer.Facts) { f.Live = "a" }, false},
		"runs nothing":                    {func(f *loadbalancer.Facts) { f.Ordered, f.Live = "", "" }, false},
		"was switched by half":            {func(f *loadbalancer.Facts) { f.Half = true }, false},
		"withdrawn, but switched by half": {func(f *loadbalancer.Facts) { f.Ordered, f.Half = "", true }, false},
		"has become somebody else's":      {func(f *loadbalancer.Facts) { f.Foreign = true }, false},
		"withdrawn, but is not healthy":   {func(f *loadbalancer.Facts) { f.Ordered, f.Healthy = "", false }, false},
	} {
		t.Run(name, func(t *testing.T) {
			facts := well
			test.change(&facts)
			NewWithT(t).Expect(loadbalancer.MayReturn(facts)).To(Equal(test.returns))
		})
	}
}

func TestUntouchedIsWhoWasNotSwitchedSince(t *testing.T) {
	g := NewWithT(t)
	g.Expect(loadbalancer.Untouched(at(v1alpha1.Drained), 4)).To(BeTrue())
	g.Expect(loadbalancer.Untouched(at(v1alpha1.Drained), 5)).To(BeFalse())
	g.Expect(loadbalancer.Untouched(at(v1alpha1.InService), 4)).To(BeFalse())
}

func TestWithWhoseRights(t *testing.T) {
	const arn = "arn:aws:elasticloadbalancing:us-east-1:222222222222:targetgroup/web/0123456789abcdef"
	source := func(account string) v1alpha1.TargetSource {
		return v1alpha1.TargetSource{EC2: &v1alpha1.EC2Source{Region: "ap-northeast-1", RoleARN: "arn:aws:iam::" + account + ":role/web", ExternalID: account}}
	}
	role := func(account string) discovery.Account {
		return discovery.Account{Region: "us-east-1", RoleARN: "arn:aws:iam::" + account + ":role/web", ExternalID: account}
	}
	for name, test := range map[string]struct {
		sources []v1alpha1.TargetSource
		want    discovery.Account
	}{
		"hosts by name":           {[]v1alpha1.TargetSource{{Hosts: []v1alpha1.StaticHost{{Name: "a"}}}}, discovery.Account{Region: "us-east-1"}},
		"the only source":         {[]v1alpha1.TargetSource{source("111111111111")}, role("111111111111")},
		"the source of the owner": {[]v1alpha1.TargetSource{source("111111111111"), source("222222222222"), source("333333333333")}, role("222222222222")},
		"the first source":        {[]v1alpha1.TargetSource{source("111111111111"), source("333333333333")}, role("111111111111")},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			of, source := loadbalancer.AccountOf(arn, test.sources)
			g.Expect(of).To(Equal(test.want))
			g.Expect(source == nil).To(Equal(of.RoleARN == ""))
		})
	}
}
