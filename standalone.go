// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/slipway-dev/slipway/internal/standalone"
)

func standaloneCommand() *cobra.Command {
	var o standalone.Options
	var m managerOptions
	var page consoleOptions
	c := &cobra.Command{
		Use:   "standalone",
		Short: "Runs everything on this machine, beside a control plane of its own",
		Long: "Runs etcd, kube-apiserver and kube-controller-manager, the manager, the depot, the console and, on Docker, the\n" +
			"build Pods. All state is in one directory and survives a restart.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := logToFile(o.Dir)
			if err != nil {
				return err
			}
			o.Output = os.Stderr
			o.Processes = func(ctx context.Context, house standalone.House) ([]standalone.Process, error) {
				return standaloneProcesses(ctx, house, m, page, log)
			}
			return standalone.Run(c.Context(), o)
		},
	}
	m.addFlags(c)
	// One manager on one machine: the lock on the state directory is the election; nobody asks for metrics.
	m.metricsAddress, m.healthAddress = "0", "0"
	f := c.Flags()
	f.StringVar(&o.Dir, "dir", standalone.DefaultDir(), "directory that keeps all state")
	f.StringVar(&o.ControlPlaneDir, "controlplane-dir", "",
		"directory of etcd, kube-apiserver and kube-controller-manager (default: $KUBEBUILDER_ASSETS, then the cache of hack/controlplane/build.sh)")
	f.StringVar(&o.AdvertiseAddress, "advertise-address", "", "address of this machine where hosts and build containers reach the depot (default: the one it uses towards others)")
	f.IntVar(&o.DepotPort, "depot-port", 0, "port of the depot (default: a free one, the same at each start)")
	f.StringVar(&m.gitCABundle, "host-ca-bundle", "", "file of further certificate authorities: git servers are checked by it, and build containers get it in place of their own")
	f.StringVar(&m.identityCertificates, "identity-certificates", "", identityCertificatesUsage)
	page.addFlags(c, "127.0.0.1:0")
	return c
}

// depotDir is where standalone's depot keeps its data.
func depotDir(house standalone.House) string { return filepath.Join(house.Dir, "depot") }
