// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package metrics serves the depot's metrics over HTTP.
package metrics

import (
	"context"
	"fmt"
	"net"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// Serve answers /metrics at address with what controller-runtime's registry holds, until ctx ends: over plain http on a
// loopback address, anywhere else over https and only to who may get /metrics, which config's API server is asked. The
// address "0", and none, serve nothing.
func Serve(ctx context.Context, address string, config *rest.Config) error {
	if address == "" || address == "0" {
		return nil
	}
	http, err := rest.HTTPClientFor(config)
	if err != nil {
		return fmt.Errorf("serve metrics: %w", err)
	}
	server, err := metricsserver.NewServer(options(address, onLoopback(address)), config, http)
	if err != nil {
		return fmt.Errorf("serve metrics: %w", err)
	}
	if err := server.Start(ctx); err != nil {
		return fmt.Errorf("serve metrics at %s: %w", address, err)
	}
	return nil
}

// options say how metrics are served: to anybody, or only to who proves to be allowed to.
func options(address string, anybody bool) metricsserver.Options {
	o := metricsserver.Options{BindAddress: address}
	if !anybody {
		o.SecureServing, o.FilterProvider = true, filters.WithAuthenticationAndAuthorization
	}
	return o
}

// onLoopback says whether only this machine reaches an address.
func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}
