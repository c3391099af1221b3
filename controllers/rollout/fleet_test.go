// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout_test

import (
	"context"
	"sync"
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/delivery"
)

// fleet is a delivery.Driver over machines that exist in memory only.
type fleet struct {
	mu    sync.Mutex
	hosts map[string]*machine
	// since watch: who was delivered to, in order; how many at once; who without a look before.
	delivered     []string
	now, most     int
	looked        map[string]bool
	deliveredDark []string
}

func newFleet() *fleet {
	return &fleet{hosts: map[string]*machine{}, looked: map[string]bool{}}
}

// machine is one host of the fleet.
type machine struct {
	mu       sync.Mutex
	name     string
	seen     delivery.Observation
	mended   int
	switched map[int64]string
}

func (f *fleet) host(name string) *machine {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hosts[name] == nil {
		f.hosts[name] = &machine{name: name, seen: delivery.Observation{HostKey: "key of " + name}}
	}
	return f.hosts[name]
}

// replace puts another machine in the place of a host.
func (f *fleet) replace(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.hosts, name)
}

func (f *fleet) watch() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delivered, f.most, f.looked, f.deliveredDark = nil, 0, map[string]bool{}, nil
}

func (f *fleet) mostAtOnce() int { f.mu.Lock(); defer f.mu.Unlock(); return f.most }

func (f *fleet) order() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.delivered...)
}

func (f *fleet) unseen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.deliveredDark...)
}

func (f *fleet) repairs() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, m := range f.hosts {
		n += m.repairs()
	}
	return n
}

// Probe implements delivery.Driver.
func (f *fleet) Probe(_ context.Context, host delivery.Host, _ delivery.Owner, _ v1alpha1.DeploySpec) (delivery.Observation, error) {
	m := f.host(host.Address)
	f.mu.Lock()
	f.looked[host.Address] = true
	f.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen, nil
}

// Deliver implements delivery.Driver.
func (f *fleet) Deliver(ctx context.Context, host delivery.Host, order delivery.Order, progress func(string)) (delivery.Result, error) {
	m := f.host(host.Address)
	f.mu.Lock()
	f.delivered = append(f.delivered, host.Address)
	if !f.looked[host.Address] {
		f.deliveredDark = append(f.deliveredDark, host.Address)
	}
	f.now++
	f.most = max(f.most, f.now)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.now--
		f.mu.Unlock()
	}()
	if order.ServiceName != "blog" {
		return delivery.Result{}, &delivery.Failure{Step: "Start", Reason: v1alpha1.ReasonDeliveryFailed, Message: "hooks need the Service's name"}
	}
	progress("Pull")
	select { // long enough for deliveries to overlap, if anything lets them
	case <-time.After(150 * time.Millisecond):
	case <-ctx.Done():
		return delivery.Result{}, ctx.Err()
	}
	progress("Switch")
	return m.deliver(order)
}

func (m *machine) deliver(order delivery.Order) (delivery.Result, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen.Fence > order.Fence || m.seen.Fence == order.Fence && m.switched[order.Fence] != order.Digest && m.switched[order.Fence] != "" {
		return delivery.Result{}, &delivery.Failure{Step: "Fence", Reason: v1alpha1.ReasonFencedOff, Message: "the fence is too low", HostFence: m.seen.Fence}
	}
	if order.Repair {
		m.mended++
	}
	if m.switched == nil {
		m.switched = map[int64]string{}
	}
	m.switched[order.Fence] = order.Digest
	m.seen.Fence, m.seen.SwitchedFence, m.seen.Drift = order.Fence, order.Fence, nil
	m.seen.Digest, m.seen.Commit, m.seen.Revision, m.seen.Release = order.Digest, order.Commit, order.Revision, order.Release
	m.seen.Owner = &v1alpha1.PathOwner{OwnerID: order.Owner.ID, ServiceUID: order.Owner.Service}
	m.seen.Since = time.Now()
	return delivery.Result{Observation: m.seen, Steps: []v1alpha1.DeliveryStep{{Name: "Pull"}, {Name: "Switch"}}}, nil
}

func (m *machine) drift() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen.Drift = &delivery.Drift{Reason: v1alpha1.ReasonContentChanged, Message: "index.php was changed"}
}

func (m *machine) seize(fence int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen.Fence = fence
}

func (m *machine) belongs(owner, service, digest string, fence int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen.Owner = &v1alpha1.PathOwner{OwnerID: owner, ServiceUID: v1alpha1.UID(service)}
	m.seen.Digest, m.seen.Fence, m.seen.SwitchedFence = digest, fence, fence
}

func (m *machine) fenceNow() int64 { m.mu.Lock(); defer m.mu.Unlock(); return m.seen.Fence }

func (m *machine) repairs() int { m.mu.Lock(); defer m.mu.Unlock(); return m.mended }
