// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package standalone runs all of Slipway on one machine without a cluster: a real control plane beside Slipway's own
// processes, each with the credential and the rights of its role, and all state in one directory.
package standalone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/slipway-dev/slipway/internal/standalone/controlplane"
	"github.com/slipway-dev/slipway/internal/standalone/install"
)

// systemNamespace is where the service accounts of Slipway's processes live.
const systemNamespace = "slipway-system"

// Options of a standalone installation.
type Options struct {
	// Dir keeps all state; it is made if it is not there.
	Dir string
	// ControlPlaneDir holds etcd, kube-apiserver and kube-controller-manager. Empty: they are searched for.
	ControlPlaneDir string
	// AdvertiseAddress is where hosts and build containers reach the depot. Empty: this machine's own address.
	AdvertiseAddress string
	// DepotPort is the port of the depot. 0: one that is free, and the same from then on.
	DepotPort int
	// Output takes progress, line by line.
	Output io.Writer
	// Processes makes Slipway's processes once the control plane is up.
	Processes func(ctx context.Context, house House) ([]Process, error)
}

// House is what the processes are given.
type House struct {
	// Dir is theirs to keep state in, each in a directory of its own.
	Dir string
	// Node is the name of this machine's node.
	NodeName string
	// One configuration per role.
	Manager, Depot, Console, Node, Binder *rest.Config
	// DepotAddress and DepotPort are where the depot listens and is reached.
	DepotAddress string
	DepotPort    int
	// NodeCertificate is the serving certificate of the node's log endpoint at 127.0.0.1, which lets in holders of
	// certificates of KubeletAuthority (PEM) alone: that is the API server.
	NodeCertificate  controlplane.KeyPair
	KubeletAuthority []byte
	// link is the address of the Console's next one-time link, once there is one.
	link *lastLink
}

// lastLink is the newest link; its file is for this user alone.
type lastLink struct {
	mu   sync.Mutex
	file string
	url  string
}

// WriteLink keeps the address of a link that signs in at the Console once.
func (h House) WriteLink(url string) error {
	h.link.mu.Lock()
	defer h.link.mu.Unlock()
	h.link.url = url
	return controlplane.WriteFile(h.link.file, []byte(url+"\n"), 0o600)
}

// Link is the newest one.
func (h House) Link() string {
	h.link.mu.Lock()
	defer h.link.mu.Unlock()
	return h.link.url
}

// Process is one of Slipway's processes.
type Process struct {
	Name string
	// Run works until ctx ends, and calls ready once when it is.
	Run func(ctx context.Context, ready func()) error
}

// Run starts everything, says when it is ready and stops everything when ctx ends. It returns nil if all went well.
func Run(ctx context.Context, o Options) error {
	report := newProgress(o.Output)
	dir, unlock, err := openState(o.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	binaries, err := controlplane.FindBinaries(o.ControlPlaneDir)
	if err != nil {
		return err
	}
	report("starting the control plane; its state is in %s", dir)
	plane, err := controlplane.Start(ctx, controlplane.Options{
		Dir: filepath.Join(dir, "controlplane"), Binaries: binaries, Progress: func(what string) { report("%s", what) },
	})
	if err != nil {
		return err
	}
	defer func() {
		plane.Stop()
		report("stopped")
	}()
	if err := install.Everything(ctx, plane.Admin); err != nil {
		return err
	}
	if err := install.Policy(ctx, plane.Admin); err != nil {
		return err
	}
	if err := install.Operators(ctx, plane.Admin); err != nil {
		return err
	}
	report("kinds and roles are applied")
	house, err := furnish(o, dir, plane)
	if err != nil {
		return err
	}
	kubeconfig, err := writeKubeconfig(dir, plane.Admin)
	if err != nil {
		return err
	}
	processes, err := o.Processes(ctx, house)
	if err != nil {
		return err
	}
	return supervise(ctx, plane.Failed(), processes, report, func() error {
		if err := install.Requester(ctx, plane.Admin); err != nil {
			return err
		}
		if err := writeReady(dir, kubeconfig, house); err != nil {
			return err
		}
		report("slipway standalone is ready: export KUBECONFIG=%s", kubeconfig)
		if link := house.Link(); link != "" {
			report("the Console: %s (good once, for ten minutes; the next is in %s)", link, house.link.file)
		}
		return nil
	})
}

// furnish makes the credentials and picks the depot's address.
func furnish(o Options, dir string, plane *controlplane.ControlPlane) (House, error) {
	name, err := nodeName()
	if err != nil {
		return House{}, err
	}
	house := House{Dir: dir, NodeName: name, KubeletAuthority: plane.KubeletAuthority, link: &lastLink{file: filepath.Join(dir, "console.link")}}
	for account, config := range map[string]**rest.Config{
		"slipway-manager": &house.Manager, "slipway-depot": &house.Depot, "slipway-console": &house.Console, "slipway-binder": &house.Binder,
	} {
		if *config, err = plane.ServiceAccount(systemNamespace, account); err != nil {
			return house, err
		}
	}
	if house.Node, err = plane.Credential("system:node:"+name, "system:nodes"); err != nil {
		return house, err
	}
	if house.NodeCertificate, err = plane.NodeCertificate(name, "127.0.0.1", "localhost", name); err != nil {
		return house, err
	}
	house.DepotAddress, house.DepotPort, err = depotAddress(dir, o.AdvertiseAddress, o.DepotPort)
	return house, err
}

// supervise runs the processes until ctx ends or one of them, or the control plane, fails.
func supervise(ctx context.Context, planeFailed <-chan error, processes []Process, report func(string, ...any), allReady func() error) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	ended := make(chan error, len(processes))
	ready := make(chan string, len(processes))
	for _, p := range processes {
		running.Go(func() {
			var once sync.Once
			err := p.Run(ctx, func() { once.Do(func() { ready <- p.Name }) })
			switch {
			case ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)):
				err = nil
			case err == nil:
				err = fmt.Errorf("%s has ended without being asked to", p.Name)
			default:
				err = fmt.Errorf("%s: %w", p.Name, err)
			}
			ended <- err
		})
	}
	for waiting := len(processes); ; {
		select {
		case name := <-ready:
			report("%s is ready", name)
			if waiting--; waiting == 0 {
				if err := allReady(); err != nil {
					return err
				}
			}
		case err := <-planeFailed:
			return err
		case err := <-ended:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			report("stopping")
			return nil
		}
	}
}

// newProgress returns what writes one line with the seconds since the start.
func newProgress(w io.Writer) func(format string, values ...any) {
	if w == nil {
		w = os.Stderr
	}
	start := time.Now()
	var mu sync.Mutex
	return func(format string, values ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(w, "%6.1fs  %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, values...))
	}
}
