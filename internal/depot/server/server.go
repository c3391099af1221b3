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
	"github.com/slipway-dev/slipway/internal/boot"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/depot/store"
	"github.com/slipway-dev/slipway/internal/sshca"
)

// Sources are the mirrors of the repositories.
type Sources interface {
	Fetch(ctx context.Context, r depot.MirrorRequest) error
	Archive(ctx context.Context, service v1alpha1.UID, url, commit, path string, w io.Writer) error
	Commits(ctx context.Context, r depot.CommitRange) ([]depot.Commit, error)
	Refs(ctx context.Context, r depot.RefsRequest) ([]depot.Ref, error)
}

// Hosts answers hosts that boot, who log in with a key of their own.
type Hosts interface {
	Answer(ctx context.Context, key ssh.PublicKey, in io.Reader, out io.Writer) error
	Report(ctx context.Context, key ssh.PublicKey, service string, in io.Reader) error
}

// Options of the server.
type Options struct {
	Store   *store.Store
	Sources Sources
	// HostKeys prove the server; see HostKey.
	HostKeys []ssh.Signer
	// UserAuthorities are the keys that sign certificates of the manager, builds and hosts. It is asked at each login.
	UserAuthorities func() []ssh.PublicKey
	// Hosts answers hosts that boot; nil refuses them. BootAuthorities sign what those show to read an artifact, and nothing
	// else.
	Hosts           Hosts
	BootAuthorities func() []ssh.PublicKey
	// Readers says whether a token may read logs, commits and what artifacts hold: the Console's. nil refuses all.
	Readers func(ctx context.Context, token string) error
	// Confine wraps the rsync command so that it reaches one directory only; nil leaves it as it is.
	Confine func(dir string, writable bool, argv []string) []string
	Clock   clock.PassiveClock
	Logger  *slog.Logger
	Metrics *Metrics
	// Handshake bounds a login as a whole, and how long a session may take to say what it wants. Default 20s.
	Handshake time.Duration
	// Idle bounds a connection without a session, and a session of a host or a build that moves nothing. Default 10m.
	Idle time.Duration
	// KeepAlive is how often the other end is asked whether it is there. One that is silent three times as long is gone.
	// Default 30s.
	KeepAlive time.Duration
	// Connections bounds how many there are at once. A quarter of them may not have logged in yet, of one source a
	// sixteenth. Default 4096.
	Connections int
}

// sessionsOf bounds the sessions of one connection at once: the manager does all its calls over one, a host or a build one
// thing after the other.
func sessionsOf(who identity) int {
	if who.principal == sshca.Manager || who.principal == depot.ReaderUser {
		return 256
	}
	return 8
}

// Server is the depot's SSH front.
type Server struct {
	Options
	door     *door
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
	if o.KeepAlive <= 0 {
		o.KeepAlive = 30 * time.Second
	}
	if o.Connections <= 0 {
		o.Connections = 4096
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	return &Server{Options: o, door: newDoor(o.Connections)}
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
		place := s.door.enter(conn.RemoteAddr())
		if place == nil {
			s.Metrics.Refusals.WithLabelValues("connection").Inc()
			s.Logger.Info("connection refused: too many are open, or too many of this source have not logged in", "from", conn.RemoteAddr().String())
			_ = conn.Close()
			continue
		}
		s.conns.Go(func() {
			defer place.leave()
			s.Metrics.Connections.Inc()
			defer s.Metrics.Connections.Dec()
			s.serve(ctx, conn, place)
		})
	}
}

// readerLife is how long a connection of the Console lasts; then it shows its token again.
const readerLife = time.Hour

// serve leads one connection.
func (s *Server) serve(ctx context.Context, raw net.Conn, place *guest) {
	defer func() { _ = raw.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	connection, channels, requests, alive, err := s.login(raw)
	if err != nil {
		s.Metrics.Refusals.WithLabelValues("login").Inc()
		s.Logger.Info("login refused", "from", raw.RemoteAddr().String(), "error", err.Error())
		return
	}
	defer func() { _ = connection.Close() }()
	who, err := identify(connection.Permissions)
	if err != nil {
		s.Metrics.Refusals.WithLabelValues("login").Inc()
		s.Logger.Info("login refused", "from", raw.RemoteAddr().String(), "error", err.Error())
		return
	}
	if who.principal != boot.User { // anybody is let in as that: it is a stranger still
		place.loggedIn()
	}
	began := time.Now()
	go keepAlive(ctx, connection, alive, s.KeepAlive, func() bool {
		if who.principal == depot.ReaderUser { // whom no authority vouches for, but a token
			return time.Since(began) < readerLife
		}
		return s.trusts(who.principal, who.authority)
	})
	go refuseRequests(requests)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var sessions sync.WaitGroup
	defer sessions.Wait()
	defer cancel()
	hangUp := func() { _ = connection.Close() }
	places := newPlaces(sessionsOf(who), s.Idle, hangUp)
	defer places.idle.Stop()
	for channel := range channels {
		if channel.ChannelType() != "session" {
			s.Metrics.Refusals.WithLabelValues("channel").Inc()
			_ = channel.Reject(ssh.Prohibited, "the depot forwards nothing: it serves artifacts and builds only")
			continue
		}
		if !places.take() {
			_ = channel.Reject(ssh.ResourceShortage, "too many sessions on one connection")
			continue
		}
		ch, reqs, err := channel.Accept()
		if err != nil {
			return
		}
		sessions.Go(func() {
			defer places.give()
			s.session(ctx, who, ch, reqs, hangUp)
		})
	}
}

// login brings a connection to where it may open sessions. It has Handshake for all of it: one that says nothing, or a
// byte now and then, goes.
func (s *Server) login(raw net.Conn) (*ssh.ServerConn, <-chan ssh.NewChannel, <-chan *ssh.Request, *pulse, error) {
	if err := raw.SetDeadline(time.Now().Add(s.Handshake)); err != nil {
		return nil, nil, nil, nil, err
	}
	alive := newPulse()
	connection, channels, requests, err := ssh.NewServerConn(&movingConn{raw, alive}, s.config())
	if err != nil {
		return nil, nil, nil, nil, err
	}
	return connection, channels, requests, alive, raw.SetDeadline(time.Time{})
}

// refuseRequests answers keep-alives and refuses everything else, port forwarding above all.
func refuseRequests(requests <-chan *ssh.Request) {
	for request := range requests {
		if request.WantReply {
			_ = request.Reply(request.Type == "keepalive@openssh.com", nil)
		}
	}
}
