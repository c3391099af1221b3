// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/crypto/ssh"
	"k8s.io/utils/clock"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/depot/store"
	"github.com/slipway-dev/slipway/internal/sshca"
)

// value of a counter or gauge.
func value(metric prometheus.Metric) float64 {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metric.(prometheus.Collector))
	families, err := registry.Gather()
	if err != nil {
		return -1
	}
	m := families[0].GetMetric()[0]
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}

// endless is a source that never ends.
type endless struct{}

func (endless) Fetch(context.Context, depot.MirrorRequest) error { return nil }

func (endless) Archive(_ context.Context, _ v1alpha1.UID, _, _, _ string, w io.Writer) error {
	for block := make([]byte, 32<<10); ; {
		if _, err := w.Write(block); err != nil {
			return err
		}
	}
}

func (endless) Commits(context.Context, depot.CommitRange) ([]depot.Commit, error) { return nil, nil }

func (endless) Refs(context.Context, depot.RefsRequest) ([]depot.Ref, error) { return nil, nil }

// front is a server with narrow limits.
type front struct {
	t         *testing.T
	server    *Server
	authority *sshca.Authority
	address   string
	hostCAs   []string
	distrust  atomic.Bool
}

func newFront(t *testing.T, o Options) *front {
	t.Helper()
	g := NewWithT(t)
	f := &front{t: t}
	var err error
	f.authority, err = sshca.New(clock.RealClock{})
	g.Expect(err).NotTo(HaveOccurred())
	trusted, _, _, _, err := ssh.ParseAuthorizedKey([]byte(f.authority.PublicKeys()[0]))
	g.Expect(err).NotTo(HaveOccurred())
	o.HostKeys, f.hostCAs, err = HostKey(t.TempDir(), []string{"127.0.0.1"}, clock.RealClock{})
	g.Expect(err).NotTo(HaveOccurred())
	o.Store, err = store.Open(t.TempDir(), clock.RealClock{})
	g.Expect(err).NotTo(HaveOccurred())
	o.Sources, o.Clock, o.Logger = endless{}, clock.RealClock{}, slog.New(slog.DiscardHandler)
	o.UserAuthorities = func() []ssh.PublicKey {
		if f.distrust.Load() {
			return nil
		}
		return []ssh.PublicKey{trusted}
	}
	f.server = New(o)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	f.address = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- f.server.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		g.Eventually(served, "5s").Should(Receive(Succeed()), "nothing outlives the server")
	})
	return f
}

// dial connects from an address of this machine, and says nothing.
func (f *front) dial(from string) net.Conn {
	f.t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.DialContext(f.t.Context(), "tcp", f.address)
	NewWithT(f.t).Expect(err).NotTo(HaveOccurred())
	f.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// login logs in over a connection as a build, or as the manager.
func (f *front) login(conn net.Conn, principal string) *ssh.Client {
	f.t.Helper()
	g := NewWithT(f.t)
	mint := func(valid time.Duration) ([]byte, []byte, error) {
		return f.authority.Build(depot.BuildGrant{Service: "svc", BuildKey: "k", Attempt: 1}, valid)
	}
	if principal == sshca.Manager {
		mint = f.authority.Manager
	}
	privateKey, line, err := mint(time.Minute)
	g.Expect(err).NotTo(HaveOccurred())
	key, err := ssh.ParsePrivateKey(privateKey)
	g.Expect(err).NotTo(HaveOccurred())
	public, _, _, _, err := ssh.ParseAuthorizedKey(line)
	g.Expect(err).NotTo(HaveOccurred())
	signer, err := ssh.NewCertSigner(public.(*ssh.Certificate), key)
	g.Expect(err).NotTo(HaveOccurred())
	connection, channels, requests, err := ssh.NewClientConn(conn, f.address, &ssh.ClientConfig{
		User: sshca.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.FixedHostKey(f.server.HostKeys[1].PublicKey()),
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
	})
	g.Expect(err).NotTo(HaveOccurred())
	c := ssh.NewClient(connection, channels, requests)
	f.t.Cleanup(func() { _ = c.Close() })
	return c
}

// ended receives when the other end has closed a connection.
func ended(conn net.Conn) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, conn)
		done <- err
	}()
	return done
}

