// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package server is the depot's SSH front. A certificate allows exactly one thing: to read one artifact, to make and
// publish one build, or to be the manager. All else is refused with a sentence.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"k8s.io/utils/clock"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/depot/store"
)

// Sources are the mirrors of the repositories.
type Sources interface {
	Fetch(ctx context.Context, r depot.MirrorRequest) error
	Archive(ctx context.Context, service v1alpha1.UID, url, commit, path string, w io.Writer) error
}

// Options of the server.
type Options struct {
	Store   *store.Store
	Sources Sources
	// HostKeys prove the server; see HostKey.
	HostKeys []ssh.Signer
	// UserAuthorities are the keys that sign certificates of the manager, builds and hosts. It is asked at each login.
	UserAuthorities func() []ssh.PublicKey
	// Confine wraps the rsync command so that it reaches one directory only; nil leaves it as it is.
	Confine func(dir string, writable bool, argv []string) []string
	Clock   clock.PassiveClock
	Logger  *slog.Logger
	Metrics *Metrics
	// Handshake bounds a login, Idle a connection on which nothing moves. Defaults 20s and 10m.
	Handshake, Idle time.Duration
	// Connections bounds how many there are at once. Default 4096.
	Connections int
}

// maxSessions bounds the sessions of one connection at once.
const maxSessions = 256

// Server is the depot's SSH front.
type Server struct {
	Options
	slots    chan struct{}
	conns    sync.WaitGroup
	stagings stagings
}

// New returns a Server.
func New(o Options) *Server {
	if o.Handshake <= 0 {
		o.Handshake = 20 * time.Second
	}
	if o.Idle <= 0 {
		o.Idle = 10 * time.Minute
	}
	if o.Connections <= 0 {
		o.Connections = 4096
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	return &Server{Options: o, slots: make(chan struct{}, o.Connections)}
}

// Serve accepts connections until ctx ends, then waits for those under way to see it.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer s.conns.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		var temporary net.Error
		if errors.As(err, &temporary) && temporary.Timeout() {
			continue
		}
		if err != nil {
			return fmt.Errorf("accept connections: %w", err)
		}
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			_ = conn.Close()
			return nil
		}
		s.conns.Go(func() {
			defer func() { <-s.slots }()
			s.Metrics.Connections.Inc()
			defer s.Metrics.Connections.Dec()
			s.serve(ctx, conn)
		})
	}
}

// serve leads one connection.
func (s *Server) serve(ctx context.Context, raw net.Conn) {
	defer func() { _ = raw.Close() }()
	conn := &idleConn{Conn: raw, idle: s.Handshake}
	connection, channels, requests, err := ssh.NewServerConn(conn, s.config())
	if err != nil {
		s.Metrics.Refusals.WithLabelValues("login").Inc()
		s.Logger.Info("login refused", "from", raw.RemoteAddr().String(), "error", err.Error())
		return
	}
	conn.setIdle(s.Idle)
	defer func() { _ = connection.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = connection.Close() })
	defer stop()
	go keepAlive(ctx, connection)
	go refuseRequests(requests)
	who, err := identify(connection.Permissions)
	if err != nil {
		s.Logger.Info("login refused", "from", raw.RemoteAddr().String(), "error", err.Error())
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var sessions sync.WaitGroup
	defer sessions.Wait()
	defer cancel()
	places := make(chan struct{}, maxSessions)
	for channel := range channels {
		if channel.ChannelType() != "session" {
			s.Metrics.Refusals.WithLabelValues("channel").Inc()
			_ = channel.Reject(ssh.Prohibited, "the depot forwards nothing: it serves artifacts and builds only")
			continue
		}
		select {
		case places <- struct{}{}:
		default:
			_ = channel.Reject(ssh.ResourceShortage, "too many sessions on one connection")
			continue
		}
		ch, reqs, err := channel.Accept()
		if err != nil {
			return
		}
		sessions.Go(func() {
			defer func() { <-places }()
			s.session(ctx, who, ch, reqs)
		})
	}
}

// keepAlive ends a connection whose other end is gone.
func keepAlive(ctx context.Context, connection *ssh.ServerConn) {
	ticker := time.NewTicker(30 * time.Second)
	defer ticker.Stop()
	done := make(chan struct{})
	go func() {
		_ = connection.Wait()
		close(done)
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-done:
			return
		case <-ticker.C:
		}
		answered := make(chan error, 1)
		go func() {
			_, _, err := connection.SendRequest("keepalive@openssh.com", true, nil)
			answered <- err
		}()
		select {
		case err := <-answered:
			if err == nil {
				continue
			}
		case <-time.After(30 * time.Second):
		case <-done:
		}
		_ = connection.Close()
		return
	}
}

// refuseRequests answers keep-alives and refuses everything else, port forwarding above all.
func refuseRequests(requests <-chan *ssh.Request) {
	for request := range requests {
		if request.WantReply {
			_ = request.Reply(request.Type == "keepalive@openssh.com", nil)
		}
	}
}

// idleConn ends a connection on which nothing moves.
type idleConn struct {
	net.Conn
	mu   sync.Mutex
	idle time.Duration
}

func (c *idleConn) setIdle(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = d
}

func (c *idleConn) extend() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.SetDeadline(time.Now().Add(c.idle))
}

func (c *idleConn) Read(p []byte) (int, error) {
	if err := c.extend(); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *idleConn) Write(p []byte) (int, error) {
	if err := c.extend(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
