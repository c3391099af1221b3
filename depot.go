// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	registry "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/depot/confine"
	"github.com/slipway-dev/slipway/internal/depot/metrics"
	"github.com/slipway-dev/slipway/internal/depot/server"
	"github.com/slipway-dev/slipway/internal/depot/store"
	"github.com/slipway-dev/slipway/internal/discovery/ec2"
	"github.com/slipway-dev/slipway/internal/gitsource"
	"github.com/slipway-dev/slipway/internal/trust"
)

// maintainEvery is how often the mirrors of sources are looked after.
const maintainEvery = time.Hour

const identityCertificatesUsage = "directory of further certificates, REGION.pem, that sign the identity documents of EC2 instances"

// depotOptions are what the depot's flags set.
type depotOptions struct {
	data, listen, advertise, healthAddress, metricsAddress string
	allowFileSources                                       bool
	gitCABundle                                            string
	identityCertificates                                   string
}

func depotCommand() *cobra.Command {
	var o depotOptions
	c := &cobra.Command{
		Use:   "depot",
		Short: "Keeps artifacts, source mirrors and build logs, and serves them over SSH",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log := startLogging()
			config, err := ctrl.GetConfig()
			if err != nil {
				return fmt.Errorf("find the API server: %w", err)
			}
			return runDepot(c.Context(), config, o, log, func() {})
		},
	}
	f := c.Flags()
	f.StringVar(&o.data, "data", "/var/lib/slipway", "directory that keeps everything")
	f.StringVar(&o.listen, "listen", ":2222", "where SSH is served")
	f.StringVar(&o.advertise, "advertise", "", "host:port where hosts and builds reach the depot (required)")
	f.StringVar(&o.healthAddress, "health-address", ":8082", "where /healthz and /readyz are served")
	f.StringVar(&o.metricsAddress, "metrics-address", "127.0.0.1:8083",
		"where /metrics is served: to anybody on a loopback address, elsewhere over https to who may get /metrics; 0 serves none")
	f.BoolVar(&o.allowFileSources, "allow-file-sources", false, "allow file:// as a source: for demonstrations")
	f.StringVar(&o.gitCABundle, "git-ca-bundle", "", "file of further certificate authorities that git servers are checked by")
	f.StringVar(&o.identityCertificates, "identity-certificates", "", identityCertificatesUsage)
	_ = c.MarkFlagRequired("advertise")
	c.AddCommand(depotLogCommand(), depotRotateCommand())
	return c
}

// runDepot serves until ctx ends. It starts and serves with the API server down, once it has known the manager's keys.
func runDepot(ctx context.Context, config *rest.Config, o depotOptions, log *slog.Logger, ready func()) error {
	host, portText, err := net.SplitHostPort(o.advertise)
	if err != nil {
		return fmt.Errorf("--advertise: %w", err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 || host == "" {
		return fmt.Errorf("--advertise: %q is not host:port", o.advertise)
	}
	artifacts, err := store.Open(filepath.Join(o.data, "store"), clock.RealClock{})
	if err != nil {
		return err
	}
	signers, authorities, err := server.HostKey(filepath.Join(o.data, "hostkey"), []string{host}, clock.RealClock{})
	if err != nil {
		return err
	}
	// Without a cache and without a lookup of the API's kinds at the start: the API server may be down.
	c, err := client.New(config, client.Options{Scheme: newScheme()})
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	endpoint := func() depot.Endpoint { return depot.Endpoint{Host: host, Port: int(port), HostCAs: authorities} }
	exchange, err := trust.NewDepot(c, filepath.Join(o.data, "user_ca"), endpoint, log)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("serve SSH at %s: %w", o.listen, err)
	}
	instances := ec2.New(ec2.Options{}) // asked for one at a time, it sweeps nothing
	desk, bootAuthority, err := bootDesk(artifacts, instances, o, endpoint, log)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program, which confines rsync: %w", err)
	}
	mirrors := gitsource.NewMirrors(filepath.Join(o.data, "mirrors"), gitsource.Options{AllowFile: o.allowFileSources, CABundle: o.gitCABundle})
	front := server.New(server.Options{
		Store:           artifacts,
		Sources:         mirrors,
		HostKeys:        signers,
		UserAuthorities: func() []ssh.PublicKey { return parseKeys(exchange.UserCAs(), log) },
		Hosts:           desk,
		Readers:         depotReaders(c),
		BootAuthorities: func() []ssh.PublicKey { return parseKeys(bootAuthority.PublicKeys(), log) },
		Confine:         confine.Wrap(self),
		Clock:           clock.RealClock{}, Logger: log,
		Metrics: counters(),
	})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return front.Serve(ctx, listener) })
	group.Go(func() error { return exchange.Run(ctx) })
	group.Go(func() error { return instances.Start(ctx) })
	group.Go(func() error { return mirrors.Maintain(ctx, maintainEvery, log) })
	group.Go(func() error {
		if err := metrics.Serve(ctx, o.metricsAddress, config); err != nil { // hosts need the depot, and not its metrics
			log.Error("metrics are not served; give another --metrics-address", "error", err)
		}
		return nil
	})
	if o.healthAddress != "0" {
		group.Go(func() error {
			return serveHealth(ctx, o.healthAddress, func() error {
				if len(exchange.UserCAs()) == 0 {
					return errors.New("the manager's keys are not known yet")
				}
				return nil
			}, func() {})
		})
	}
	log.Info("the depot serves", "address", listener.Addr().String(), "advertised", o.advertise)
	ready()
	return group.Wait()
}

// counters are registered once: in standalone the manager's metrics show them too.
var counters = sync.OnceValue(func() *server.Metrics { return server.NewMetrics(registry.Registry) })

func parseKeys(lines []string, log *slog.Logger) (keys []ssh.PublicKey) {
	for _, line := range lines {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			log.Error("one of the manager's keys cannot be read and is not trusted", "error", err)
			continue
		}
		keys = append(keys, key)
	}
	return keys
}