// gone receives when a logged in connection has ended.
func gone(c *ssh.Client) <-chan error {
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	return done
}

func TestAClientThatDoesNotLogInIsSentAway(t *testing.T) {
	for name, behave := range map[string]func(net.Conn){
		"says nothing": func(net.Conn) {},
		"says a byte now and then": func(conn net.Conn) {
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for range tick.C {
				if _, err := conn.Write([]byte("S")); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			f := newFront(t, Options{Handshake: 300 * time.Millisecond})
			conn := f.dial("127.0.0.1")
			go behave(conn)
			g.Eventually(ended(conn), "3s").Should(Receive())
			g.Eventually(func() float64 { return value(f.server.Metrics.Refusals.WithLabelValues("login")) }).Should(BeEquivalentTo(1))
			g.Eventually(func() float64 { return value(f.server.Metrics.Connections) }).Should(BeZero())
		})
	}
}

func TestStrangersOfOneSourceKeepNobodyElseOut(t *testing.T) {
	g := NewWithT(t)
	f := newFront(t, Options{Handshake: time.Minute, Connections: 32})
	first, second := f.dial("127.0.0.1"), f.dial("127.0.0.1")
	held := []<-chan error{ended(first), ended(second)}
	g.Eventually(ended(f.dial("127.0.0.1")), "3s").Should(Receive(), "two of this source have not logged in")
	g.Expect(value(f.server.Metrics.Refusals.WithLabelValues("connection"))).To(BeEquivalentTo(1))
	for range 4 { // another source; and who has logged in is no stranger
		_, err := f.login(f.dial("127.0.0.2"), sshca.Build).NewSession()
		g.Expect(err).NotTo(HaveOccurred())
	}
	for _, c := range held {
		g.Expect(c).NotTo(Receive())
	}
	g.Expect(first.Close()).To(Succeed())
	g.Eventually(func() float64 { return value(f.server.Metrics.Connections) }).Should(BeEquivalentTo(5))
	f.login(f.dial("127.0.0.1"), sshca.Build)
}

func TestTheDoor(t *testing.T) {
	g := NewWithT(t)
	at := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 1} }
	d := newDoor(32) // 8 strangers, 2 of one source
	var inside []*guest
	for _, ip := range []string{"10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.3", "2001:db8::1", "2001:db8::2", "10.0.0.4", "10.0.0.5"} {
		inside = append(inside, d.enter(at(ip)))
		g.Expect(inside[len(inside)-1]).NotTo(BeNil(), ip)
		if len(inside) == 2 {
			g.Expect(d.enter(at("10.0.0.1"))).To(BeNil(), "a third of one address")
		}
		if len(inside) == 6 {
			g.Expect(d.enter(at("2001:db8::3"))).To(BeNil(), "a third of one IPv6 network")
		}
	}
	g.Expect(d.enter(at("10.0.0.6"))).To(BeNil(), "too many strangers")
	for _, known := range inside {
		known.loggedIn()
	}
	for len(inside) < 32 {
		next := d.enter(at("10.0.0.1"))
		g.Expect(next).NotTo(BeNil())
		next.loggedIn()
		inside = append(inside, next)
	}
	g.Expect(d.enter(at("10.0.0.6"))).To(BeNil(), "too many in all")
	for _, leaving := range inside {
		leaving.leave()
	}
	g.Expect(d.inside).To(BeZero())
	g.Expect(d.strangers).To(BeEmpty())
}

