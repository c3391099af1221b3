// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/build"
	"github.com/slipway-dev/slipway/internal/discovery/ec2"
	"github.com/slipway-dev/slipway/internal/imageresolver"
	"github.com/slipway-dev/slipway/internal/lifecycle"
	"github.com/slipway-dev/slipway/internal/trust"
)

// managerOptions are what the manager's flags set.
type managerOptions struct {
	slipwayImage     string
	allowFileSources bool
	gitCABundle      string
	// identityCertificates are for the depot, in standalone.
	identityCertificates string
	images               build.ImageResolver
	deliveries           int
	ec2Period            time.Duration
	ec2Jitter            float64
	ec2Queues            []string
	maxAbandons          int
	consoleURL           string
	notifyLoopback       bool
	leaderElect          bool
	lease                leaseOptions
	metricsAddress       string
	healthAddress        string
	webhookAddress       string
	webhookCertDir       string
}

// leaseOptions are the times of leader election, after client-go's package leaderelection.
type leaseOptions struct {
	duration, renew, retry time.Duration
}

// valid says whether the times fit: who can't renew must have stopped before another may begin.
func (o leaseOptions) valid() error {
	if o.retry <= 0 || o.renew < 2*o.retry || o.duration <= o.renew {
		return fmt.Errorf("--lease-duration (%s) must be longer than --lease-renew-deadline (%s), and that at least twice --lease-retry-period (%s)",
			o.duration, o.renew, o.retry)
	}
	return nil
}

func (o *managerOptions) addFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.slipwayImage, "slipway-image", "slipway:dev", "the image with this program that build Pods fetch and publish with")
	f.BoolVar(&o.allowFileSources, "allow-file-sources", false, "allow file:// as a source: for demonstrations")
	f.DurationVar(&o.ec2Period, "ec2-period", ec2.DefaultPeriod, "how often EC2 is asked for the instances of each region and role")
	f.Float64Var(&o.ec2Jitter, "ec2-jitter", ec2.DefaultJitter, "share of --ec2-period, from 0 to 1, by which EC2 may be asked earlier")
	f.StringArrayVar(&o.ec2Queues, "ec2-queue-url", nil, "SQS queue with events of EC2 and Auto Scaling, which only have EC2 asked sooner; "+
		"REGION=URL where the URL does not name its region; may be given several times")
	f.IntVar(&o.maxAbandons, "max-abandons-per-hour", lifecycle.DefaultMaxAbandons, "how many launching instances of one Auto Scaling group "+
		"may be replaced within an hour as they can't take their release; 0 is none")
	f.StringVar(&o.consoleURL, "console-url", "", "where people reach the Console, for links in notifications")
	f.BoolVar(&o.notifyLoopback, "notify-allow-loopback", false, "let notifications be sent to addresses of this machine")
	f.StringVar(&o.webhookAddress, "webhook-address", "", "where reports of pushes to tracked repositories are taken, such as :8082 (default: nowhere)")
	f.StringVar(&o.webhookCertDir, "webhook-cert-dir", "",
		"directory with tls.crt and tls.key for --webhook-address, read anew when they change (default: plain HTTP, for an ingress)")
	f.IntVar(&o.deliveries, "max-concurrent-deliveries", 32, "how many hosts are worked on at once")
}

func managerCommand() *cobra.Command {
	o := managerOptions{images: imageresolver.Registry{}}
	c := &cobra.Command{
		Use:   "manager",
		Short: "Runs the controllers",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			startLogging()
			if err := o.lease.valid(); err != nil {
				return err
			}
			if o.ec2Jitter < 0 || o.ec2Jitter > 1 {
				return fmt.Errorf("--ec2-jitter is a share of the period, from 0 to 1, and not %v", o.ec2Jitter)
			}
			config, err := ctrl.GetConfig()
			if err != nil {
				return fmt.Errorf("find the API server: %w", err)
			}
			return runManager(c.Context(), config, o, func() {})
		},
	}
	o.addFlags(c)
	f := c.Flags()
	f.StringVar(&o.gitCABundle, "git-ca-bundle", "", "file of further certificate authorities that git servers are checked by")
	f.BoolVar(&o.leaderElect, "leader-elect", true, "work only while holding the lease slipway-manager")
	f.DurationVar(&o.lease.duration, "lease-duration", 15*time.Second, "how long a leader that is not heard of is waited for before another takes over")
	f.DurationVar(&o.lease.renew, "lease-renew-deadline", 10*time.Second, "how long a leader tries to renew its lease before it ends")
	f.DurationVar(&o.lease.retry, "lease-retry-period", 2*time.Second, "how often the lease is tried and renewed")
	f.StringVar(&o.metricsAddress, "metrics-address", ":8443", "where metrics are served over https to who may get /metrics; 0 serves none")
	f.StringVar(&o.healthAddress, "health-address", ":8081", "where /healthz and /readyz are served")
	c.AddCommand(managerRotateCommand())
	return c
}

// newScheme knows Kubernetes' kinds and Slipway's.
func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	return scheme
}

// runManager works until ctx ends or the lease is lost.
func runManager(ctx context.Context, config *rest.Config, o managerOptions, ready func()) error {
	config = rest.CopyConfig(config)
	// The API server's own priority and fairness limits the manager; the client's would slow every rollout.
	config.QPS, config.UserAgent = -1, "slipway-manager/"+version
	scheme := newScheme()
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme,
		// Secrets are read one by one, by name: no list of them is ever asked for or kept.
		Client: client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}}}},
		Metrics: metricsserver.Options{
			BindAddress: o.metricsAddress, SecureServing: true, FilterProvider: filters.WithAuthenticationAndAuthorization,
		},
		HealthProbeBindAddress: o.healthAddress,
		LeaderElection:         o.leaderElect, LeaderElectionID: "slipway-manager", LeaderElectionNamespace: trust.Namespace,
		LeaseDuration: &o.lease.duration, RenewDeadline: &o.lease.renew, RetryPeriod: &o.lease.retry, LeaderElectionReleaseOnCancel: true,
	})
	if err != nil {
		return fmt.Errorf("make the manager: %w", err)
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	if err := mgr.AddReadyzCheck("caches", cachesFilled(mgr)); err != nil {
		return err
	}
	if err := addControllers(ctx, mgr, o); err != nil {
		return err
	}
	go func() {
		select {
		case <-mgr.Elected():
			ready()
		case <-ctx.Done():
		}
	}()
	return mgr.Start(ctx)
}

// cachesFilled says whether the manager sees the cluster. Who stands by has nothing to fill.
func cachesFilled(mgr ctrl.Manager) healthz.Checker {
	return func(request *http.Request) error {
		ctx, cancel := context.WithTimeout(request.Context(), time.Second)
		defer cancel()
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return errors.New("the caches are not filled yet")
		}
		return nil
	}
}

// ownerID is how this installation is known to hosts.
func ownerID(ctx context.Context, c client.Reader) (string, error) {
	var namespace corev1.Namespace
	if err := c.Get(ctx, types.NamespacedName{Name: "kube-system"}, &namespace); err != nil {
		return "", fmt.Errorf("read the UID of namespace kube-system, which names this installation on hosts: %w", err)
	}
	return string(namespace.UID), nil
}
