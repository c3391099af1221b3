// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controlplane runs a real etcd, kube-apiserver and kube-controller-manager as children of this process, with
// all their state in one directory. There is no scheduler and no kubelet.
package controlplane

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/rest"
)

// KubeletClient is the common name of the certificate that the API server shows to kubelets.
const KubeletClient = "kube-apiserver-kubelet-client"

// controllers are those of kube-controller-manager that Slipway's objects need.
var controllers = []string{
	"job-controller", "garbage-collector-controller", "namespace-controller", "serviceaccount-controller",
	"serviceaccount-token-controller", "root-ca-certificate-publisher-controller", "pod-garbage-collector-controller",
	"ttl-after-finished-controller", "clusterrole-aggregation-controller",
}

// Options of a control plane.
type Options struct {
	// Dir keeps all state. It must exist.
	Dir string
	// Binaries is the directory of etcd, kube-apiserver and kube-controller-manager. See FindBinaries.
	Binaries string
	// Bind is the address the API server listens on. Default 127.0.0.1.
	Bind string
	// Ephemeral lets etcd skip fsync, for tests.
	Ephemeral bool
	// WithoutControllerManager starts etcd and the API server alone.
	WithoutControllerManager bool
	// Progress, if not nil, is told what is ready.
	Progress func(what string)
}

// ControlPlane is a running control plane.
type ControlPlane struct {
	// URL of the API server.
	URL string
	// Admin speaks as a member of system:masters.
	Admin *rest.Config
	// KubeletAuthority signs the certificate that the API server shows to kubelets, and nothing else.
	KubeletAuthority []byte

	options   Options
	pki       string
	ports     ports
	authority *Authority
	processes []*process
	failed    chan error
}

// Start starts the control plane and waits until it is ready. Ending ctx ends the wait, not the control plane: call
// Stop for that, in any case where no error was returned.
func Start(ctx context.Context, options Options) (_ *ControlPlane, err error) {
	if options.Bind == "" {
		options.Bind = "127.0.0.1"
	}
	if options.Progress == nil {
		options.Progress = func(string) {}
	}
	if options.Dir, err = filepath.Abs(options.Dir); err != nil {
		return nil, err
	}
	if options.Binaries, err = filepath.Abs(options.Binaries); err != nil {
		return nil, err
	}
	c := &ControlPlane{options: options, pki: filepath.Join(options.Dir, "pki"), failed: make(chan error, 3)}
	if err := c.prepare(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.Stop()
		}
	}()
	if err := c.startEtcd(); err != nil {
		return nil, err
	}
	if err := c.startAPIServer(); err != nil {
		return nil, err
	}
	if err := c.waitReady(ctx); err != nil {
		return nil, err
	}
	options.Progress("etcd and kube-apiserver are ready at " + c.URL)
	if options.WithoutControllerManager {
		return c, nil
	}
	if err := c.startControllerManager(); err != nil {
		return nil, err
	}
	options.Progress("kube-controller-manager is started")
	return c, nil
}

// Failed gives the error of a component that has ended by itself.
func (c *ControlPlane) Failed() <-chan error { return c.failed }

// Stop ends all components, the last started first.
func (c *ControlPlane) Stop() {
	for i := len(c.processes) - 1; i >= 0; i-- {
		c.processes[i].stop(15 * time.Second)
	}
	c.processes = nil
}

// NodeCertificate issues the serving certificate of a node's log endpoint.
func (c *ControlPlane) NodeCertificate(node string, names ...string) (KeyPair, error) {
	return c.authority.Issue("system:node:"+node, []string{"system:nodes"}, names)
}

func (c *ControlPlane) prepare() (err error) {
	if err := os.MkdirAll(c.pki, 0o700); err != nil {
		return err
	}
	if c.ports, err = loadPorts(c.options.Dir, c.options.Bind); err != nil {
		return err
	}
	if c.authority, err = loadAuthority(c.pki, "ca"); err != nil {
		return err
	}
	etcd, err := loadAuthority(c.pki, "etcd-ca")
	if err != nil {
		return err
	}
	kubelet, err := loadAuthority(c.pki, "kubelet-client-ca")
	if err != nil {
		return err
	}
	c.KubeletAuthority = kubelet.PEM
	if err := loadSigningKey(filepath.Join(c.pki, "service-accounts.key")); err != nil {
		return err
	}
	for _, leaf := range []struct {
		authority  *Authority
		file, name string
		names      []string
	}{
		{etcd, "etcd", "etcd", []string{"127.0.0.1", "localhost"}},
		{etcd, "etcd-client", "kube-apiserver", nil},
		{kubelet, "kubelet-client", KubeletClient, nil},
		{c.authority, "apiserver", "kube-apiserver", []string{
			"127.0.0.1", "10.98.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", c.options.Bind,
		}},
	} {
		pair, err := leaf.authority.Issue(leaf.name, nil, leaf.names)
		if err != nil {
			return err
		}
		if err := pair.write(c.pki, leaf.file); err != nil {
			return err
		}
	}
	host := c.options.Bind
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	c.URL = "https://" + net.JoinHostPort(host, strconv.Itoa(c.ports.API))
	c.Admin, err = c.Credential("slipway:admin", "system:masters")
	return err
}

