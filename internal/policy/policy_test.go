// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/discovery"
	"github.com/slipway-dev/slipway/internal/policy"
)

const role = "arn:aws:iam::123456789012:role/slipway-web"

// web is a policy that permits the team's hosts, changed by change.
func web(change func(*v1alpha1.TargetPolicySpec)) v1alpha1.TargetPolicy {
	p := v1alpha1.TargetPolicy{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: v1alpha1.TargetPolicySpec{
		Namespaces: []string{"web", "team-*"}, SSHUsers: []string{"deploy"}, PathPrefixes: []string{"/srv/www"},
		Addresses: []string{"10.0.0.0/16", "2001:db8::/32", "bastion.example.com", ".web.example.com", "192.0.2.7"},
		EC2: []v1alpha1.EC2Permission{{Regions: []string{"ap-northeast-1"}, RoleARNs: []string{role},
			Tags: map[string]v1alpha1.TagValue{"Team": "web"}, AutoScalingGroups: []string{"web-*"}}},
	}}
	if change != nil {
		change(&p.Spec)
	}
	return p
}

// all permits everything that can be permitted at once.
func all(p *v1alpha1.TargetPolicySpec) {
	p.Addresses, p.SSHUsers, p.PathPrefixes = []string{"*"}, []string{"*"}, []string{"/"}
	p.TargetGroupARNs = []string{"*"}
	p.EC2 = []v1alpha1.EC2Permission{{Regions: []string{"*"}, AllInstances: true}, {Regions: []string{"*"}, AllInstances: true, RoleARNs: []string{"*"}}}
}

func service(change func(*v1alpha1.Service)) *v1alpha1.Service {
	s := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "blog"}, Spec: v1alpha1.ServiceSpec{
		SSH: v1alpha1.SSHSpec{User: "deploy"}, Deploy: v1alpha1.DeploySpec{Path: "/srv/www/blog"},
	}}
	if change != nil {
		change(s)
	}
	return s
}

