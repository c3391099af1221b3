// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery_test

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"crypto/ed25519"
	"crypto/rand"

	. "github.com/onsi/gomega"
	"golang.org/x/crypto/ssh"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/delivery"
	"github.com/slipway-dev/slipway/test/hosts"
)

func reachFailure(s *site, pool *delivery.Pool, host delivery.Host) *delivery.Failure {
	_, err := pool.Probe(context.Background(), host, owner, s.deploy)
	s.ExpectWithOffset(1, err).To(BeAssignableToTypeOf(&delivery.Failure{}))
	return err.(*delivery.Failure) //nolint:errorlint // just asserted
}

func newKey(s *site) (private []byte, public string) {
	key, private25519, err := ed25519.GenerateKey(rand.Reader)
	s.Expect(err).NotTo(HaveOccurred())
	block, err := ssh.MarshalPrivateKey(private25519, "")
	s.Expect(err).NotTo(HaveOccurred())
	sshKey, err := ssh.NewPublicKey(key)
	s.Expect(err).NotTo(HaveOccurred())
	return pemOf(block), string(ssh.MarshalAuthorizedKey(sshKey))
}

func TestHostKeys(t *testing.T) {
	s := newSite(t, hosts.Options{SSHD: []string{"HostKey /run/host/rsa", "HostCertificate /run/host/key-cert.pub"}})
	_, other := newKey(s)
	rsa, err := os.ReadFile(s.host.Path("/run/host/rsa.pub"))
	s.Expect(err).NotTo(HaveOccurred())
	ca, err := os.ReadFile(filepath.Join(s.host.Dir, "run/host/ca.pub"))
	s.Expect(err).NotTo(HaveOccurred())
	for name, test := range map[string]struct {
		policy v1alpha1.HostKeyPolicy
		known  string
		pinned string
		reason string
	}{
		"known by name":           {policy: v1alpha1.HostKeysKnown, known: s.host.Name + " " + s.host.HostKey()},
		"known by address":        {policy: v1alpha1.HostKeysKnown, known: s.host.Address + " " + s.host.HostKey()},
		"only the RSA key known":  {policy: v1alpha1.HostKeysKnown, known: s.host.Name + " " + string(rsa)},
		"other key":               {policy: v1alpha1.HostKeysKnown, known: s.host.Name + " " + other, reason: v1alpha1.ReasonHostKeyMismatch},
		"revoked":                 {policy: v1alpha1.HostKeysKnown, known: s.host.Name + " " + s.host.HostKey() + "\n@revoked * " + s.host.HostKey(), reason: v1alpha1.ReasonHostKeyMismatch},
		"no line":                 {policy: v1alpha1.HostKeysKnown, known: "elsewhere " + s.host.HostKey(), reason: v1alpha1.ReasonHostKeyUnknown},
		"empty":                   {policy: v1alpha1.HostKeysKnown, reason: v1alpha1.ReasonHostKeyUnknown},
		"unreadable":              {policy: v1alpha1.HostKeysKnown, known: "x y z", reason: v1alpha1.ReasonHostKeyUnknown},
		"authority":               {policy: v1alpha1.HostKeysCA, known: "@cert-authority * " + string(ca)},
		"other authority":         {policy: v1alpha1.HostKeysCA, known: "@cert-authority * " + other, reason: v1alpha1.ReasonHostKeyMismatch},
		"a key where a CA is due": {policy: v1alpha1.HostKeysCA, known: s.host.Name + " " + s.host.HostKey(), reason: v1alpha1.ReasonHostKeyMismatch},
		"first use":               {policy: v1alpha1.HostKeysFirstUse},
		"pinned":                  {policy: v1alpha1.HostKeysFirstUse, pinned: s.host.HostKey()},
		"pinned another":          {policy: v1alpha1.HostKeysFirstUse, pinned: other, reason: v1alpha1.ReasonHostKeyMismatch},
		"pinned what is no key":   {policy: v1alpha1.HostKeysFirstUse, pinned: "nonsense", reason: v1alpha1.ReasonHostKeyUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			s.WithT = NewWithT(t)
			host := s.reach
			host.Policy, host.KnownHosts, host.HostKey = test.policy, []byte(test.known), test.pinned
			if test.reason == "" {
				seen, err := s.pool.Probe(context.Background(), host, owner, s.deploy)
				s.Expect(err).NotTo(HaveOccurred())
				s.Expect(seen.HostKey).To(HavePrefix("ssh-"))
				return
			}
			failure := reachFailure(s, s.pool, host)
			s.Expect(failure.Reason).To(Equal(test.reason), failure.Message)
			s.Expect(failure.Terminal).To(BeTrue())
			t.Log(failure.Message)
		})
	}
	// A kept connection is not used by whoever expects another key.
	s.WithT = NewWithT(t)
	host := s.reach
	host.Policy, host.KnownHosts, host.HostKey = v1alpha1.HostKeysFirstUse, nil, ""
	_, err = s.pool.Probe(context.Background(), host, owner, s.deploy)
	s.Expect(err).NotTo(HaveOccurred())
	host.HostKey = other
	s.Expect(reachFailure(s, s.pool, host).Reason).To(Equal(v1alpha1.ReasonHostKeyMismatch))
}

