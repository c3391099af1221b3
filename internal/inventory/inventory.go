// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package inventory tells Ansible of a Slipway's hosts, after Ansible's protocol for inventory scripts
// (docs.ansible.com, "Developing dynamic inventory"). It is pure.
package inventory

import (
	"encoding/json"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// Inventory is what an inventory script prints for --list.
type Inventory struct {
	groups map[string][]string
	hosts  map[string]*Host
}

// Host is what is known of one host: what an inventory script prints for --host.
type Host struct {
	Address string `json:"ansible_host"`
	Port    int32  `json:"ansible_port"`
	User    string `json:"ansible_user,omitempty"`
	// Instance of EC2 that the host is, and its zone.
	Instance string `json:"slipway_instance_id,omitempty"`
	Zone     string `json:"slipway_zone,omitempty"`
	// Services that the host serves.
	Services []Served `json:"slipway_services"`
}

// Served is one Service of a host.
type Served struct {
	Namespace string `json:"namespace"`
	Service   string `json:"service"`
	Path      string `json:"path,omitempty"`
	// Desired and Running are the Releases that the host should run and that it runs.
	Desired string `json:"desired,omitempty"`
	Running string `json:"running,omitempty"`
	Ready   bool   `json:"ready"`
}

// New makes the inventory of the Targets. A host of several Services is listed once. Two hosts of one name and different
// addresses are told apart by what their Services call them: NAME.SERVICE.NAMESPACE.
func New(services []v1alpha1.Service, targets []v1alpha1.Target) *Inventory {
	inventory := &Inventory{groups: map[string][]string{}, hosts: map[string]*Host{}}
	byKey := map[string]*v1alpha1.Service{}
	for i := range services {
		byKey[services[i].Namespace+"/"+services[i].Name] = &services[i]
	}
	slices.SortFunc(targets, func(a, b v1alpha1.Target) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	clashes := clashing(targets)
	for i := range targets {
		inventory.add(&targets[i], byKey[targets[i].Namespace+"/"+targets[i].Spec.Service], clashes)
	}
	return inventory
}

// clashing lists the names that hosts of different addresses share.
func clashing(targets []v1alpha1.Target) map[string]bool {
	addresses, clashes := map[string]v1alpha1.TargetHost{}, map[string]bool{}
	for i := range targets {
		host := targets[i].Spec.Host
		if first, seen := addresses[host.Name]; seen && (first.Address != host.Address || first.Port != host.Port) {
			clashes[host.Name] = true
		}
		addresses[host.Name] = host
	}
	return clashes
}

func (v *Inventory) add(target *v1alpha1.Target, service *v1alpha1.Service, clashes map[string]bool) {
	name := target.Spec.Host.Name
	if clashes[name] {
		name += "." + target.Spec.Service + "." + target.Namespace
	}
	host := v.hosts[name]
	if host == nil {
		host = &Host{Address: target.Spec.Host.Address, Port: target.Spec.Host.Port}
		v.hosts[name] = host
	}
	served := Served{Namespace: target.Namespace, Service: target.Spec.Service, Ready: meta.IsStatusConditionTrue(target.Status.Conditions, v1alpha1.ConditionReady)}
	if service != nil {
		host.User, served.Path = service.Spec.SSH.User, string(service.Spec.Deploy.Path)
	}
	v.join(name, "service_"+target.Namespace+"_"+target.Spec.Service)
	if wanted := target.Spec.Artifact; wanted != nil {
		served.Desired = wanted.Release
	}
	if running := target.Status.Running; running != nil && running.Release != "" {
		served.Running = running.Release
		v.join(name, "release_"+target.Namespace+"_"+running.Release)
	}
	if instance := target.Status.Instance; instance != nil {
		host.Instance, host.Zone = instance.ID, instance.Zone
		if instance.Zone != "" {
			v.join(name, "zone_"+instance.Zone)
		}
	}
	host.Services = append(host.Services, served)
}

// join adds a host to a group. Ansible's names of groups are made of letters, digits and underscores.
func (v *Inventory) join(host, group string) {
	group = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, group)
	if !slices.Contains(v.groups[group], host) {
		v.groups[group] = append(v.groups[group], host)
	}
}

// ready says whether a host is ready for every Service it serves.
func (h *Host) ready() bool {
	return !slices.ContainsFunc(h.Services, func(s Served) bool { return !s.Ready })
}

// MarshalJSON writes what --list prints. Every host is in the group ready or in not_ready.
func (v *Inventory) MarshalJSON() ([]byte, error) {
	type group struct {
		Hosts []string `json:"hosts"`
	}
	list := map[string]any{"_meta": map[string]any{"hostvars": v.hosts}}
	readiness := map[string][]string{"ready": {}, "not_ready": {}}
	for name, host := range v.hosts {
		if host.ready() {
			readiness["ready"] = append(readiness["ready"], name)
		} else {
			readiness["not_ready"] = append(readiness["not_ready"], name)
		}
	}
	for name, hosts := range readiness {
		slices.Sort(hosts)
		list[name] = group{hosts}
	}
	for name, hosts := range v.groups {
		list[name] = group{hosts}
	}
	return json.Marshal(list)
}

// Host returns what --host prints, or nil for a host that is not there.
func (v *Inventory) Host(name string) *Host { return v.hosts[name] }
