// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/crypto/ssh"
	"k8s.io/utils/clock"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/depot/server"
	"github.com/slipway-dev/slipway/internal/depot/store"
	"github.com/slipway-dev/slipway/test/hosts"
)

// The depot itself serves hosts, and nobody who has no grant for the artifact.
func TestRealDepot(t *testing.T) {
	s := newSite(t, hosts.Options{})
	kept, err := store.Open(t.TempDir(), clock.RealClock{})
	s.Expect(err).NotTo(HaveOccurred())
	signers, authorities, err := server.HostKey(t.TempDir(), []string{s.fleet.Gateway}, clock.RealClock{})
	s.Expect(err).NotTo(HaveOccurred())
	front := server.New(server.Options{
		Store: kept, HostKeys: signers, Clock: clock.RealClock{}, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		UserAuthorities: func() []ssh.PublicKey {
			var keys []ssh.PublicKey
			for _, line := range s.depot.authority.PublicKeys() {
				key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
				if err == nil {
					keys = append(keys, key)
				}
			}
			return keys
		},
	})
	listener, err := net.Listen("tcp", s.fleet.Gateway+":0")
	s.Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = front.Serve(ctx, listener)
	}()
	t.Cleanup(func() {
		cancel()
		_ = listener.Close()
		<-ended
	})
	publish := func(key string, files map[string]string) string {
		grant := depot.BuildGrant{Service: service, BuildKey: key, Commit: "c0ffee", AllowShrink: true}
		staging, err := kept.Staging(grant)
		s.Expect(err).NotTo(HaveOccurred())
		for name, content := range files {
			s.Expect(os.MkdirAll(filepath.Dir(filepath.Join(staging, name)), 0o755)).To(Succeed())
			s.Expect(os.WriteFile(filepath.Join(staging, name), []byte(content), 0o644)).To(Succeed())
		}
		published, err := kept.Finish(grant)
		s.Expect(err).NotTo(HaveOccurred())
		return published.Digest
	}
	s.depot.endpoint = depot.Endpoint{Host: s.fleet.Gateway, Port: listener.Addr().(*net.TCPAddr).Port, HostCAs: authorities}
	one := publish("key-1", map[string]string{"index.php": "one", "a b/c": "c"})
	two := publish("key-2", map[string]string{"index.php": "two"})
	s.deliver(s.order(one))
	s.deliver(s.order(two))
	s.Expect(s.shell("cat /var/www/blog/current/index.php")).To(Equal("two"))
	s.shell("cd /var/www/blog/current && " + edit)
	repair := s.order(two)
	repair.Repair = true
	s.deliver(repair) // the depot allows a transfer by content
	s.Expect(s.shell("cat /var/www/blog/current/index.php")).To(Equal("two"))

	three := publish("key-3", map[string]string{"index.php": "three"})
	order := s.order(three)
	order.PullKey = func(uid v1alpha1.UID, _ string, valid time.Duration) ([]byte, []byte, error) {
		return s.depot.authority.Pull(uid, one, valid)
	}
	s.Expect(s.refuse(order, v1alpha1.ReasonDepotUnavailable).Message).To(ContainSubstring("another artifact"))
	order.PullKey = s.depot.credential
	order.Depot.HostCAs = []string{s.depot.authority.PublicKeys()[0]}
	s.Expect(s.refuse(order, v1alpha1.ReasonDepotUnavailable).Message).To(ContainSubstring("verification failed"))
}