func TestUnreachable(t *testing.T) {
	s := newSite(t, hosts.Options{})
	pool := s.newPool(t, delivery.Options{Connect: time.Second, Handshake: 2 * time.Second, KeepAlive: time.Second})
	key, _ := newKey(s)
	stranger := s.reach
	stranger.PrivateKey = key
	s.Expect(reachFailure(s, pool, stranger).Reason).To(Equal(v1alpha1.ReasonLoginRefused))
	stranger.PrivateKey = []byte("nonsense")
	s.Expect(reachFailure(s, pool, stranger).Reason).To(Equal(v1alpha1.ReasonLoginRefused))

	one := s.depot.publish(t, first)
	s.deliver(s.order(one))

	s.Expect(s.host.Freeze()).To(Succeed())
	began := time.Now()
	s.Expect(reachFailure(s, pool, s.reach).Reason).To(Equal(v1alpha1.ReasonUnreachable))
	s.Expect(time.Since(began)).To(BeNumerically("<", 6*time.Second), "a frozen sshd keeps nobody waiting")
	s.Expect(s.host.Thaw()).To(Succeed())
	_, err := pool.Probe(context.Background(), s.reach, owner, s.deploy)
	s.Expect(err).NotTo(HaveOccurred())

	// Now on a kept connection: keep-alive notices.
	s.Expect(s.host.Freeze()).To(Succeed())
	began = time.Now()
	failure := reachFailure(s, pool, s.reach)
	s.Expect(failure.Reason).To(Equal(v1alpha1.ReasonUnreachable))
	s.Expect(time.Since(began)).To(BeNumerically("<", 6*time.Second))
	s.Expect(s.host.Thaw()).To(Succeed())

	s.Expect(s.host.Kill()).To(Succeed())
	s.Expect(reachFailure(s, pool, s.reach).Reason).To(Equal(v1alpha1.ReasonUnreachable))
	s.Expect(s.host.Boot(t.Context())).To(Succeed())
	seen, err := pool.Probe(context.Background(), s.reach, owner, s.deploy)
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(seen.Digest).To(Equal(one))
	s.Expect(seen.Drift).To(BeNil())
}

// wire is a connection that can be cut.
type wire struct {
	mu    sync.Mutex
	conns []net.Conn
	port  int
}

func newWire(t *testing.T, to string) *wire {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	w := &wire{port: listener.Addr().(*net.TCPAddr).Port}
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			w.mu.Lock()
			w.conns = append(w.conns, in, out)
			w.mu.Unlock()
			go func() { _, _ = io.Copy(in, out); _ = in.Close() }()
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
		}
	}()
	return w
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, conn := range w.conns {
		_ = conn.Close()
	}
}

// A lost connection leaves the outcome unknown, and the host comes to the end by itself.
func TestCutConnection(t *testing.T) {
	s := newSite(t, hosts.Options{})
	w := newWire(t, net.JoinHostPort(s.host.Address, strconv.Itoa(s.host.Port)))
	key := s.host.HostKey()
	s.reach.Address, s.reach.Port = "127.0.0.1", w.port
	s.reach.KnownHosts = []byte("[127.0.0.1]:" + strconv.Itoa(w.port) + " " + key)
	for _, at := range []string{"Fence", "Pull", "Verify", "Switch", "AfterSwitch", "Prune"} {
		digest := s.depot.publish(t, map[string]string{"index.php": at})
		s.deploy.Hooks.AfterSwitch = &v1alpha1.HostHook{Script: "echo " + at + " >>/tmp/after"}
		order := s.order(digest)
		_, err := s.pool.Deliver(context.Background(), s.reach, order, func(step string) {
			if step == at {
				w.cut()
			}
		})
		s.Expect(err).To(BeAssignableToTypeOf(&delivery.Failure{}), at)
		failure := err.(*delivery.Failure) //nolint:errorlint // just asserted
		s.Expect(failure.Unknown).To(BeTrue(), at)
		s.Expect(failure.Switched).To(BeFalse(), "what is unknown is not said, at "+at)
		s.Expect(failure.Reason).To(Equal(v1alpha1.ReasonUnreachable), at)
		s.deliver(order) // the same order again
		s.Expect(s.shell("cat /var/www/blog/current/index.php")).To(Equal(at))
		s.Expect(s.shell("tail -n 1 /tmp/after")).To(Equal(at + "\n"))
		s.Expect(s.probe().Drift).To(BeNil())
	}
}
