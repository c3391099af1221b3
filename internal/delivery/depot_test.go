// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/crypto/ssh"
	"k8s.io/utils/clock"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/artifact"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/sshca"
)

// standIn is a depot with nothing behind it: it serves trees that a test made.
type standIn struct {
	endpoint  depot.Endpoint
	authority *sshca.Authority
	dir       string
	// spoil, if set, is called with the tree before it is served.
	spoil    atomic.Pointer[func(tree string)]
	pulls    atomic.Int64
	listener net.Listener
}

const service = v1alpha1.UID("5f6c1a5e-0000-4000-8000-000000000001")

// newStandIn listens on an address that the hosts reach.
func newStandIn(t *testing.T, address string) *standIn {
	t.Helper()
	g := NewWithT(t)
	authority, err := sshca.New(clock.RealClock{})
	g.Expect(err).NotTo(HaveOccurred())
	_, hostCA, err := ed25519.GenerateKey(rand.Reader)
	g.Expect(err).NotTo(HaveOccurred())
	caSigner, err := ssh.NewSignerFromKey(hostCA)
	g.Expect(err).NotTo(HaveOccurred())
	_, hostKey, err := ed25519.GenerateKey(rand.Reader)
	g.Expect(err).NotTo(HaveOccurred())
	hostSigner, err := ssh.NewSignerFromKey(hostKey)
	g.Expect(err).NotTo(HaveOccurred())
	certificate := &ssh.Certificate{Key: hostSigner.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{address}, ValidBefore: ssh.CertTimeInfinity}
	g.Expect(certificate.SignCert(rand.Reader, caSigner)).To(Succeed())
	certified, err := ssh.NewCertSigner(certificate, hostSigner)
	g.Expect(err).NotTo(HaveOccurred())
	listener, err := net.Listen("tcp", address+":0")
	g.Expect(err).NotTo(HaveOccurred())
	s := &standIn{authority: authority, dir: t.TempDir(), listener: listener}
	s.endpoint = depot.Endpoint{Host: address, Port: listener.Addr().(*net.TCPAddr).Port, HostCAs: []string{string(ssh.MarshalAuthorizedKey(caSigner.PublicKey()))}}
	config := &ssh.ServerConfig{PublicKeyCallback: s.admit}
	config.AddHostKey(certified)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go s.serve(conn, config)
		}
	}()
	t.Cleanup(func() { _ = listener.Close() })
	return s
}

// credential mints what a host shows.
func (s *standIn) credential(uid v1alpha1.UID, digest string, valid time.Duration) ([]byte, []byte, error) {
	return s.authority.Pull(uid, digest, valid)
}

func (s *standIn) admit(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	checker := ssh.CertChecker{SupportedCriticalOptions: []string{sshca.GrantOption}, IsUserAuthority: func(auth ssh.PublicKey) bool {
		for _, known := range s.authority.PublicKeys() {
			if key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(known)); err == nil && bytes.Equal(key.Marshal(), auth.Marshal()) {
				return true
			}
		}
		return false
	}}
	certificate, ok := key.(*ssh.Certificate)
	if !ok || !checker.IsUserAuthority(certificate.SignatureKey) {
		return nil, fmt.Errorf("no certificate of the manager")
	}
	if err := checker.CheckCert(sshca.Pull, certificate); err != nil {
		return nil, err
	}
	var grant sshca.PullGrant
	if err := json.Unmarshal([]byte(certificate.CriticalOptions[sshca.GrantOption]), &grant); err != nil {
		return nil, err
	}
	return &ssh.Permissions{Extensions: map[string]string{"digest": grant.Digest}}, nil
}

func (s *standIn) serve(raw net.Conn, config *ssh.ServerConfig) {
	conn, channels, requests, err := ssh.NewServerConn(raw, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		go func() {
			for request := range requests {
				if request.Type != "exec" {
					_ = request.Reply(request.Type == "env", nil)
					continue
				}
				var exec struct{ Command string }
				_ = ssh.Unmarshal(request.Payload, &exec)
				_ = request.Reply(true, nil)
				status := s.exec(channel, conn.Permissions.Extensions["digest"], strings.Fields(exec.Command))
				_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
				_ = channel.Close()
			}
		}()
	}
}

func (s *standIn) exec(channel ssh.Channel, digest string, args []string) uint32 {
	tree := filepath.Join(s.dir, digest)
	switch {
	case len(args) == 2 && args[0] == "manifest" && args[1] == digest:
		text, err := os.ReadFile(tree + ".manifest")
		if err != nil {
			return 1
		}
		_, _ = channel.Write(text)
		return 0
	case len(args) > 3 && args[0] == "rsync" && args[1] == "--server" && args[2] == "--sender" && args[len(args)-1] == "tree/":
		s.pulls.Add(1)
		if spoil := s.spoil.Load(); spoil != nil {
			(*spoil)(tree)
		}
		args[len(args)-1] = tree + "/"
		command := exec.Command(args[0], args[1:]...)
		command.Stdin, command.Stdout, command.Stderr = nil, channel, channel.Stderr()
		in, err := command.StdinPipe()
		if err != nil || command.Start() != nil {
			return 1
		}
		go func() {
			_, _ = io.Copy(in, channel)
			_ = in.Close()
		}()
		if command.Wait() != nil {
			return 1
		}
		return 0
	}
	fmt.Fprintf(channel.Stderr(), "refused: %q\n", args)
	return 2
}

// publish makes an artifact of files (path to content; a content "-> x" is a symlink) and returns its digest.
func (s *standIn) publish(t *testing.T, files map[string]string) string {
	t.Helper()
	g := NewWithT(t)
	tree := filepath.Join(s.dir, "new")
	g.Expect(os.RemoveAll(tree)).To(Succeed())
	for name, content := range files {
		full := filepath.Join(tree, name)
		g.Expect(os.MkdirAll(filepath.Dir(full), 0o755)).To(Succeed())
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			g.Expect(os.Symlink(target, full)).To(Succeed())
			continue
		}
		g.Expect(os.WriteFile(full, []byte(content), 0o644)).To(Succeed())
		// As the real depot does: equal path, size and time mean equal content.
		changed := time.Unix(1e9+int64(crc32.ChecksumIEEE([]byte(content))), 0)
		g.Expect(os.Chtimes(full, changed, changed)).To(Succeed())
	}
	manifest, err := artifact.Scan(tree)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(artifact.Normalize(tree, manifest)).To(Succeed())
	digest := manifest.Digest()
	final := filepath.Join(s.dir, digest)
	g.Expect(os.RemoveAll(final)).To(Succeed())
	g.Expect(os.Rename(tree, final)).To(Succeed())
	g.Expect(os.WriteFile(final+".manifest", manifest.Encode(), 0o644)).To(Succeed())
	return digest
}
