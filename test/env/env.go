// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package env gives tests a real control plane, once per package, with Slipway's kinds and roles applied.
package env

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/standalone/controlplane"
	"github.com/slipway-dev/slipway/internal/standalone/install"
)

// SystemNamespace is where the service accounts of Slipway's own processes live.
const SystemNamespace = "slipway-system"

var running *controlplane.ControlPlane

// Option changes the control plane.
type Option func(*controlplane.Options)

// WithControllerManager also runs kube-controller-manager: Jobs, garbage collection, deletion of namespaces.
func WithControllerManager() Option {
	return func(o *controlplane.Options) { o.WithoutControllerManager = false }
}

// Main is what a package's TestMain calls: it starts the control plane, runs the tests, stops it and exits.
func Main(m *testing.M, options ...Option) { os.Exit(run(m, options)) }

func run(m *testing.M, options []Option) int {
	stop, err := start(options)
	if err != nil {
		fmt.Fprintln(os.Stderr, "test/env:", err)
		return 1
	}
	defer stop()
	return m.Run()
}

// Start does what Main does for a single test; the control plane ends with it.
func Start(t *testing.T, options ...Option) {
	t.Helper()
	stop, err := start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
}

func start(options []Option) (stop func(), err error) {
	binaries, err := controlplane.FindBinaries("")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "slipway-env-")
	if err != nil {
		return nil, err
	}
	o := controlplane.Options{Dir: dir, Binaries: binaries, Ephemeral: true, WithoutControllerManager: true}
	for _, option := range options {
		option(&o)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	if running, err = controlplane.Start(ctx, o); err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	stop = func() {
		running.Stop()
		running = nil
		_ = os.RemoveAll(dir)
	}
	if err := install.Everything(ctx, running.Admin); err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

// Config speaks as an administrator.
func Config(t *testing.T) *rest.Config {
	t.Helper()
	return unlimited(rest.CopyConfig(controlPlane(t).Admin))
}

// unlimited takes the client's own rate limit away: five requests a second would be most of a test's time.
func unlimited(config *rest.Config) *rest.Config {
	config.QPS = -1
	return config
}

// Manager speaks as the manager's service account, with exactly the rights of config/rbac.
func Manager(t *testing.T) *rest.Config { return serviceAccount(t, "slipway-manager") }

// Depot speaks as the depot's service account.
func Depot(t *testing.T) *rest.Config { return serviceAccount(t, "slipway-depot") }

// Console speaks as the Console's service account.
func Console(t *testing.T) *rest.Config { return serviceAccount(t, "slipway-console") }

// Binder speaks as the service account that binds build Pods to a node.
func Binder(t *testing.T) *rest.Config { return serviceAccount(t, "slipway-binder") }

// Node speaks as the kubelet of the named node.
func Node(t *testing.T, name string) *rest.Config {
	t.Helper()
	return User(t, "system:node:"+name, "system:nodes")
}

// User speaks as any user.
func User(t *testing.T, name string, groups ...string) *rest.Config {
	t.Helper()
	config, err := controlPlane(t).Credential(name, groups...)
	if err != nil {
		t.Fatal(err)
	}
	return unlimited(config)
}

// ControlPlane is the running control plane, for tests that need its certificates.
func ControlPlane(t *testing.T) *controlplane.ControlPlane { return controlPlane(t) }

// Client is an uncached administrator's client.
func Client(t *testing.T) client.Client { return ClientFor(t, Config(t)) }

// ClientFor is an uncached client of whoever config speaks as.
func ClientFor(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	c, err := client.New(config, client.Options{Scheme: Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Scheme knows Kubernetes' kinds and Slipway's.
func Scheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	return scheme
}

// Namespace makes a namespace for one test and deletes it afterwards.
func Namespace(t *testing.T) string {
	t.Helper()
	c := Client(t)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := c.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Delete(context.Background(), namespace); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
	return namespace.Name
}

func serviceAccount(t *testing.T, name string) *rest.Config {
	t.Helper()
	config, err := controlPlane(t).ServiceAccount(SystemNamespace, name)
	if err != nil {
		t.Fatal(err)
	}
	return unlimited(config)
}

func controlPlane(t *testing.T) *controlplane.ControlPlane {
	t.Helper()
	if running == nil {
		t.Fatal("no control plane runs: call env.Main from TestMain, or env.Start")
	}
	return running
}
