// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/discovery"
)

// clouds is a Finder with a view for each account.
type clouds map[discovery.Account]discovery.View

func (c clouds) View(account discovery.Account, _ []string) discovery.View { return c[account] }

// everything is permitted.
type everything struct{}

func (everything) Host(string) error                { return nil }
func (everything) Source(*v1alpha1.EC2Source) error { return nil }
func (everything) Instance(*v1alpha1.EC2Source, *discovery.Instance, string) error {
	return nil
}

func id(n int) string { return fmt.Sprintf("i-%017x", n) }

// blog is a running instance of the blog's fleet, changed by change.
func blog(n int, change func(*discovery.Instance)) discovery.Instance {
	instance := discovery.Instance{
		ID: id(n), Zone: "ap-northeast-1a", Type: "t4g.small", State: discovery.Running, PrivateIP: fmt.Sprintf("10.0.0.%d", n),
		Tags:       map[string]string{"Role": "blog", discovery.GroupTag: "blog-asg", "Reach": "host.example"},
		LaunchTime: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	if change != nil {
		change(&instance)
	}
	return instance
}

func view(looks int, instances ...discovery.Instance) discovery.View {
	v := discovery.View{Looks: looks, Instances: map[string]discovery.Instance{}}
	for _, instance := range instances {
		v.Instances[instance.ID] = instance
	}
	return v
}

func byTag() *v1alpha1.EC2Source {
	return &v1alpha1.EC2Source{Region: "ap-northeast-1", Tags: map[string]v1alpha1.TagValue{"Role": "blog"}, Address: v1alpha1.AddressPrivateIP}
}

func ec2(source *v1alpha1.EC2Source) []v1alpha1.TargetSource {
	return []v1alpha1.TargetSource{{EC2: source}}
}

var here = discovery.Account{Region: "ap-northeast-1"}

func TestInstancesThatAreHosts(t *testing.T) {
	group := &v1alpha1.EC2Source{Region: "ap-northeast-1", AutoScalingGroup: "blog-asg", Address: v1alpha1.AddressPrivateIP}
	withAddress := func(kind v1alpha1.AddressKind) *v1alpha1.EC2Source {
		source := byTag()
		if source.Address = kind; kind == v1alpha1.AddressTag {
			source.AddressTag = "Reach"
		}
		return source
	}
	for name, test := range map[string]struct {
		source  *v1alpha1.EC2Source
		change  func(*discovery.Instance)
		address string
		note    string
	}{
		"it bears the tag":           {source: byTag(), address: "10.0.0.7"},
		"it is of the group":         {source: group, address: "10.0.0.7"},
		"another value":              {source: byTag(), change: func(i *discovery.Instance) { i.Tags["Role"] = "blog2" }},
		"another group":              {source: group, change: func(i *discovery.Instance) { i.Tags[discovery.GroupTag] = "shop-asg" }},
		"no tag at all":              {source: byTag(), change: func(i *discovery.Instance) { i.Tags = nil }},
		"it starts":                  {source: byTag(), change: func(i *discovery.Instance) { i.State = "pending" }},
		"it is shutting down":        {source: byTag(), change: func(i *discovery.Instance) { i.State = "shutting-down" }},
		"it was stopped":             {source: byTag(), change: func(i *discovery.Instance) { i.State = "stopped" }},
		"the group terminates it":    {source: byTag(), change: func(i *discovery.Instance) { i.Lifecycle = "Terminating:Wait" }},
		"it stops in the warm pool":  {source: byTag(), change: func(i *discovery.Instance) { i.Lifecycle = "Warmed:Stopped" }},
		"it sleeps in the warm pool": {source: byTag(), change: func(i *discovery.Instance) { i.Lifecycle = "Warmed:Hibernated" }},
		"the pool terminates it":     {source: byTag(), change: func(i *discovery.Instance) { i.Lifecycle = "Warmed:Terminating:Wait" }},
		"it runs in the warm pool":   {source: byTag(), change: func(i *discovery.Instance) { i.Lifecycle = "Warmed:Running" }, address: "10.0.0.7"},
		"the warm pool waits for it": {source: byTag(), change: func(i *discovery.Instance) { i.Lifecycle = "Warmed:Pending:Wait" }, address: "10.0.0.7"},
		"the group waits for it":     {source: byTag(), change: func(i *discovery.Instance) { i.Lifecycle = "Pending:Wait" }, address: "10.0.0.7"},
		"it is in standby":           {source: byTag(), change: func(i *discovery.Instance) { i.Lifecycle = "Standby" }, address: "10.0.0.7"},
		"by its public address":      {source: withAddress(v1alpha1.AddressPublicIP), change: func(i *discovery.Instance) { i.PublicIP = "203.0.113.7" }, address: "203.0.113.7"},
		"without a public address":   {source: withAddress(v1alpha1.AddressPublicIP), note: id(7) + " has no PublicIP"},
		"by its name":                {source: withAddress(v1alpha1.AddressPrivateDNS), change: func(i *discovery.Instance) { i.PrivateDNS = "ip-10-0-0-7.internal" }, address: "ip-10-0-0-7.internal"},
		"by a tag":                   {source: withAddress(v1alpha1.AddressTag), address: "host.example"},
		"without the tag":            {source: withAddress(v1alpha1.AddressTag), change: func(i *discovery.Instance) { delete(i.Tags, "Reach") }, note: id(7) + " has no tag Reach"},
		"a tag that is no address":   {source: withAddress(v1alpha1.AddressTag), change: func(i *discovery.Instance) { i.Tags["Reach"] = "-oProxyCommand=x" }, note: "neither an IP address nor a DNS name"},
		"a tag with a control byte":  {source: withAddress(v1alpha1.AddressTag), change: func(i *discovery.Instance) { i.Tags["Reach"] = "a\nb" }, note: "neither an IP address nor a DNS name"},
		"a tag with several in line": {source: withAddress(v1alpha1.AddressTag), change: func(i *discovery.Instance) { i.Tags["Reach"] = "a b" }, note: "neither an IP address nor a DNS name"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			fleet := discovery.Find(ec2(test.source), 22, clouds{here: view(1, blog(7, test.change))}, everything{})
			if test.note != "" {
				g.Expect(fleet.Notes).To(ConsistOf(ContainSubstring(test.note)))
			} else {
				g.Expect(fleet.Notes).To(BeEmpty())
			}
			if test.address == "" {
				g.Expect(fleet.Hosts).To(BeEmpty())
				return
			}
			g.Expect(fleet.Hosts).To(HaveLen(1))
			g.Expect(fleet.Hosts[0].TargetHost).To(Equal(v1alpha1.TargetHost{ID: id(7), Name: id(7), Address: test.address, Port: 22}))
			g.Expect(fleet.Hosts[0].Instance.ID).To(Equal(id(7)))
			g.Expect(fleet.Hosts[0].Instance.AutoScalingGroup).To(Equal("blog-asg"))
		})
	}
}

