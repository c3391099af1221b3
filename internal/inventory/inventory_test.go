// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package inventory_test

import (
	"encoding/json"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/inventory"
)

func service(name, user string) v1alpha1.Service {
	return v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: name},
		Spec: v1alpha1.ServiceSpec{SSH: v1alpha1.SSHSpec{User: user}, Deploy: v1alpha1.DeploySpec{Path: v1alpha1.AbsolutePath("/srv/www/" + name)}}}
}

func target(service, host, address string, ready bool, change func(*v1alpha1.Target)) v1alpha1.Target {
	t := v1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: service + "-" + host}}
	t.Spec.Service, t.Spec.Host = service, v1alpha1.TargetHost{ID: host, Name: host, Address: address, Port: 22}
	if ready {
		t.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue}}
	}
	if change != nil {
		change(&t)
	}
	return t
}

func TestInventory(t *testing.T) {
	g := NewWithT(t)
	instance := func(t *v1alpha1.Target) {
		t.Status.Instance = &v1alpha1.InstanceStatus{ID: "i-1", Zone: "ap-northeast-1a"}
		t.Status.Running = &v1alpha1.RunningArtifact{Release: "blog-v1.4.2"}
		t.Spec.Artifact = &v1alpha1.ReleaseRecord{Release: "blog-v1.5.0"}
	}
	made := inventory.New([]v1alpha1.Service{service("blog", "deploy"), service("shop", "deploy")}, []v1alpha1.Target{
		target("blog", "i-1", "10.0.0.1", true, instance),
		target("shop", "i-1", "10.0.0.1", false, nil),
		target("shop", "web-2", "10.0.0.2", true, nil),
	})
	data, err := json.Marshal(made)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(data).To(MatchJSON(`{
		"_meta": {"hostvars": {
			"i-1": {"ansible_host": "10.0.0.1", "ansible_port": 22, "ansible_user": "deploy", "slipway_instance_id": "i-1", "slipway_zone": "ap-northeast-1a",
				"slipway_services": [
					{"namespace": "web", "service": "blog", "path": "/srv/www/blog", "desired": "blog-v1.5.0", "running": "blog-v1.4.2", "ready": true},
					{"namespace": "web", "service": "shop", "path": "/srv/www/shop", "ready": false}]},
			"web-2": {"ansible_host": "10.0.0.2", "ansible_port": 22, "ansible_user": "deploy",
				"slipway_services": [{"namespace": "web", "service": "shop", "path": "/srv/www/shop", "ready": true}]}
		}},
		"ready": {"hosts": ["web-2"]}, "not_ready": {"hosts": ["i-1"]},
		"service_web_blog": {"hosts": ["i-1"]}, "service_web_shop": {"hosts": ["i-1", "web-2"]},
		"release_web_blog_v1_4_2": {"hosts": ["i-1"]}, "zone_ap_northeast_1a": {"hosts": ["i-1"]}
	}`))
}

func TestHostsOfOneNameAreToldApart(t *testing.T) {
	g := NewWithT(t)
	made := inventory.New(nil, []v1alpha1.Target{target("blog", "web-1", "10.0.0.1", true, nil), target("shop", "web-1", "10.0.0.9", true, nil)})
	g.Expect(made.Host("web-1")).To(BeNil())
	g.Expect(made.Host("web-1.blog.web").Address).To(Equal("10.0.0.1"))
	g.Expect(made.Host("web-1.shop.web").Address).To(Equal("10.0.0.9"))
}

func TestNoHosts(t *testing.T) {
	data, err := json.Marshal(inventory.New(nil, nil))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	NewWithT(t).Expect(data).To(MatchJSON(`{"_meta": {"hostvars": {}}, "ready": {"hosts": []}, "not_ready": {"hosts": []}}`))
}
