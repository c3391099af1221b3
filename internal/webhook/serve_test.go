// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"
)

// certificate writes one with a serial number, as a mounted Secret would hold it.
func certificate(g Gomega, dir string, serial int64) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	g.Expect(err).NotTo(HaveOccurred())
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: []string{"hooks"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	g.Expect(err).NotTo(HaveOccurred())
	private, err := x509.MarshalPKCS8PrivateKey(key)
	g.Expect(err).NotTo(HaveOccurred())
	for name, block := range map[string]*pem.Block{"tls.key": {Type: "PRIVATE KEY", Bytes: private}, "tls.crt": {Type: "CERTIFICATE", Bytes: der}} {
		g.Expect(os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600)).To(Succeed())
	}
}

func TestTheCertificateIsReadAnewWhenItChanges(t *testing.T) {
	g, dir := NewWithT(t), t.TempDir()
	certificate(g, dir, 1)
	free, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test's own server
	g.Expect(err).NotTo(HaveOccurred())
	address := free.Addr().String()
	g.Expect(free.Close()).To(Succeed())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	r := New(Options{Address: address, CertDir: dir, Clock: clock.RealClock{}, Logger: slog.New(slog.DiscardHandler)})
	go func() { ended <- r.Start(ctx) }()
	serial := func() int64 {
		connection, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) // what it shows is compared
		if err != nil {
			return 0
		}
		defer func() { _ = connection.Close() }()
		return connection.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	g.Eventually(serial, 10*time.Second).Should(BeEquivalentTo(1))
	certificate(g, dir, 2)
	g.Eventually(serial, 30*time.Second, 200*time.Millisecond).Should(BeEquivalentTo(2))
	cancel()
	g.Eventually(ended, 30*time.Second).Should(Receive(BeNil()))
	g.Expect(New(Options{Address: "127.0.0.1:0", CertDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)}).Start(t.Context())).To(MatchError(ContainSubstring("--webhook-cert-dir")))
}
