// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// door counts connections and lets no more in than there is room for. Strangers, who have not logged in yet, have a share
// of the room only, and those of one source a share of that: whoever connects without a certificate, however often, keeps
// nobody out who comes from elsewhere.
type door struct {
	most int

	mu        sync.Mutex
	inside    int
	strangers map[netip.Prefix]int
}

func newDoor(most int) *door { return &door{most: most, strangers: map[netip.Prefix]int{}} }

// guest is one connection.
type guest struct {
	door   *door
	source netip.Prefix
	known  sync.Once
}

// enter lets a connection in, or returns nil.
func (d *door) enter(from net.Addr) *guest {
	d.mu.Lock()
	defer d.mu.Unlock()
	source, waiting := sourceOf(from), 0
	for _, n := range d.strangers {
		waiting += n
	}
	if d.inside >= d.most || waiting >= max(1, d.most/4) || d.strangers[source] >= max(1, d.most/16) {
		return nil
	}
	d.inside++
	d.strangers[source]++
	return &guest{door: d, source: source}
}

// loggedIn makes a stranger known.
func (g *guest) loggedIn() {
	g.known.Do(func() {
		g.door.mu.Lock()
		defer g.door.mu.Unlock()
		if g.door.strangers[g.source]--; g.door.strangers[g.source] == 0 {
			delete(g.door.strangers, g.source)
		}
	})
}

// leave gives the place up. It is called once.
func (g *guest) leave() {
	g.loggedIn()
	g.door.mu.Lock()
	defer g.door.mu.Unlock()
	g.door.inside--
}

// sourceOf is an IPv4 address, or the network that one IPv6 host has to itself.
func sourceOf(from net.Addr) netip.Prefix {
	address, err := netip.ParseAddrPort(from.String())
	if err != nil {
		return netip.Prefix{}
	}
	ip := address.Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	prefix, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}

// places are those of one connection's sessions. A connection that has none for a while is ended.
type places struct {
	most  int
	limit time.Duration
	idle  *time.Timer

	mu    sync.Mutex
	taken int
}

func newPlaces(most int, limit time.Duration, end func()) *places {
	return &places{most: most, limit: limit, idle: time.AfterFunc(limit, end)}
}

func (p *places) take() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken == p.most {
		return false
	}
	p.taken++
	p.idle.Stop()
	return true
}

func (p *places) give() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken--; p.taken == 0 {
		p.idle.Reset(p.limit)
	}
}
