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

const (
	webAccount, shopAccount, foreignAccount = "123456789012", "210987654321", "999999999999"
	region                                  = "ap-northeast-1"
)

// team is a policy for a team's own account, role, tag, groups, target groups, network, user and directory.
func team(name, account, network string, namespaces ...string) v1alpha1.TargetPolicy {
	return v1alpha1.TargetPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.TargetPolicySpec{
		Namespaces: namespaces, SSHUsers: []string{name}, PathPrefixes: []string{"/srv/" + name}, Addresses: []string{network},
		EC2: []v1alpha1.EC2Permission{{Regions: []string{region}, RoleARNs: []string{"arn:aws:iam::" + account + ":role/" + name + "-*"},
			Accounts: []string{account}, Tags: map[string]v1alpha1.TagValue{"Team": v1alpha1.TagValue(name)}, AutoScalingGroups: []string{name + "-*"}}},
		TargetGroupARNs: []string{targetGroup(account, name+"-*")},
	}}
}

func roleOf(account, name string) string { return "arn:aws:iam::" + account + ":role/" + name }

func targetGroup(account, name string) string {
	return "arn:aws:elasticloadbalancing:" + region + ":" + account + ":targetgroup/" + name
}

// asks is a Service of a namespace, within what its policy permits, and a question about it.
type asks func(s *v1alpha1.Service, ask func() *policy.Permit) error

func address(a string) asks {
	return func(_ *v1alpha1.Service, ask func() *policy.Permit) error { return ask().Host(a) }
}

func source(region, role string) asks {
	return func(_ *v1alpha1.Service, ask func() *policy.Permit) error {
		return ask().Source(&v1alpha1.EC2Source{Region: region, RoleARN: role})
	}
}

// instance is looked for with the role that its namespace may assume.
func instance(account, tag, group string) asks {
	return func(s *v1alpha1.Service, ask func() *policy.Permit) error {
		own, reach := roleOf(webAccount, "web-look"), "10.1.0.1"
		if s.Namespace == "shop" {
			own, reach = roleOf(shopAccount, "shop-look"), "10.2.0.1"
		}
		i := &discovery.Instance{ID: "i-1", Account: account, Tags: map[string]string{}}
		if tag != "" {
			i.Tags["Team"] = tag
		}
		if group != "" {
			i.Tags[discovery.GroupTag] = group
		}
		return ask().Instance(&v1alpha1.EC2Source{Region: region, RoleARN: own}, i, reach)
	}
}

func targets(arn string) asks {
	return func(_ *v1alpha1.Service, ask func() *policy.Permit) error { return ask().TargetGroup(arn) }
}

// own asks for the namespace's own address with a changed Service.
func own(change func(*v1alpha1.Service)) asks {
	return func(s *v1alpha1.Service, ask func() *policy.Permit) error {
		change(s)
		if s.Namespace == "shop" {
			return ask().Host("10.2.0.1")
		}
		return ask().Host("10.1.0.1")
	}
}

func user(name string) asks {
	return own(func(s *v1alpha1.Service) { s.Spec.SSH.User = name })
}

func path(p v1alpha1.AbsolutePath) asks {
	return own(func(s *v1alpha1.Service) { s.Spec.Deploy.Path = p })
}

func state(p v1alpha1.AbsolutePath) asks {
	return own(func(s *v1alpha1.Service) { s.Spec.Deploy.StateDir = p })
}

const (
	ok   = ""
	no   = "no"   // refused, and what says why
	none = "none" // refused, because nobody speaks for the namespace
)

