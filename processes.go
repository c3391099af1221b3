// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/slipway-dev/slipway/internal/console"
	"github.com/slipway-dev/slipway/internal/podrunner/docker"
	"github.com/slipway-dev/slipway/internal/standalone"
	"github.com/slipway-dev/slipway/internal/standalone/controlplane"
)

// logToFile sends the processes' logs to logs/slipway.log, so that the terminal shows progress alone.
func logToFile(dir string) (*slog.Logger, error) {
	logs := filepath.Join(dir, "logs")
	if err := os.MkdirAll(logs, 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(logs, "slipway.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	handler := slog.NewTextHandler(file, &slog.HandlerOptions{Level: slog.LevelInfo})
	log := slog.New(handler)
	slog.SetDefault(log)
	ctrl.SetLogger(logr.FromSlogHandler(handler))
	klog.SetLogger(logr.FromSlogHandler(handler))
	return log, nil
}

// standaloneProcesses are all of Slipway's processes, each with its own credential.
func standaloneProcesses(_ context.Context, house standalone.House, m managerOptions, page consoleOptions, log *slog.Logger) ([]standalone.Process, error) {
	runner, err := podRunner(house, m.gitCABundle, log.With("process", "pod-runner"))
	if err != nil {
		return nil, err
	}
	if m.images, err = docker.NewImageResolver(""); err != nil {
		return nil, fmt.Errorf("find the Docker Engine: %w", err)
	}
	address := net.JoinHostPort(house.DepotAddress, strconv.Itoa(house.DepotPort))
	page.link, page.linkFile, page.url = operator(), house.WriteLink, m.consoleURL
	return []standalone.Process{
		{Name: "depot", Run: func(ctx context.Context, ready func()) error {
			return runDepot(ctx, house.Depot, depotOptions{
				data: depotDir(house), listen: address, advertise: address, healthAddress: "0",
				allowFileSources: m.allowFileSources, gitCABundle: m.gitCABundle, identityCertificates: m.identityCertificates,
			}, log.With("process", "depot"), ready)
		}},
		{Name: "manager", Run: func(ctx context.Context, ready func()) error {
			return runManager(ctx, house.Manager, m, ready)
		}},
		{Name: "pod runner", Run: func(ctx context.Context, ready func()) error {
			ready()
			return runner.Run(ctx)
		}},
		{Name: "console", Run: func(ctx context.Context, ready func()) error {
			return runConsole(ctx, house.Console, page, log.With("process", "console"), func(string) { ready() })
		}},
	}, nil
}

// operator is who signs in by a one-time link: whoever runs standalone, with the rights of its group there.
func operator() *console.Identity {
	name := "operator"
	if who, err := user.Current(); err == nil && who.Username != "" {
		name = who.Username
	}
	return &console.Identity{Name: name, Groups: []string{"slipway:operators", "system:authenticated"}}
}

// podRunner runs the build Pods on this machine's Docker Engine.
func podRunner(house standalone.House, caBundle string, log *slog.Logger) (*docker.Runner, error) {
	certificate, err := tls.X509KeyPair(house.NodeCertificate.Cert, house.NodeCertificate.Key)
	if err != nil {
		return nil, fmt.Errorf("the node's certificate: %w", err)
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(house.KubeletAuthority)
	return docker.New(docker.Options{
		NodeName: house.NodeName, NodeAddress: "127.0.0.1", ListenAddress: "127.0.0.1:0",
		NodeConfig: house.Node, BinderConfig: house.Binder,
		ServingCert: certificate, ClientCA: clients, AllowedClientCN: controlplane.KubeletClient,
		StateDir: filepath.Join(house.Dir, "pods"), HostCABundle: caBundle, Logger: log,
	})
}
