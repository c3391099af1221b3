// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package discovery says which hosts a Service has. It is pure: sources and what is known of clouds in, hosts out.
package discovery

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// plainAddress is what may be connected to: an IP address or a DNS name.
var plainAddress = regexp.MustCompile(`^[a-zA-Z0-9]([-a-zA-Z0-9.:]{0,251}[a-zA-Z0-9])?$`)

// Host is one host of a Service.
type Host struct {
	v1alpha1.TargetHost
	// Instance that the host is; nil for one that a person wrote down.
	Instance *v1alpha1.InstanceStatus
}

// Fleet is all that is known of a Service's hosts.
type Fleet struct {
	// Hosts in the order of the sources, those of EC2 by their ids. A host is listed once.
	Hosts []Host
	// Notes say in words what was left out: hosts that are named twice, instances without the address asked for.
	Notes []string
	// Refusals say in words what no policy permits.
	Refusals []string
	// Problems say in words which sources can't be read.
	Problems []string
	// Waiting says that a source was not read yet.
	Waiting bool

	sources []view
}

// Permit says what a Service may reach; an error says why not.
type Permit interface {
	// Host is one that a person wrote down.
	Host(address string) error
	// Source is asked before anything is looked for, Instance of each that was found.
	Source(source *v1alpha1.EC2Source) error
	Instance(source *v1alpha1.EC2Source, instance *Instance, address string) error
}

// view is a source of EC2 with what is known of it.
type view struct {
	source *v1alpha1.EC2Source
	View
}

// Find lists the hosts that the sources name. A host without a port of its own gets defaultPort. One host is listed once,
// also if two sources name it, or if two names have one address and port. The first mention counts. What permit refuses
// is no host.
func Find(sources []v1alpha1.TargetSource, defaultPort int32, finder Finder, permit Permit) *Fleet {
	f := &Fleet{}
	byID, byAddress := map[string]bool{}, map[string]string{}
	add := func(host Host) {
		if byID[host.ID] {
			f.Notes = append(f.Notes, fmt.Sprintf("%s is listed twice", host.Name))
			return
		}
		address := canonicalAddress(host.TargetHost)
		if first, taken := byAddress[address]; taken {
			f.Notes = append(f.Notes, fmt.Sprintf("%s has the address of %s (%s)", host.Name, first, address))
			return
		}
		byID[host.ID] = true
		byAddress[address] = host.Name
		f.Hosts = append(f.Hosts, host)
	}
	for i := range sources {
		for _, static := range sources[i].Hosts {
			host := v1alpha1.TargetHost{ID: static.Name, Name: static.Name, Address: static.Address, Port: defaultPort}
			if static.Port != nil {
				host.Port = *static.Port
			}
			if err := permit.Host(host.Address); err != nil {
				f.Refusals = append(f.Refusals, fmt.Sprintf("%s: %v", host.Name, err))
				continue
			}
			add(Host{TargetHost: host})
		}
		if source := sources[i].EC2; source != nil {
			f.look(source, defaultPort, finder, permit, add)
		}
	}
	return f
}

// look adds the hosts of a source of EC2.
func (f *Fleet) look(source *v1alpha1.EC2Source, port int32, finder Finder, permit Permit, add func(Host)) {
	if err := permit.Source(source); err != nil {
		f.Refusals = append(f.Refusals, err.Error())
		return
	}
	v := view{source: source, View: finder.View(AccountOf(source), tagsOf(source))}
	f.sources = append(f.sources, v)
	if v.Problem != "" {
		f.Problems = append(f.Problems, v.Problem)
	}
	f.Waiting = f.Waiting || v.Looks == 0
	var instances []Instance // a Service's are few of an account's
	for _, instance := range v.Instances {
		if selects(source, &instance) {
			instances = append(instances, instance)
		}
	}
	slices.SortFunc(instances, func(a, b Instance) int { return cmp.Compare(a.ID, b.ID) })
	for i := range instances {
		address, err := address(source, &instances[i])
		if err != nil {
			f.Notes = append(f.Notes, err.Error())
			continue
		}
		if err := permit.Instance(source, &instances[i], address); err != nil {
			f.Refusals = append(f.Refusals, err.Error())
			continue
		}
		add(Host{
			TargetHost: v1alpha1.TargetHost{ID: instances[i].ID, Name: instances[i].ID, Address: address, Port: port},
			Instance:   instances[i].status(),
		})
	}
}

// sureLooks is how often an instance must be missing before it is gone: EC2's answers lag behind.
const sureLooks = 2

// instanceID is how EC2 names instances.
var instanceID = regexp.MustCompile(`^i-([0-9a-f]{8}|[0-9a-f]{17})$`)

// Gone says whether a host, by its id, that is none of Hosts has left for sure. Of an instance that is so when each source
// either describes it, as one that does not match or does not run any more, or has looked twice without seeing it.
func (f *Fleet) Gone(id string) bool {
	if !instanceID.MatchString(id) {
		return true
	}
	for i := range f.sources {
		if _, described := f.sources[i].Instances[id]; !described && f.sources[i].Looks < sureLooks {
			return false
		}
	}
	return true
}

// canonicalAddress spells one address one way: ::1 and 0:0:0:0:0:0:0:1 are the same host, and so are Web and web.
func canonicalAddress(host v1alpha1.TargetHost) string {
	address := strings.ToLower(strings.TrimSuffix(host.Address, "."))
	if ip, err := netip.ParseAddr(address); err == nil {
		address = ip.Unmap().String()
	}
	return net.JoinHostPort(address, strconv.Itoa(int(host.Port)))
}
