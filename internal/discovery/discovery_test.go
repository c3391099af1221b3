// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package discovery_test

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/discovery"
)

func source(hosts ...v1alpha1.StaticHost) v1alpha1.TargetSource {
	return v1alpha1.TargetSource{Hosts: hosts}
}

func TestHosts(t *testing.T) {
	port := int32(2222)
	tests := []struct {
		name       string
		sources    []v1alpha1.TargetSource
		want       []v1alpha1.TargetHost
		duplicates []string
	}{
		{name: "no source"},
		{
			name:    "default and own port, in order",
			sources: []v1alpha1.TargetSource{source(v1alpha1.StaticHost{Name: "web-2", Address: "10.0.0.2"}, v1alpha1.StaticHost{Name: "web-1", Address: "10.0.0.1", Port: &port})},
			want: []v1alpha1.TargetHost{
				{ID: "web-2", Name: "web-2", Address: "10.0.0.2", Port: 22},
				{ID: "web-1", Name: "web-1", Address: "10.0.0.1", Port: 2222},
			},
		},
		{
			name: "the same name in two sources is one host",
			sources: []v1alpha1.TargetSource{
				source(v1alpha1.StaticHost{Name: "web-1", Address: "10.0.0.1"}),
				source(v1alpha1.StaticHost{Name: "web-1", Address: "10.0.0.9"}),
			},
			want:       []v1alpha1.TargetHost{{ID: "web-1", Name: "web-1", Address: "10.0.0.1", Port: 22}},
			duplicates: []string{"web-1 is listed twice"},
		},
		{
			name: "two names of one address are one host",
			sources: []v1alpha1.TargetSource{
				source(v1alpha1.StaticHost{Name: "web-1", Address: "::1"}),
				source(v1alpha1.StaticHost{Name: "web-2", Address: "0:0:0:0:0:0:0:1"}),
			},
			want:       []v1alpha1.TargetHost{{ID: "web-1", Name: "web-1", Address: "::1", Port: 22}},
			duplicates: []string{"web-2 has the address of web-1 ([::1]:22)"},
		},
		{
			name: "one address with two ports is two hosts",
			sources: []v1alpha1.TargetSource{
				source(v1alpha1.StaticHost{Name: "a", Address: "localhost"}, v1alpha1.StaticHost{Name: "b", Address: "localhost", Port: &port}),
			},
			want: []v1alpha1.TargetHost{
				{ID: "a", Name: "a", Address: "localhost", Port: 22}, {ID: "b", Name: "b", Address: "localhost", Port: 2222},
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := NewWithT(t)
			fleet := discovery.Find(test.sources, 22, nil, everything{})
			var hosts []v1alpha1.TargetHost
			for _, host := range fleet.Hosts {
				g.Expect(host.Instance).To(BeNil())
				hosts = append(hosts, host.TargetHost)
			}
			g.Expect(hosts).To(Equal(test.want))
			g.Expect(fleet.Notes).To(Equal(test.duplicates))
			g.Expect(fleet.Gone("web-9")).To(BeTrue())
		})
	}
}

func TestTargetNameIsValidStableAndBoundToTheService(t *testing.T) {
	g := NewWithT(t)
	g.Expect(discovery.TargetName("blog", "uid-1", "web-1")).To(Equal("blog-web-1-9c052b1529"))
	g.Expect(discovery.TargetName("blog", "uid-2", "web-1")).NotTo(Equal(discovery.TargetName("blog", "uid-1", "web-1")))
	// The readable parts are equal here; only the hash tells the hosts apart.
	g.Expect(discovery.TargetName("blog", "uid-1", "web.1")).NotTo(Equal(discovery.TargetName("blog", "uid-1", "web-1")))
	for _, host := range []string{"a..b", "x.", "-", strings.Repeat("h", 253), "ünicode", "UPPER"} {
		g.Expect(validation.IsDNS1123Subdomain(discovery.TargetName("blog", "uid", host))).To(BeEmpty(), host)
	}
}

func FuzzTargetName(f *testing.F) {
	f.Add("blog", "uid", "web-1")
	f.Add("", "", "")
	f.Fuzz(func(t *testing.T, service, uid, host string) {
		name := discovery.TargetName(service, v1alpha1.UID(uid), host)
		if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
			t.Fatalf("%q: %v", name, problems)
		}
	})
}
