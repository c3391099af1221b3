// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"log/slog"

	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/slipway-dev/slipway/controllers"
	"github.com/slipway-dev/slipway/internal/bindings"
	"github.com/slipway-dev/slipway/internal/buildlog"
	"github.com/slipway-dev/slipway/internal/delivery"
	depotclient "github.com/slipway-dev/slipway/internal/depot/client"
	"github.com/slipway-dev/slipway/internal/discovery/ec2"
	"github.com/slipway-dev/slipway/internal/gitsource"
	"github.com/slipway-dev/slipway/internal/loadbalancer/elbv2"
	"github.com/slipway-dev/slipway/internal/metrics"
	"github.com/slipway-dev/slipway/internal/notify"
	"github.com/slipway-dev/slipway/internal/trust"
	"github.com/slipway-dev/slipway/internal/webhook"
)

// addControllers makes the controllers' collaborators and adds the controllers to the manager.
func addControllers(ctx context.Context, mgr ctrl.Manager, o managerOptions) error {
	// Uncached: what is read here is needed before the caches are filled.
	direct, err := client.New(mgr.GetConfig(), client.Options{Scheme: mgr.GetScheme()})
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	owner, err := ownerID(ctx, direct)
	if err != nil {
		return err
	}
	authority, err := trust.EnsureAuthority(ctx, direct, clock.RealClock{})
	if err != nil {
		return err
	}
	go trust.KeepAuthority(ctx, direct, authority, clock.RealClock{}, slog.Default().With("process", "trust"))
	pods, err := kubernetes.NewForConfig(mgr.GetConfig())
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	endpoint := trust.NewEndpoint(direct, clock.RealClock{})
	depot := depotclient.New(endpoint.Get, authority)
	context.AfterFunc(ctx, func() { _ = depot.Close() })
	hosts := delivery.New(delivery.Options{Logger: slog.Default().With("process", "delivery"), Parallel: o.deliveries})
	context.AfterFunc(ctx, func() { hosts.Close() })
	instances := ec2.New(ec2.Options{Period: o.ec2Period, Jitter: &o.ec2Jitter})
	if err := mgr.Add(instances); err != nil {
		return fmt.Errorf("add the sweeps of EC2: %w", err)
	}
	counts := metrics.New(ctrlmetrics.Registry)
	for _, address := range o.ec2Queues {
		queue, err := ec2.ParseQueue(address)
		if err != nil {
			return fmt.Errorf("--ec2-queue-url: %w", err)
		}
		queue.Wake, queue.Count = instances.Wake, counts.QueueMessage
		if err := mgr.Add(queue); err != nil {
			return fmt.Errorf("take events from %s: %w", queue.URL, err)
		}
	}
	booted := bindings.New(depot, slog.Default().With("process", "bindings"))
	if err := mgr.Add(booted); err != nil {
		return fmt.Errorf("follow the hosts that boot: %w", err)
	}
	if o.webhookAddress != "" {
		receiver := webhook.New(webhook.Options{
			Client: mgr.GetClient(), Secrets: mgr.GetAPIReader(), Clock: clock.RealClock{}, Logger: slog.Default().With("process", "webhook"),
			Address: o.webhookAddress, CertDir: o.webhookCertDir,
		})
		if err := mgr.Add(receiver); err != nil {
			return fmt.Errorf("take webhooks: %w", err)
		}
	}
	return controllers.Setup(ctx, mgr, controllers.Options{
		Depot:           depot,
		Endpoint:        endpoint.Get,
		Finder:          instances,
		Found:           instances.Found(),
		AutoScaling:     instances,
		MaxAbandons:     o.maxAbandons,
		Balancers:       elbv2.New(),
		Bindings:        booted,
		Booted:          booted.News(),
		Delivery:        hosts,
		PullCredential:  authority.Pull,
		Tips:            gitsource.NewTips(gitsource.Options{AllowFile: o.allowFileSources, CABundle: o.gitCABundle}),
		Resolver:        gitsource.NewResolver(gitsource.Options{AllowFile: o.allowFileSources, CABundle: o.gitCABundle}),
		Images:          o.images,
		BuildCredential: authority.Build,
		BuildLogs:       buildlog.New(ctx, pods, depot, slog.Default().With("process", "build-logs")),
		SlipwayImage:    o.slipwayImage,
		OwnerID:         owner,
		Clock:           clock.RealClock{},
		Metrics:         counts,
		Deliveries:      o.deliveries,
		Notifier:        notify.NewSender(o.notifyLoopback, clock.RealClock{}.Now),
		Console:         o.consoleURL,
	})
}