func TestOneInstanceOfTwoSourcesIsOneHost(t *testing.T) {
	g := NewWithT(t)
	group := &v1alpha1.EC2Source{Region: "ap-northeast-1", AutoScalingGroup: "blog-asg", Address: v1alpha1.AddressPrivateIP}
	sources := []v1alpha1.TargetSource{{Hosts: []v1alpha1.StaticHost{{Name: "by-hand", Address: "10.0.0.2"}}}, {EC2: byTag()}, {EC2: group}}
	fleet := discovery.Find(sources, 22, clouds{here: view(1, blog(3, nil), blog(2, nil), blog(1, nil))}, everything{})
	var names []string
	for _, host := range fleet.Hosts {
		names = append(names, host.Name)
	}
	g.Expect(names).To(Equal([]string{"by-hand", id(1), id(3)}))
	g.Expect(fleet.Notes).To(ConsistOf(
		id(2)+" has the address of by-hand (10.0.0.2:22)", id(2)+" has the address of by-hand (10.0.0.2:22)",
		id(1)+" is listed twice", id(3)+" is listed twice"))
}

// A host leaves when it is known to have left, never because nobody could look.
func TestGone(t *testing.T) {
	elsewhere := byTag()
	elsewhere.RoleARN = "arn:aws:iam::123456789012:role/slipway"
	there := discovery.AccountOf(elsewhere)
	two := []v1alpha1.TargetSource{{EC2: byTag()}, {EC2: elsewhere}}
	for name, test := range map[string]struct {
		sources []v1alpha1.TargetSource
		clouds  clouds
		gone    bool
	}{
		"no source of EC2 is left":                  {nil, nil, true},
		"nobody looked yet":                         {ec2(byTag()), clouds{}, false},
		"missing from the first look":               {ec2(byTag()), clouds{here: view(1)}, false},
		"missing from two looks":                    {ec2(byTag()), clouds{here: view(2)}, true},
		"EC2 says that it was terminated":           {ec2(byTag()), clouds{here: view(1, blog(1, func(i *discovery.Instance) { i.State = "terminated" }))}, true},
		"its tag was taken away":                    {ec2(byTag()), clouds{here: view(1, blog(1, func(i *discovery.Instance) { i.Tags = nil }))}, true},
		"missing here, and nobody could look there": {two, clouds{here: view(9), there: {Problem: "denied"}}, false},
		"missing here and there":                    {two, clouds{here: view(2), there: view(2)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(discovery.Find(test.sources, 22, test.clouds, everything{}).Gone(id(1))).To(Equal(test.gone))
		})
	}
}