func TestAConnectionWithoutASessionEnds(t *testing.T) {
	g := NewWithT(t)
	f := newFront(t, Options{Idle: 300 * time.Millisecond, KeepAlive: 50 * time.Millisecond})
	idle, busy := f.login(f.dial("127.0.0.1"), sshca.Manager), f.login(f.dial("127.0.0.1"), sshca.Manager)
	session, err := busy.NewSession()
	g.Expect(err).NotTo(HaveOccurred())
	log, err := session.StdinPipe()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(session.Start("rpc")).To(Succeed())
	_, err = io.WriteString(log, `{"method":"WriteLog","params":{"service":"svc","job":"silent"}}`+"\n")
	g.Expect(err).NotTo(HaveOccurred())
	g.Eventually(gone(idle), "3s").Should(Receive())
	ends := gone(busy)
	g.Consistently(ends, "600ms").ShouldNot(Receive(), "the log of a build that says nothing for long")
	g.Expect(log.Close()).To(Succeed())
	g.Expect(session.Wait()).To(Succeed())
	g.Eventually(ends, "3s").Should(Receive(), "and once it is over the connection is idle")
}

func TestASessionThatHoldsOnToNothingEnds(t *testing.T) {
	for name, behave := range map[string]func(*WithT, *ssh.Session){
		"asks for nothing": func(*WithT, *ssh.Session) {},
		"takes nothing": func(g *WithT, session *ssh.Session) {
			_, err := session.StdoutPipe()
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(session.Start("source")).To(Succeed())
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			f := newFront(t, Options{Handshake: 400 * time.Millisecond, Idle: 400 * time.Millisecond, KeepAlive: 50 * time.Millisecond})
			c := f.login(f.dial("127.0.0.1"), sshca.Build)
			session, err := c.NewSession()
			g.Expect(err).NotTo(HaveOccurred())
			behave(g, session)
			g.Eventually(gone(c), "3s").Should(Receive())
			g.Eventually(func() float64 { return value(f.server.Metrics.Connections) }, "3s").Should(BeZero())
		})
	}
}

func TestAConnectionHasFewSessionsAtOnce(t *testing.T) {
	g := NewWithT(t)
	c := newFront(t, Options{})
	build := c.login(c.dial("127.0.0.1"), sshca.Build)
	for range 8 {
		_, err := build.NewSession()
		g.Expect(err).NotTo(HaveOccurred())
	}
	_, err := build.NewSession()
	g.Expect(err).To(MatchError(ContainSubstring("too many sessions")))
}

// frozen is a connection whose end can stop to read, as a machine that hangs does.
type frozen struct {
	net.Conn
	stop sync.RWMutex
}

func (f *frozen) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	f.stop.RLock()
	defer f.stop.RUnlock()
	if n == 0 && err == nil {
		return 0, errors.ErrUnsupported
	}
	return n, err
}

func TestAClientThatHangsIsGone(t *testing.T) {
	g := NewWithT(t)
	f := newFront(t, Options{KeepAlive: 100 * time.Millisecond})
	hanging := &frozen{Conn: f.dial("127.0.0.1")}
	c := f.login(hanging, sshca.Manager)
	ends := gone(c)
	g.Consistently(ends, "700ms").ShouldNot(Receive(), "it answers")
	hanging.stop.Lock()
	g.Eventually(func() float64 { return value(f.server.Metrics.Connections) }, "5s").Should(BeZero())
	hanging.stop.Unlock()
	g.Eventually(ends, "3s").Should(Receive(Or(MatchError(io.EOF), MatchError(os.ErrDeadlineExceeded), HaveOccurred())))
}

func TestWhoIsNotTrustedAnyMoreIsSentAway(t *testing.T) {
	g := NewWithT(t)
	f := newFront(t, Options{KeepAlive: 50 * time.Millisecond})
	c := f.login(f.dial("127.0.0.1"), sshca.Manager)
	ends := gone(c)
	g.Consistently(ends, "200ms").ShouldNot(Receive())
	f.distrust.Store(true)
	g.Eventually(ends, "3s").Should(Receive())
}
