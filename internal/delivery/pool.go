// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

// Options of a Pool. A zero field takes the default.
type Options struct {
	Logger *slog.Logger
	// Connect bounds the TCP connection (default 10s), Handshake what follows up to the login (default 20s).
	Connect   time.Duration
	Handshake time.Duration
	// KeepAlive is how often a connection is asked for a sign of life, and how long it has to give one (default 15s).
	KeepAlive time.Duration
	// Idle is how long an unused connection is kept (default 10m).
	Idle time.Duration
	// Probe bounds a look at a host (default 2m). A delivery is bounded by deploy.timeout.
	Probe time.Duration
	// Parallel is how many hosts are talked to at once (default 64).
	Parallel int
	// Now is the clock, for times in reports (default time.Now).
	Now func() time.Time
}

// Pool keeps one connection per host and identity. It implements Driver.
type Pool struct {
	options Options
	slots   chan struct{}

	mu      sync.Mutex
	entries map[identity]*entry
	closed  bool
}

// identity is what must be equal for a connection to be shared. A pinned host key is compared besides.
type identity struct {
	namespace, user, address string
	port                     int
	secrets                  [sha256.Size]byte
}

// entry is the place of one identity's connection. Its lock is held while it connects, so that one host is dialled once.
type entry struct {
	connecting chan struct{} // a semaphore of one
	conn       *connection   // guarded by the Pool
}

var _ Driver = (*Pool)(nil)

// New makes a Pool. Close it when it is no longer needed.
func New(options Options) *Pool {
	setDefault(&options.Connect, 10*time.Second)
	setDefault(&options.Handshake, 20*time.Second)
	setDefault(&options.KeepAlive, 15*time.Second)
	setDefault(&options.Idle, 10*time.Minute)
	setDefault(&options.Probe, 2*time.Minute)
	setDefault(&options.Parallel, 64)
	if options.Logger == nil {
		options.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	return &Pool{options: options, slots: make(chan struct{}, options.Parallel), entries: map[identity]*entry{}}
}

func setDefault[T ~int | ~int64](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

// Close closes all connections. What runs on hosts runs on.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, e := range p.entries {
		if e.conn != nil {
			_ = e.conn.client.Close()
		}
	}
	p.entries = map[identity]*entry{}
}

func identityOf(host *Host) identity {
	h := sha256.New()
	for _, part := range [][]byte{host.PrivateKey, []byte(host.Policy), host.KnownHosts, []byte(host.Name)} {
		fmt.Fprintf(h, "%d\n", len(part))
		h.Write(part)
	}
	id := identity{namespace: host.Namespace, user: host.User, address: host.Address, port: host.Port}
	h.Sum(id.secrets[:0])
	return id
}

// connect returns the host's connection, which must be given back by release.
// kept says whether it was there already.
func (p *Pool) connect(ctx context.Context, host *Host) (c *connection, kept bool, err error) {
	id := identityOf(host)
	p.mu.Lock()
	e := p.entries[id]
	if e == nil {
		e = &entry{connecting: make(chan struct{}, 1)}
		p.entries[id] = e
	}
	p.mu.Unlock()
	select {
	case e.connecting <- struct{}{}:
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	defer func() { <-e.connecting }()
	if c := p.reuse(e, host); c != nil {
		return c, true, nil
	}
	c, err = p.dial(ctx, host)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		return nil, false, err
	}
	if p.closed {
		_ = c.client.Close()
		return nil, false, fmt.Errorf("%w: the pool is closed", errDial)
	}
	e.conn = c
	c.users++
	go p.forget(id, e, c)
	return c, false, nil
}

// reuse returns the kept connection if it is alive and proved itself with the pinned key.
func (p *Pool) reuse(e *entry, host *Host) *connection {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := e.conn
	if c == nil {
		return nil
	}
	select {
	case <-c.gone:
		e.conn = nil
		return nil
	default:
	}
	if host.HostKey != "" && !samePin(host.HostKey, c.hostKey) {
		e.conn = nil
		_ = c.client.Close()
		return nil
	}
	c.users++
	return c
}

func (p *Pool) release(c *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.users--
	c.lastUsed = time.Now()
}

// forget clears an entry once its connection is gone.
func (p *Pool) forget(id identity, e *entry, c *connection) {
	<-c.gone
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.conn == c {
		e.conn = nil
		if p.entries[id] == e {
			delete(p.entries, id)
		}
	}
}

// closeIdle closes a connection that nobody has used for the idle time.
func (p *Pool) closeIdle(c *connection) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.users > 0 || c.lastUsed.IsZero() || time.Since(c.lastUsed) < p.options.Idle {
		return false
	}
	_ = c.client.Close()
	return true
}