// Just before a host is reached, it is looked at again.
func TestCheck(t *testing.T) {
	host := v1alpha1.TargetHost{ID: id(1), Name: id(1), Address: "10.0.0.1", Port: 22}
	byHand := v1alpha1.TargetHost{ID: "web-1", Name: "web-1", Address: "10.0.0.9", Port: 22}
	static := []v1alpha1.TargetSource{{Hosts: []v1alpha1.StaticHost{{Name: "web-1", Address: "10.0.0.9"}}}}
	for name, test := range map[string]struct {
		host    v1alpha1.TargetHost
		sources []v1alpha1.TargetSource
		view    discovery.View
		permit  discovery.Permit
		says    string
		now     looked
	}{
		"it is still there":               {host: host, sources: ec2(byTag()), view: view(3, blog(1, nil))},
		"nobody looked since the restart": {host: host, sources: ec2(byTag()), view: view(0)},
		"it was terminated": {host: host, sources: ec2(byTag()), view: view(3, blog(1, func(i *discovery.Instance) { i.State = "terminated" })),
			says: "no source of the Service names the host any more"},
		"its tag was taken away": {host: host, sources: ec2(byTag()), view: view(3, blog(1, func(i *discovery.Instance) { i.Tags = nil })),
			says: "no source of the Service"},
		"it is missing": {host: host, sources: ec2(byTag()), view: view(3), says: "no source of the Service"},
		"another has its address": {host: host, sources: ec2(byTag()), view: view(3, blog(1, func(i *discovery.Instance) { i.PrivateIP = "10.0.0.2" })),
			says: "another address"},
		"it is not permitted any more":    {host: host, sources: ec2(byTag()), view: view(3, blog(1, nil)), permit: nothing{}, says: "refused"},
		"written down":                    {host: byHand, sources: static},
		"written down and not permitted":  {host: byHand, sources: static, permit: nothing{}, says: "refused"},
		"not written down any more":       {host: byHand, sources: ec2(byTag()), says: "no source of the Service"},
		"terminated since the last sweep": {host: host, sources: ec2(byTag()), view: view(3, blog(1, nil)), now: is(func(i *discovery.Instance) { i.State = "terminated" }), says: "no source of the Service"},
		"its tag went since":              {host: host, sources: ec2(byTag()), view: view(3, blog(1, nil)), now: is(func(i *discovery.Instance) { i.Tags = nil }), says: "no source of the Service"},
		"its address went since":          {host: host, sources: ec2(byTag()), view: view(3, blog(1, nil)), now: is(func(i *discovery.Instance) { i.PrivateIP = "10.0.0.2" }), says: "another address"},
		"its tag came since":              {host: host, sources: ec2(byTag()), view: view(3, blog(1, func(i *discovery.Instance) { i.Tags = nil })), now: is(nil)},
		"EC2 lost it since":               {host: host, sources: ec2(byTag()), view: view(3, blog(1, nil)), now: looked{err: discovery.ErrNotDescribed}},
		"EC2 lost it twice":               {host: host, sources: ec2(byTag()), view: view(3), now: looked{err: discovery.ErrNotDescribed}, says: "no source of the Service"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.permit == nil {
				test.permit = everything{}
			}
			if test.now.instance == nil && test.now.err == nil {
				test.now.err = errSilent
			}
			test.now.clouds = clouds{here: test.view}
			err := discovery.Check(t.Context(), test.host, test.sources, test.now, test.permit)
			if test.says == "" {
				NewWithT(t).Expect(err).NotTo(HaveOccurred())
				return
			}
			NewWithT(t).Expect(err).To(MatchError(ContainSubstring(test.says)))
		})
	}
}

// looked is clouds that say what the instance is now, or why they can't.
type looked struct {
	clouds
	instance *discovery.Instance
	err      error
}

// is describes the first instance as it is by now.
func is(change func(*discovery.Instance)) looked {
	now := blog(1, change)
	return looked{instance: &now}
}

func (l looked) Describe(context.Context, discovery.Account, string) (discovery.Instance, error) {
	if l.err != nil {
		return discovery.Instance{}, l.err
	}
	return *l.instance, nil
}

var errSilent = errors.New("no answer")

// nothing is permitted.
type nothing struct{}

var errRefused = errors.New("refused")

func (nothing) Host(string) error                { return errRefused }
func (nothing) Source(*v1alpha1.EC2Source) error { return errRefused }
func (nothing) Instance(*v1alpha1.EC2Source, *discovery.Instance, string) error {
	return errRefused
}
