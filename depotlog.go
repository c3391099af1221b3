// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot/store"
)

// depotLogCommand prints a kept build log where the depot's directory is at hand: the Pod may be long gone.
func depotLogCommand() *cobra.Command {
	var data string
	var follow bool
	c := &cobra.Command{
		Use:   "log STORAGE-ID JOB",
		Short: "Print the kept log of a build: .status.storageID of the Service, .status.build.job of the Release",
		Args:  cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			kept := store.View(filepath.Join(data, "store"), clock.RealClock{})
			if follow {
				return kept.FollowLog(c.Context(), v1alpha1.UID(args[0]), args[1], c.OutOrStdout())
			}
			return kept.ReadLog(v1alpha1.UID(args[0]), args[1], c.OutOrStdout())
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on printing while the build goes on")
	c.Flags().StringVar(&data, "data", "/var/lib/slipway", "the depot's directory (standalone: DIR/depot)")
	return c
}
