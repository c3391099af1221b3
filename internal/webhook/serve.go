// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
)

// NeedLeaderElection says that every replica receives.
func (r *Receiver) NeedLeaderElection() bool { return false }

// Start listens until ctx ends.
func (r *Receiver) Start(ctx context.Context) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", r.Address)
	if err != nil {
		return fmt.Errorf("listen for webhooks: %w", err)
	}
	if r.CertDir != "" {
		watcher, err := certwatcher.New(filepath.Join(r.CertDir, "tls.crt"), filepath.Join(r.CertDir, "tls.key"))
		if err != nil {
			_ = listener.Close()
			return fmt.Errorf("read the certificate of webhooks (--webhook-cert-dir): %w", err)
		}
		go func() {
			if err := watcher.Start(ctx); err != nil {
				r.Logger.Error("the certificate of webhooks is not read anew any more", "error", err)
			}
		}()
		listener = tls.NewListener(listener, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: watcher.GetCertificate, NextProtos: []string{"http/1.1"}})
	}
	r.Logger.Info("takes webhooks", "address", listener.Addr().String(), "tls", r.CertDir != "")
	return r.Serve(ctx, listener)
}

// Serve answers on a listener until ctx ends.
func (r *Receiver) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler: r.Handler(), ReadHeaderTimeout: min(r.Timeout, 5*time.Second), ReadTimeout: r.Timeout, WriteTimeout: 2 * r.Timeout,
		IdleTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10,
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.Timeout)
		defer cancel()
		_ = server.Shutdown(limit)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("take webhooks: %w", err)
	}
	<-stopped
	return nil
}
