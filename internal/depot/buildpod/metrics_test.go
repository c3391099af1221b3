// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package buildpod

import (
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
	registry "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/slipway-dev/slipway/internal/depot/metrics"
	"github.com/slipway-dev/slipway/internal/depot/server"
)

// TestAPullShowsInTheMetrics reads them over HTTP, as a scraper does, while the depot serves.
func TestAPullShowsInTheMetrics(t *testing.T) {
	g := NewWithT(t)
	w := newWorldWith(t, server.NewMetrics(registry.Registry))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	address := listener.Addr().String()
	g.Expect(listener.Close()).To(Succeed())
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- metrics.Serve(ctx, address, &rest.Config{}) }()
	defer func() {
		cancel()
		g.Expect(<-served).To(Succeed())
	}()
	value := func(series string) func() float64 {
		return func() float64 {
			response, err := http.Get("http://" + address + "/metrics")
			if err != nil {
				return -1
			}
			defer func() { _ = response.Body.Close() }()
			text, err := io.ReadAll(response.Body)
			g.Expect(err).NotTo(HaveOccurred())
			found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindSubmatch(text)
			if found == nil {
				return -1
			}
			number, err := strconv.ParseFloat(string(found[1]), 64)
			g.Expect(err).NotTo(HaveOccurred())
			return number
		}
	}
	g.Eventually(value("slipway_depot_connections")).Should(BeZero())

	a, err := w.publish(w.grant(nil), "head -c 100000 /dev/urandom > blob")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(value("slipway_depot_artifacts_published_total")()).To(BeEquivalentTo(1))
	g.Expect(value(`slipway_depot_bytes_total{direction="received",principal="build"}`)()).To(BeNumerically(">", 100_000))
	g.Expect(value(`slipway_depot_sessions_total{principal="pull"}`)()).To(BeEquivalentTo(-1))
	w.pull(a.Digest, a.Digest)
	g.Expect(value(`slipway_depot_sessions_total{principal="pull"}`)()).To(BeEquivalentTo(2), "rsync, and the manifest")
	g.Expect(value(`slipway_depot_bytes_total{direction="sent",principal="pull"}`)()).To(BeNumerically(">", 100_000))
	_, err = w.ssh(w.pullCredential(a.Digest), "ssh", "", "slipway@"+w.endpoint.Host, "id")
	g.Expect(err).To(HaveOccurred())
	g.Expect(value(`slipway_depot_refusals_total{what="command"}`)()).To(BeEquivalentTo(1))
}
