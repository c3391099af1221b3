// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controllers lists Slipway's controllers and wires them to a manager.
package controllers

import (
	"context"
	"fmt"
	"time"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/controllers/lifecycle"
	"github.com/slipway-dev/slipway/controllers/notify"
	"github.com/slipway-dev/slipway/controllers/release"
	"github.com/slipway-dev/slipway/controllers/rollout"
	"github.com/slipway-dev/slipway/controllers/service"
	"github.com/slipway-dev/slipway/controllers/target"
	"github.com/slipway-dev/slipway/internal/build"
	"github.com/slipway-dev/slipway/internal/delivery"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/discovery"
	"github.com/slipway-dev/slipway/internal/gitsource"
	"github.com/slipway-dev/slipway/internal/loadbalancer"
	"github.com/slipway-dev/slipway/internal/metrics"
)

// Options are the collaborators of all controllers.
type Options struct {
	// Depot is the way to the depot, Endpoint where builds and hosts reach it.
	Depot    depot.Manager
	Endpoint func() (depot.Endpoint, error)
	// Finder looks at clouds; Found brings the accounts of which it knows something new.
	Finder discovery.LiveFinder
	Found  <-chan event.TypedGenericEvent[discovery.Account]
	// AutoScaling completes lifecycle hooks; nil: none are.
	AutoScaling lifecycle.AutoScaling
	// MaxAbandons is how many instances of a group may be abandoned within an hour. Default: none.
	MaxAbandons int
	// Balancers talks to the target groups of load balancers.
	Balancers loadbalancer.Groups
	// Bindings knows the host keys of instances that booted by themselves; Booted brings the ids of those that did.
	Bindings target.Bindings
	Booted   <-chan event.TypedGenericEvent[string]
	// Delivery reaches hosts; PullCredential mints what a host shows to the depot.
	Delivery       delivery.Driver
	PullCredential delivery.Credential
	// Resolver resolves revisions, Images build images.
	Resolver gitsource.Resolver
	// Tips finds the tips that Services track.
	Tips   gitsource.Tips
	Images build.ImageResolver
	// BuildCredential mints what a build Pod shows to the depot; BuildLogs keeps builds' logs.
	BuildCredential func(grant depot.BuildGrant, valid time.Duration) (privateKey, certificate []byte, err error)
	BuildLogs       release.BuildLogs
	// SlipwayImage runs fetch and publish in build Pods.
	SlipwayImage string
	// OwnerID identifies this installation on hosts: the UID of the namespace kube-system.
	OwnerID string
	Clock   clock.PassiveClock
	// Metrics count what is done. Default: nobody reads them.
	Metrics *metrics.Metrics
	// Notifier tells places outside of Releases; Console is the Console's address, for links.
	Notifier notify.Sender
	Console  string
	// Deliveries is how many hosts are worked on at once. Default 32.
	Deliveries int
}

// Setup registers the indexes and all controllers.
func Setup(ctx context.Context, mgr ctrl.Manager, o Options) error {
	if err := index(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	c, reader, counts := mgr.GetClient(), mgr.GetAPIReader(), o.Metrics
	if o.AutoScaling != nil {
		err := lifecycle.New(lifecycle.Options{
			Client: c, AutoScaling: o.AutoScaling, Clock: o.Clock, Events: mgr.GetEventRecorder("slipway-lifecycle"), Metrics: counts, MaxAbandons: o.MaxAbandons,
		}).SetupWithManager(mgr)
		if err != nil {
			return fmt.Errorf("set up the lifecycle controller: %w", err)
		}
	}
	for name, setup := range map[string]func(ctrl.Manager) error{
		"service": service.New(service.Options{
			Client: c, Reader: reader, Depot: o.Depot, Endpoint: o.Endpoint, Finder: o.Finder, Found: o.Found, Tips: o.Tips, Clock: o.Clock,
			Events: mgr.GetEventRecorder("slipway-service"), Metrics: counts,
		}).SetupWithManager,
		"release": release.New(release.Options{
			Client: c, Reader: reader, Depot: o.Depot, Endpoint: o.Endpoint, Resolver: o.Resolver, Images: o.Images,
			BuildCredential: o.BuildCredential, BuildLogs: o.BuildLogs, SlipwayImage: o.SlipwayImage, Clock: o.Clock,
			Events: mgr.GetEventRecorder("slipway-release"), Metrics: counts,
		}).SetupWithManager,
		"notify": notify.New(notify.Options{
			Client: c, Reader: reader, Sender: o.Notifier, Console: o.Console, Clock: o.Clock, Events: mgr.GetEventRecorder("slipway-notify"), Metrics: counts,
		}).SetupWithManager,
		"rollout": rollout.New(rollout.Options{
			Client: c, Reader: reader, Depot: o.Depot, Clock: o.Clock, Events: mgr.GetEventRecorder("slipway-rollout"), Metrics: counts,
			OwnerID: o.OwnerID, Concurrency: o.Deliveries,
		}).SetupWithManager,
		"target": target.New(target.Options{
			Client: c, Reader: reader, Finder: o.Finder, Delivery: o.Delivery, Endpoint: o.Endpoint, PullCredential: o.PullCredential,
			Balancers: o.Balancers, Bindings: o.Bindings, Booted: o.Booted,
			OwnerID: o.OwnerID, Clock: o.Clock, Events: mgr.GetEventRecorder("slipway-target"), Metrics: counts, Concurrency: o.Deliveries,
		}).SetupWithManager,
	} {
		if err := setup(mgr); err != nil {
			return fmt.Errorf("set up the %s controller: %w", name, err)
		}
	}
	return nil
}

// index makes Releases and Targets of a Service cheap to list.
func index(ctx context.Context, indexer client.FieldIndexer) error {
	err := indexer.IndexField(ctx, &v1alpha1.Release{}, release.ServiceField, func(object client.Object) []string {
		return []string{object.(*v1alpha1.Release).Spec.Service}
	})
	if err != nil {
		return fmt.Errorf("index Releases by Service: %w", err)
	}
	err = indexer.IndexField(ctx, &v1alpha1.Target{}, release.ServiceField, func(object client.Object) []string {
		return []string{object.(*v1alpha1.Target).Spec.Service}
	})
	if err != nil {
		return fmt.Errorf("index Targets by Service: %w", err)
	}
	err = indexer.IndexField(ctx, &v1alpha1.Target{}, target.HostField, func(object client.Object) []string {
		return []string{object.(*v1alpha1.Target).Spec.Host.ID}
	})
	if err != nil {
		return fmt.Errorf("index Targets by host: %w", err)
	}
	return nil
}