// The matrix: namespace × reference × resource. Every cell is allowed, or refused with its reason.
func TestMatrix(t *testing.T) {
	everything := team("all", foreignAccount, "*", "admin")
	all(&everything.Spec)
	policies := []v1alpha1.TargetPolicy{
		team("web", webAccount, "10.1.0.0/16", "web", "web-*"), team("shop", shopAccount, "10.2.0.0/16", "shop"), everything,
	}
	namespaces := []string{"web", "web-eu", "shop", "admin", "free"}
	roleWhy := func(account, name string) string { return "the role " + roleOf(account, name) }
	for _, row := range []struct {
		reference, resource string
		asks                asks
		what                string
		cells               [5]string
	}{
		// reference, resource, question, what a refusal begins with: web, web-eu, shop, admin, free
		{"address", "web's", address("10.1.0.1"), "the address 10.1.0.1", [5]string{ok, ok, no, ok, ok}},
		{"address", "shop's", address("10.2.0.1"), "the address 10.2.0.1", [5]string{no, no, ok, ok, ok}},
		{"address", "the metadata service", address("169.254.169.254"), "the address 169.254.169.254", [5]string{no, no, no, ok, ok}},

		{"source", "the manager's own", source(region, ""), "EC2 in " + region, [5]string{
			"looking as the manager itself; name a role in roleARN", "looking as the manager itself; name a role in roleARN",
			"looking as the manager itself; name a role in roleARN", ok, none}},
		{"source", "web's role", source(region, roleOf(webAccount, "web-look")), "EC2 in " + region + " as " + roleOf(webAccount, "web-look"), [5]string{
			ok, ok, roleWhy(webAccount, "web-look"), ok, none}},
		{"source", "shop's role", source(region, roleOf(shopAccount, "shop-look")), "EC2 in " + region + " as " + roleOf(shopAccount, "shop-look"), [5]string{
			roleWhy(shopAccount, "shop-look"), roleWhy(shopAccount, "shop-look"), ok, ok, none}},
		{"source", "web's role elsewhere", source(region, roleOf(foreignAccount, "web-look")), "EC2 in " + region + " as " + roleOf(foreignAccount, "web-look"), [5]string{
			roleWhy(foreignAccount, "web-look"), roleWhy(foreignAccount, "web-look"), roleWhy(foreignAccount, "web-look"), ok, none}},
		{"source", "another region", source("us-east-1", roleOf(webAccount, "web-look")), "EC2 in us-east-1 as " + roleOf(webAccount, "web-look"), [5]string{
			"its region us-east-1", "its region us-east-1", "its region us-east-1", ok, none}},

		{"instance", "web's", instance(webAccount, "web", "web-blue"), "i-1", [5]string{ok, ok, `its account "123456789012"`, ok, none}},
		{"instance", "shop's", instance(shopAccount, "shop", "shop-asg"), "i-1", [5]string{
			`its account "210987654321"`, `its account "210987654321"`, ok, ok, none}},
		{"instance", "shop's in web's account", instance(webAccount, "shop", "shop-asg"), "i-1", [5]string{
			"its tags lack Team=web", "its tags lack Team=web", `its account "123456789012"`, ok, none}},
		{"instance", "web's in a foreign account", instance(foreignAccount, "web", "web-blue"), "i-1", [5]string{
			`its account "999999999999"`, `its account "999999999999"`, `its account "999999999999"`, ok, none}},
		{"instance", "untagged", instance(webAccount, "", "web-blue"), "i-1", [5]string{
			"its tags lack Team=web", "its tags lack Team=web", `its account "123456789012"`, ok, none}},
		{"instance", "of another group", instance(webAccount, "web", "shop-asg"), "i-1", [5]string{
			`its Auto Scaling group "shop-asg"`, `its Auto Scaling group "shop-asg"`, `its account "123456789012"`, ok, none}},
		{"instance", "of no group", instance(webAccount, "web", ""), "i-1", [5]string{
			"it belongs to no Auto Scaling group", "it belongs to no Auto Scaling group", `its account "123456789012"`, ok, none}},

		{"target group", "web's", targets(targetGroup(webAccount, "web-1/0123456789abcdef")),
			"the target group " + targetGroup(webAccount, "web-1/0123456789abcdef"), [5]string{ok, ok, no, ok, none}},
		{"target group", "shop's", targets(targetGroup(shopAccount, "shop-1/0123456789abcdef")),
			"the target group " + targetGroup(shopAccount, "shop-1/0123456789abcdef"), [5]string{no, no, ok, ok, none}},
		{"target group", "web's in shop's account", targets(targetGroup(shopAccount, "web-1/0123456789abcdef")),
			"the target group " + targetGroup(shopAccount, "web-1/0123456789abcdef"), [5]string{no, no, no, ok, none}},

		{"user", "web", user("web"), `ssh.user "web"`, [5]string{ok, ok, no, ok, ok}},
		{"user", "shop", user("shop"), `ssh.user "shop"`, [5]string{no, no, ok, ok, ok}},
		{"user", "root", user("root"), `ssh.user "root"`, [5]string{no, no, no, no, ok}},

		{"path", "web's", path("/srv/web/blog"), "the path /srv/web/blog", [5]string{ok, ok, no, ok, ok}},
		{"path", "shop's", path("/srv/shop/blog"), "the path /srv/shop/blog", [5]string{no, no, ok, ok, ok}},
		{"path", "one that begins alike", path("/srv/webmail/x"), "the path /srv/webmail/x", [5]string{no, no, no, ok, ok}},
		{"path", "the system's", path("/etc/nginx"), "the path /etc/nginx", [5]string{no, no, no, ok, ok}},
		{"state", "web's", state("/srv/web/.state"), "the path /srv/web/.state", [5]string{ok, ok, no, ok, ok}},
		{"state", "elsewhere", state("/var/lib/x"), "the path /var/lib/x", [5]string{no, no, no, ok, ok}},
	} {
		for i, namespace := range namespaces {
			t.Run(namespace+"/"+row.reference+"/"+row.resource, func(t *testing.T) {
				s := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "blog"}}
				s.Spec.SSH.User, s.Spec.Deploy.Path = "web", "/srv/web/blog"
				if namespace == "shop" {
					s.Spec.SSH.User, s.Spec.Deploy.Path = "shop", "/srv/shop/blog"
				}
				err := row.asks(s, func() *policy.Permit { return policy.For(s, policies) })
				refused := row.what + " is not permitted by any TargetPolicy of namespace " + namespace
				switch cell := row.cells[i]; cell {
				case ok:
					NewWithT(t).Expect(err).NotTo(HaveOccurred())
				case no:
					NewWithT(t).Expect(err).To(MatchError(refused))
				case none:
					NewWithT(t).Expect(err).To(MatchError(HavePrefix("no TargetPolicy speaks for the namespace: ")))
				default:
					NewWithT(t).Expect(err).To(MatchError(refused + ": " + cell))
				}
			})
		}
	}
}