// What addresses, users and paths are one.
func TestHost(t *testing.T) {
	for name, test := range map[string]struct {
		service  func(*v1alpha1.Service)
		policies []v1alpha1.TargetPolicy
		address  string
		refused  string
	}{
		"no policy at all":                 {address: "203.0.113.1"},
		"a policy of another namespace":    {service: func(s *v1alpha1.Service) { s.Namespace = "shop" }, policies: []v1alpha1.TargetPolicy{web(nil)}, address: "203.0.113.1"},
		"in the network":                   {policies: []v1alpha1.TargetPolicy{web(nil)}, address: "10.0.200.1"},
		"in the network, by a pattern":     {service: func(s *v1alpha1.Service) { s.Namespace = "team-a" }, policies: []v1alpha1.TargetPolicy{web(nil)}, address: "10.0.0.1"},
		"in the network, spelled as IPv6":  {policies: []v1alpha1.TargetPolicy{web(nil)}, address: "::ffff:10.0.0.1"},
		"in the network of IPv6":           {policies: []v1alpha1.TargetPolicy{web(nil)}, address: "2001:db8::1"},
		"the address":                      {policies: []v1alpha1.TargetPolicy{web(nil)}, address: "192.0.2.7"},
		"the name":                         {policies: []v1alpha1.TargetPolicy{web(nil)}, address: "Bastion.example.com."},
		"in the domain":                    {policies: []v1alpha1.TargetPolicy{web(nil)}, address: "web-1.web.example.com"},
		"the domain itself":                {policies: []v1alpha1.TargetPolicy{web(nil)}, address: "web.example.com", refused: "the address web.example.com is not permitted"},
		"another domain with that end":     {policies: []v1alpha1.TargetPolicy{web(nil)}, address: "evilweb.example.com", refused: "not permitted"},
		"outside of the network":           {policies: []v1alpha1.TargetPolicy{web(nil)}, address: "10.1.0.1", refused: "by any TargetPolicy of namespace web"},
		"the metadata service":             {policies: []v1alpha1.TargetPolicy{web(nil)}, address: "169.254.169.254", refused: "not permitted"},
		"a policy without addresses":       {policies: []v1alpha1.TargetPolicy{web(func(p *v1alpha1.TargetPolicySpec) { p.Addresses = nil })}, address: "10.0.0.1", refused: "not permitted"},
		"another user":                     {service: func(s *v1alpha1.Service) { s.Spec.SSH.User = "root" }, policies: []v1alpha1.TargetPolicy{web(nil)}, address: "10.0.0.1", refused: "ssh.user \"root\""},
		"another path":                     {service: func(s *v1alpha1.Service) { s.Spec.Deploy.Path = "/etc/nginx" }, policies: []v1alpha1.TargetPolicy{web(nil)}, address: "10.0.0.1", refused: "the path /etc/nginx"},
		"a path that begins alike":         {service: func(s *v1alpha1.Service) { s.Spec.Deploy.Path = "/srv/www2/x" }, policies: []v1alpha1.TargetPolicy{web(nil)}, address: "10.0.0.1", refused: "the path /srv/www2/x"},
		"state elsewhere":                  {service: func(s *v1alpha1.Service) { s.Spec.Deploy.StateDir = "/var/lib/x" }, policies: []v1alpha1.TargetPolicy{web(nil)}, address: "10.0.0.1", refused: "the path /var/lib/x"},
		"everything is permitted":          {service: func(s *v1alpha1.Service) { s.Spec.Deploy.Path, s.Spec.SSH.User = "/opt/x", "www" }, policies: []v1alpha1.TargetPolicy{web(all)}, address: "anything"},
		"everything is permitted but root": {service: func(s *v1alpha1.Service) { s.Spec.SSH.User = "root" }, policies: []v1alpha1.TargetPolicy{web(all)}, address: "10.0.0.1", refused: "ssh.user \"root\""},
		"one policy permits what another forbids": {policies: []v1alpha1.TargetPolicy{
			web(func(p *v1alpha1.TargetPolicySpec) { p.Addresses = nil }), web(nil)}, address: "10.0.0.1"},
		"two policies never add up": {policies: []v1alpha1.TargetPolicy{
			web(func(p *v1alpha1.TargetPolicySpec) { p.Addresses = nil }), web(func(p *v1alpha1.TargetPolicySpec) { p.SSHUsers = []string{"ops"} })},
			address: "10.0.0.1", refused: "not permitted"},
	} {
		t.Run(name, func(t *testing.T) {
			err := policy.For(service(test.service), test.policies).Host(test.address)
			if test.refused == "" {
				NewWithT(t).Expect(err).NotTo(HaveOccurred())
				return
			}
			NewWithT(t).Expect(err).To(MatchError(ContainSubstring(test.refused)))
		})
	}
}

