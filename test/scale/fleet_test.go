// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package scale

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/delivery"
)

// fleet is a delivery.Driver over machines in memory, by the names of hosts. It can hold the deliveries of a revision.
type fleet struct {
	mu       sync.Mutex
	machines map[string]*machine
	// held revision: its deliveries hang, but for the next few that may pass.
	held string
	pass int
	open chan struct{}
	// most that served and were delivered to at once.
	now, most int
}

// machine is a host of the fleet.
type machine struct {
	seen delivery.Observation
	// got are the revisions it was switched to.
	got []string
	// hangs: a delivery is under way; counted: it took the host from those who serve.
	hangs, counted bool
	gone           bool
	// fails is why its deliveries fail, by their revisions.
	fails map[string]string
}

// of is what a host says of itself.
func (m *machine) of(host delivery.Host) delivery.Observation {
	seen := m.seen
	seen.HostKey = "key of " + host.Name
	return seen
}

func newFleet() *fleet { return &fleet{machines: map[string]*machine{}, open: make(chan struct{})} }

// at names what a Service has on a host: the host itself for blog.
func at(host delivery.Host, deploy *v1alpha1.DeploySpec) string {
	if deploy.Path == "/var/www/blog" {
		return host.Name
	}
	return host.Name + ":" + string(deploy.Path)
}

// machine by name; the lock is held.
func (f *fleet) machine(name string) *machine {
	if f.machines[name] == nil {
		f.machines[name] = &machine{fails: map[string]string{}}
	}
	return f.machines[name]
}

// hold has the deliveries of a revision hang after the next few.
func (f *fleet) hold(revision string, pass int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held, f.pass, f.most = revision, pass, 0
}

// letGo ends the hold; deliveries to hosts that are gone hang on.
func (f *fleet) letGo() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held = ""
	close(f.open)
	f.open = make(chan struct{})
}

// copy has a host run what another runs.
func (f *fleet) copy(name, like string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.machine(name).seen = f.machine(like).seen
}

// end a host: what is under way there never ends.
func (f *fleet) end(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.machine(name)
	m.gone = true
	f.uncount(m)
}

func (f *fleet) uncount(m *machine) {
	if m.counted {
		m.counted = false
		f.now--
	}
}

// fail has the deliveries of a revision to a host fail for a reason.
func (f *fleet) fail(name, revision, reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.machine(name).fails[revision] = reason
}

// got lists the revisions that a host was switched to.
func (f *fleet) got(name string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.machine(name).got)
}

// hanging lists the hosts to which a delivery is under way.
func (f *fleet) hanging() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for name, m := range f.machines {
		if m.hangs {
			names = append(names, name)
		}
	}
	return names
}

func (f *fleet) mostAtOnce() int { f.mu.Lock(); defer f.mu.Unlock(); return f.most }

// Probe implements delivery.Driver.
func (f *fleet) Probe(_ context.Context, host delivery.Host, _ delivery.Owner, deploy v1alpha1.DeploySpec) (delivery.Observation, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.machine(at(host, &deploy)).of(host), nil
}

// Deliver implements delivery.Driver.
func (f *fleet) Deliver(ctx context.Context, host delivery.Host, order delivery.Order, _ func(string)) (delivery.Result, error) {
	f.mu.Lock()
	m := f.machine(at(host, &order.Deploy))
	m.hangs = true
	if m.seen.Digest != "" && m.seen.Digest != order.Digest && !m.gone {
		m.counted = true
		f.now++
		f.most = max(f.most, f.now)
	}
	wait := f.open
	if order.Revision != f.held || f.pass > 0 {
		if order.Revision == f.held {
			f.pass--
		}
		short := make(chan struct{})
		time.AfterFunc(100*time.Millisecond, func() { close(short) }) // long enough to overlap, if anything lets them
		wait = short
	}
	f.mu.Unlock()
	select {
	case <-wait:
	case <-ctx.Done():
		return delivery.Result{}, ctx.Err()
	}
	f.mu.Lock()
	if m.gone {
		f.mu.Unlock()
		<-ctx.Done()
		return delivery.Result{}, ctx.Err()
	}
	defer f.mu.Unlock()
	m.hangs = false
	f.uncount(m)
	if reason := m.fails[order.Revision]; reason != "" {
		return delivery.Result{}, &delivery.Failure{Step: "Test", Reason: reason, Message: "as the test wants it"}
	}
	if m.seen.Fence > order.Fence {
		return delivery.Result{}, &delivery.Failure{Step: "Fence", Reason: v1alpha1.ReasonFencedOff, HostFence: m.seen.Fence}
	}
	if m.seen.Digest != order.Digest {
		m.got = append(m.got, order.Revision)
	}
	m.seen.Fence, m.seen.SwitchedFence = order.Fence, order.Fence
	m.seen.Digest, m.seen.Commit, m.seen.Revision, m.seen.Release = order.Digest, order.Commit, order.Revision, order.Release
	m.seen.Owner = &v1alpha1.PathOwner{OwnerID: order.Owner.ID, ServiceUID: order.Owner.Service}
	return delivery.Result{Observation: m.of(host)}, nil
}
