// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

func TestOnlyLoopbackIsServedToAnybody(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:8083": true, "[::1]:8083": true, "localhost:8083": true, "127.9.9.9:1": true,
		":8443": false, "0.0.0.0:8443": false, "[::]:8443": false, "10.0.0.1:8443": false, "depot.example.com:8443": false, "127.0.0.1": false,
	} {
		t.Run(address, func(t *testing.T) { NewWithT(t).Expect(onLoopback(address)).To(Equal(want)) })
	}
}

// TestWhoIsNotKnownGetsNoMetrics serves as on any other address than a loopback one.
func TestWhoIsNotKnownGetsNoMetrics(t *testing.T) {
	g := NewWithT(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	address := listener.Addr().String()
	g.Expect(listener.Close()).To(Succeed())
	server, err := metricsserver.NewServer(options(address, false), &rest.Config{Host: "127.0.0.1:1"}, http.DefaultClient)
	g.Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Start(ctx) }()
	defer func() {
		cancel()
		g.Expect(<-served).To(Succeed())
	}()
	scraper := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	status := func(url string) func() (int, error) {
		return func() (int, error) {
			response, err := scraper.Get(url)
			if err != nil {
				return 0, err
			}
			return response.StatusCode, response.Body.Close()
		}
	}
	g.Eventually(status("https://"+address+"/metrics"), "10s").Should(Equal(http.StatusUnauthorized))
	g.Expect(status("http://"+address+"/metrics")()).NotTo(Equal(http.StatusOK), "nor without encryption")
}