// Of several permissions, the one that came nearest says why.
func TestInstance(t *testing.T) {
	for name, test := range map[string]struct {
		policies []v1alpha1.TargetPolicy
		source   func(*v1alpha1.EC2Source)
		instance func(*discovery.Instance)
		address  string
		source1  bool // refused before anything is looked for
		refused  string
	}{
		"permitted":              {policies: []v1alpha1.TargetPolicy{web(nil)}},
		"no policy":              {source1: true, refused: "no TargetPolicy speaks for the namespace"},
		"a policy without EC2":   {policies: []v1alpha1.TargetPolicy{web(func(p *v1alpha1.TargetPolicySpec) { p.EC2 = nil })}, source1: true, refused: "not permitted"},
		"another region":         {policies: []v1alpha1.TargetPolicy{web(nil)}, source: func(s *v1alpha1.EC2Source) { s.Region = "us-east-1" }, source1: true, refused: "EC2 in us-east-1"},
		"another role":           {policies: []v1alpha1.TargetPolicy{web(nil)}, source: func(s *v1alpha1.EC2Source) { s.RoleARN = role + "2" }, source1: true, refused: "not permitted"},
		"the manager's identity": {policies: []v1alpha1.TargetPolicy{web(nil)}, source: func(s *v1alpha1.EC2Source) { s.RoleARN = "" }, source1: true, refused: "not permitted"},
		"without the tag":        {policies: []v1alpha1.TargetPolicy{web(nil)}, instance: func(i *discovery.Instance) { delete(i.Tags, "Team") }, refused: "its tags lack Team=web"},
		"another team's":         {policies: []v1alpha1.TargetPolicy{web(nil)}, instance: func(i *discovery.Instance) { i.Tags["Team"] = "shop" }, refused: "its tags lack Team=web"},
		"another group":          {policies: []v1alpha1.TargetPolicy{web(nil)}, instance: func(i *discovery.Instance) { i.Tags[discovery.GroupTag] = "shop-asg" }, refused: "its Auto Scaling group \"shop-asg\""},
		"no group":               {policies: []v1alpha1.TargetPolicy{web(nil)}, instance: func(i *discovery.Instance) { delete(i.Tags, discovery.GroupTag) }, refused: "it belongs to no Auto Scaling group"},
		"another network":        {policies: []v1alpha1.TargetPolicy{web(nil)}, address: "10.9.0.1", refused: "the address 10.9.0.1"},
		"any network":            {policies: []v1alpha1.TargetPolicy{web(func(p *v1alpha1.TargetPolicySpec) { p.Addresses = nil })}, address: "10.9.0.1"},
		"of one of the accounts": {policies: []v1alpha1.TargetPolicy{web(func(p *v1alpha1.TargetPolicySpec) {
			p.EC2[0].Accounts = []string{"210987654321", "123456789012"}
		})}},
		"of no account that is known": {policies: []v1alpha1.TargetPolicy{web(func(p *v1alpha1.TargetPolicySpec) {
			p.EC2[0].Accounts = []string{"123456789012"}
		})}, instance: func(i *discovery.Instance) { i.Account = "" }, refused: "its account \"\""},
		"a role of another account": {policies: []v1alpha1.TargetPolicy{web(func(p *v1alpha1.TargetPolicySpec) {
			p.EC2[0].RoleARNs, p.EC2[0].Accounts = []string{"*"}, []string{"210987654321"}
		})}, source1: true, refused: "the account 123456789012 of the role"},
		"the nearest permission says why": {policies: []v1alpha1.TargetPolicy{web(func(p *v1alpha1.TargetPolicySpec) {
			other := p.EC2[0]
			other.Regions = []string{"us-east-1"}
			p.EC2 = append(p.EC2, other)
		})}, instance: func(i *discovery.Instance) { i.Tags["Team"] = "shop" }, refused: "its tags lack Team=web"},
		"the nearest policy says why": {policies: []v1alpha1.TargetPolicy{web(nil), web(func(p *v1alpha1.TargetPolicySpec) { p.EC2 = nil })},
			instance: func(i *discovery.Instance) { i.Tags["Team"] = "shop" }, refused: "its tags lack Team=web"},
		"everything":               {policies: []v1alpha1.TargetPolicy{web(all)}, instance: func(i *discovery.Instance) { i.Tags = nil }},
		"everything, as oneself":   {policies: []v1alpha1.TargetPolicy{web(all)}, source: func(s *v1alpha1.EC2Source) { s.RoleARN = "" }},
		"an empty demand for tags": {policies: []v1alpha1.TargetPolicy{web(func(p *v1alpha1.TargetPolicySpec) { p.EC2[0].Tags = nil })}, refused: "not permitted"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			source := &v1alpha1.EC2Source{Region: "ap-northeast-1", RoleARN: role}
			if test.source != nil {
				test.source(source)
			}
			instance := &discovery.Instance{ID: "i-1", Account: "123456789012", Tags: map[string]string{"Team": "web", discovery.GroupTag: "web-blue"}}
			if test.instance != nil {
				test.instance(instance)
			}
			if test.address == "" {
				test.address = "10.0.0.1"
			}
			permit := policy.For(service(nil), test.policies)
			if test.source1 {
				g.Expect(permit.Source(source)).To(MatchError(ContainSubstring(test.refused)))
			} else {
				g.Expect(permit.Source(source)).To(Succeed())
			}
			err := permit.Instance(source, instance, test.address)
			if test.refused == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(HaveOccurred())
			if !test.source1 {
				g.Expect(err).To(MatchError(ContainSubstring(test.refused)))
			}
		})
	}
}
