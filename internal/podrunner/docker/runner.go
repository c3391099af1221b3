// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package docker runs build Pods on the Docker Engine, for machines without a kubelet. It alone imports Docker's client.
package docker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/docker/docker/client"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"

	"github.com/slipway-dev/slipway/internal/podrunner"
)

const workers = 8

// Options are what the runner needs of its surroundings.
type Options struct {
	// NodeName is the Node that the runner is; NodeAddress the IP address at which the API server reaches ListenAddress.
	NodeName, NodeAddress string
	// NodeConfig acts as system:node:NodeName in system:nodes; BinderConfig may create pods/binding.
	NodeConfig, BinderConfig *rest.Config
	// ListenAddress (host:port) serves container logs. Port 0 takes a free one.
	ListenAddress string
	ServingCert   tls.Certificate
	// ClientCA and AllowedClientCN say who may read logs: the API server alone.
	ClientCA        *x509.CertPool
	AllowedClientCN string
	// StateDir keeps the volumes and termination messages of Pods; the engine must see it under the same path.
	StateDir string
	// HostCABundle, when set, is mounted read-only over /etc/ssl/certs/ca-certificates.crt in every container.
	HostCABundle string
	// Network that containers join: a bridge network of that name (at most 15 bytes), which is made if it is not there
	// and kept from the metadata services of clouds. Default: "slipway-builds".
	Network string
	// DNS servers of containers. Default: the engine's.
	DNS []string
	// Host is the engine's address. Default: DOCKER_HOST, else the local socket.
	Host   string
	Logger *slog.Logger
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Runner runs the Pods of one Node.
type Runner struct {
	Options
	engine   *client.Client
	kube     kubernetes.Interface
	binder   kubernetes.Interface
	listener net.Listener
	pods     listers.PodLister
	queue    workqueue.TypedRateLimitingInterface[string]
	recorder events.EventRecorder

	work background
	// A value in one of these has the loop of its name run now.
	sweepWish, registerWish chan struct{}

	mu     sync.Mutex
	images map[string]*pull     // by Pod UID and container
	stops  map[string]time.Time // by Pod UID: when the stop under way kills
	down   string               // why the engine does not answer, or ""
	info   podrunner.NodeInfo
}

// New checks the options and listens. The engine need not answer yet.
func New(o Options) (*Runner, error) {
	if o.NodeName == "" || o.NodeAddress == "" || o.NodeConfig == nil || o.BinderConfig == nil || o.StateDir == "" {
		return nil, errors.New("pod runner: NodeName, NodeAddress, NodeConfig, BinderConfig and StateDir are required")
	}
	if o.ClientCA == nil || o.AllowedClientCN == "" {
		return nil, errors.New("pod runner: ClientCA and AllowedClientCN are required: logs are for the API server alone")
	}
	if o.Network == "" {
		o.Network = defaultNetwork
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if err := os.MkdirAll(o.StateDir, 0o711); err != nil {
		return nil, fmt.Errorf("pod runner's state: %w", err)
	}
	engine, err := newEngine(o.Host)
	if err != nil {
		return nil, err
	}
	r := &Runner{Options: o, engine: engine, sweepWish: make(chan struct{}, 1), registerWish: make(chan struct{}, 1),
		images: map[string]*pull{}, stops: map[string]time.Time{}, info: podrunner.NodeInfo{Name: o.NodeName, Address: o.NodeAddress}}
	if r.kube, err = kubernetes.NewForConfig(o.NodeConfig); err != nil {
		return nil, fmt.Errorf("pod runner's node client: %w", err)
	}
	if r.binder, err = kubernetes.NewForConfig(o.BinderConfig); err != nil {
		return nil, fmt.Errorf("pod runner's binder client: %w", err)
	}
	if r.listener, err = net.Listen("tcp", o.ListenAddress); err != nil {
		return nil, fmt.Errorf("pod runner's log endpoint: %w", err)
	}
	_, port, _ := net.SplitHostPort(r.listener.Addr().String())
	n, _ := strconv.ParseInt(port, 10, 32)
	r.info.LogPort = int32(n)
	return r, nil
}

func newEngine(host string) (*client.Client, error) {
	options := []client.Opt{client.FromEnv, client.WithAPIVersionNegotiation()}
	if host != "" {
		options = append(options, client.WithHost(host))
	}
	engine, err := client.NewClientWithOpts(options...)
	if err != nil {
		return nil, fmt.Errorf("docker client: %w", err)
	}
	return engine, nil
}

// Run works until ctx ends. Containers go on without it and are adopted by the next Run.
func (r *Runner) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	synced := false
	defer func() {
		if synced { // else nothing is known of Pods
			r.sweepAtStop(ctx)
		}
	}()
	r.work.base = ctx
	defer r.work.group.Wait()
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()

	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: r.kube.EventsV1()})
	defer broadcaster.Shutdown()
	if err := broadcaster.StartRecordingToSinkWithContext(ctx); err != nil {
		return err
	}
	r.recorder = broadcaster.NewRecorder(scheme.Scheme, "slipway-podrunner")

	r.queue = workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](250*time.Millisecond, 10*time.Second))
	factory := informers.NewSharedInformerFactoryWithOptions(r.kube, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("spec.nodeName", r.NodeName).String()
	}))
	pods := factory.Core().V1().Pods()
	r.pods = pods.Lister()
	add := func(o any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(o); err == nil {
			r.queue.Add(key)
		}
	}
	if _, err := pods.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: add, UpdateFunc: func(_, o any) { add(o) }, DeleteFunc: add}); err != nil {
		return err
	}
	self := podrunner.Node(r.info, r.Now())
	run := func(f func()) { group.Add(1); go func() { defer group.Done(); f() }() }
	failed := make(chan error, 2)
	r.registerOnce(ctx) // no Pod is looked at before it is known how the engine is
	run(func() { r.register(ctx) })
	run(func() { failed <- r.serveLogs(ctx) })
	run(func() {
		failed <- podrunner.Bind(ctx, r.binder, self, r.Logger)
	})
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	defer cancel()
	if !cache.WaitForCacheSync(ctx.Done(), pods.Informer().HasSynced) {
		return nil
	}
	run(func() { r.watchEngine(ctx) })
	run(func() { r.sweepAsWished(ctx) })
	synced = true
	for range workers {
		run(func() {
			for r.next(ctx) {
			}
		})
	}
	select {
	case <-ctx.Done():
	case err := <-failed:
		if ctx.Err() == nil {
			cancel()
			r.queue.ShutDown()
			return err
		}
	}
	r.queue.ShutDown()
	return nil
}

func (r *Runner) next(ctx context.Context) bool {
	key, quit := r.queue.Get()
	if quit {
		return false
	}
	defer r.queue.Done(key)
	after, err := r.sync(ctx, key)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		r.Logger.Error("cannot bring a Pod forward; it is tried again", "pod", key, "err", err)
		r.queue.AddRateLimited(key)
	default:
		r.queue.Forget(key)
		if after > 0 {
			r.queue.AddAfter(key, after)
		}
	}
	return true
}

func (r *Runner) event(pod *corev1.Pod, kind, reason, action, format string, args ...any) {
	r.recorder.Eventf(pod, nil, kind, reason, action, format, args...)
}
