// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// pulse remembers when something last moved.
type pulse struct {
	mu   sync.Mutex
	last time.Time
}

func newPulse() *pulse { return &pulse{last: time.Now()} }

func (p *pulse) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = time.Now()
}

func (p *pulse) silence() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.last)
}

// watch calls end once nothing has moved for as long as limit, unless ctx ends before.
func (p *pulse) watch(ctx context.Context, limit time.Duration, end func()) {
	for {
		left := limit - p.silence()
		if left <= 0 {
			end()
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(left):
		}
	}
}

// movingConn tells a pulse of each byte that moves.
type movingConn struct {
	net.Conn
	*pulse
}

func (c *movingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.beat()
	}
	return n, err
}

func (c *movingConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if n > 0 {
		c.beat()
	}
	return n, err
}

// movingChannel does so for one session.
type movingChannel struct {
	ssh.Channel
	*pulse
}

func (c *movingChannel) Read(p []byte) (int, error) {
	n, err := c.Channel.Read(p)
	if n > 0 {
		c.beat()
	}
	return n, err
}

func (c *movingChannel) Write(p []byte) (int, error) {
	n, err := c.Channel.Write(p)
	if n > 0 {
		c.beat()
	}
	return n, err
}

// silences is how many unanswered questions make a connection a dead one.
const silences = 3

// keepAlive asks the other end every now and then whether it is there, and ends the connection when nothing at all moves
// on it any more, or when who logged in is not trusted any more. An answer that waits behind the data of a slow line is
// none that is missing.
func keepAlive(ctx context.Context, connection *ssh.ServerConn, p *pulse, every time.Duration, trusted func() bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			if !trusted() {
				_ = connection.Close()
				return
			}
			if _, _, err := connection.SendRequest("keepalive@openssh.com", true, nil); err != nil {
				return
			}
		}
	}()
	go func() {
		_ = connection.Wait()
		cancel()
	}()
	p.watch(ctx, silences*every, func() { _ = connection.Close() })
}