func (c *ControlPlane) start(name string, args ...string) error {
	p, err := startProcess(c.options.Dir, filepath.Join(c.options.Binaries, name), name, args...)
	if err != nil {
		return err
	}
	c.processes = append(c.processes, p)
	go func() {
		<-p.done
		c.failed <- p.ended()
	}()
	return nil
}

func (c *ControlPlane) startEtcd() error {
	client := fmt.Sprintf("https://127.0.0.1:%d", c.ports.Etcd)
	peer := fmt.Sprintf("https://127.0.0.1:%d", c.ports.EtcdPeer)
	return c.start("etcd", append([]string{
		"--name=slipway", "--data-dir=" + filepath.Join(c.options.Dir, "etcd"),
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=slipway=" + peer,
		"--cert-file=" + c.file("etcd.crt"), "--key-file=" + c.file("etcd.key"),
		"--client-cert-auth", "--trusted-ca-file=" + c.file("etcd-ca.crt"),
		"--peer-cert-file=" + c.file("etcd.crt"), "--peer-key-file=" + c.file("etcd.key"),
		"--peer-client-cert-auth", "--peer-trusted-ca-file=" + c.file("etcd-ca.crt"),
		"--auto-compaction-mode=periodic", "--auto-compaction-retention=1h",
	}, unless(!c.options.Ephemeral, "--unsafe-no-fsync")...)...)
}

func (c *ControlPlane) startAPIServer() error {
	audit, err := c.auditFlags()
	if err != nil {
		return err
	}
	return c.start("kube-apiserver", append(audit,
		fmt.Sprintf("--etcd-servers=https://127.0.0.1:%d", c.ports.Etcd),
		"--etcd-cafile="+c.file("etcd-ca.crt"), "--etcd-certfile="+c.file("etcd-client.crt"), "--etcd-keyfile="+c.file("etcd-client.key"),
		"--bind-address="+c.options.Bind, fmt.Sprintf("--secure-port=%d", c.ports.API),
		"--tls-cert-file="+c.file("apiserver.crt"), "--tls-private-key-file="+c.file("apiserver.key"),
		"--client-ca-file="+c.file("ca.crt"), "--anonymous-auth=false",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.98.0.0/24",
		"--service-account-key-file="+c.file("service-accounts.key"), "--service-account-signing-key-file="+c.file("service-accounts.key"),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		// Nothing reaches this API server through the Service "kubernetes", and 127.0.0.1 may not be an endpoint.
		"--endpoint-reconciler-type=none",
		"--kubelet-client-certificate="+c.file("kubelet-client.crt"), "--kubelet-client-key="+c.file("kubelet-client.key"),
		"--kubelet-certificate-authority="+c.file("ca.crt"), "--kubelet-preferred-address-types=InternalIP",
		"--profiling=false",
	)...)
}

func (c *ControlPlane) startControllerManager() error {
	config, err := c.Credential("system:kube-controller-manager")
	if err != nil {
		return err
	}
	content, err := Kubeconfig(config)
	if err != nil {
		return err
	}
	kubeconfig := c.file("controller-manager.kubeconfig")
	if err := WriteFile(kubeconfig, content, 0o600); err != nil {
		return err
	}
	return c.start("kube-controller-manager",
		"--kubeconfig="+kubeconfig, "--authentication-kubeconfig="+kubeconfig, "--authorization-kubeconfig="+kubeconfig,
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", c.ports.ControllerManager), "--cert-dir="+c.pki,
		"--leader-elect=false", "--use-service-account-credentials",
		"--service-account-private-key-file="+c.file("service-accounts.key"), "--root-ca-file="+c.file("ca.crt"),
		"--controllers="+strings.Join(controllers, ","), "--profiling=false",
	)
}

func (c *ControlPlane) file(name string) string { return filepath.Join(c.pki, name) }

func unless(condition bool, flag string) []string {
	if condition {
		return nil
	}
	return []string{flag}
}

// waitReady waits until the API server says so, a component ends, or ctx does.
func (c *ControlPlane) waitReady(ctx context.Context) error {
	client, err := rest.HTTPClientFor(c.Admin)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		if ready(ctx, client, c.URL) {
			return nil
		}
		select {
		case err := <-c.failed:
			return err
		case <-ctx.Done():
			return fmt.Errorf("kube-apiserver is not ready (%w); see %s", ctx.Err(), filepath.Join(c.options.Dir, "logs"))
		case <-ticker.C:
		}
	}
}
