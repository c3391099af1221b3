// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// issue makes a key and a certificate for it, signed by parent, or by itself where parent is nil.
func issue(t *testing.T, name string, parent *tls.Certificate) tls.Certificate {
	t.Helper()
	g := NewWithT(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	g.Expect(err).NotTo(HaveOccurred())
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: parent == nil, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	signer, issuer := any(key), template
	if parent != nil {
		signer, issuer = parent.PrivateKey, parent.Leaf
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, &key.PublicKey, signer)
	g.Expect(err).NotTo(HaveOccurred())
	leaf, err := x509.ParseCertificate(der)
	g.Expect(err).NotTo(HaveOccurred())
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// Logs are for who shows the API server's client certificate, and for nobody else.
func TestLogsAreForTheAPIServerAlone(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	authority, other := issue(t, "authority", nil), issue(t, "authority", nil)
	clients := x509.NewCertPool()
	clients.AddCert(authority.Leaf)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	r := &Runner{listener: listener, pods: listers.NewPodLister(cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})),
		Options: Options{ServingCert: issue(t, "node", &authority), ClientCA: clients, AllowedClientCN: "api-server", Now: time.Now}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.serveLogs(ctx) }()
	t.Cleanup(func() {
		cancel()
		g.Eventually(ended, "5s").Should(Receive(BeNil()))
	})

	get := func(certificates ...tls.Certificate) (int, error) {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: clients, Certificates: certificates, MinVersion: tls.VersionTLS12}}
		defer transport.CloseIdleConnections()
		response, err := (&http.Client{Transport: transport}).Get("https://" + listener.Addr().String() + "/containerLogs/n/p/c")
		if err != nil {
			return 0, err
		}
		return response.StatusCode, response.Body.Close()
	}
	code, err := get(issue(t, "api-server", &authority))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(code).To(Equal(http.StatusNotFound), "it was let in, and there is no such Pod")
	for name, certificates := range map[string][]tls.Certificate{
		"no certificate":       nil,
		"another's authority":  {issue(t, "api-server", &other)},
		"signed by itself":     {issue(t, "api-server", nil)},
		"another of authority": {issue(t, "node", &authority)},
	} {
		code, err := get(certificates...)
		g.Expect(err).To(MatchError(ContainSubstring("tls: ")), "%s: %d", name, code)
	}
}

// Who follows the log of a build that prints 210 MB gets each line once, however slowly he reads, and the runner holds none of it.
func TestLongLogsAreWhole(t *testing.T) {
	const lines = 2_000_000
	runner(t, "loud", t.TempDir())
	w := newWorld(t, "loud")
	w.create(t, "endless", func(s *corev1.PodSpec) {
		s.InitContainers = nil
		s.Containers[0].Command = []string{"awk", fmt.Sprintf(`BEGIN { pad = "x"; while (length(pad) < 94) pad = pad pad; pad = substr(pad, 1, 94); for (n = 0; n < %d; n++) printf "%%09d %%s\n", n, pad }`, lines)}
	})
	var stream io.ReadCloser
	w.Eventually(func(g Gomega) {
		pod := w.pod(t, "endless")(g)
		g.Expect(pod.Spec.NodeName).NotTo(BeEmpty(), "the API server says that the log of a Pod without a node is empty")
		var err error
		stream, err = w.kube.CoreV1().Pods(w.namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Follow: true}).Stream(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
	}, time.Minute, "100ms").Should(Succeed(), "the build has begun")
	defer stream.Close()
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	n, most, wrong := 0, int64(0), ""
	for scanner := bufio.NewScanner(stream); scanner.Scan() && wrong == ""; n++ {
		if want := fmt.Sprintf("%09d ", n); !strings.HasPrefix(scanner.Text(), want) {
			wrong = "after " + want + "comes " + scanner.Text()
		}
		if n%100_000 == 0 {
			runtime.ReadMemStats(&now)
			most = max(most, int64(now.HeapInuse)-int64(before.HeapInuse))
		}
	}
	w.Expect(wrong).To(BeEmpty(), "no line is lost or doubled")
	w.Expect(n).To(Equal(lines))
	w.Expect(most).To(BeNumerically("<", 48<<20), "neither the runner nor this test holds a log in memory")
	w.ends(t, "endless", batchv1.JobComplete)
}
