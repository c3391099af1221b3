// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"github.com/slipway-dev/slipway/internal/depot/server"
)

// depotRotateCommand rotates the authority of the depot's host key, in two steps with a restart of the depot after each.
func depotRotateCommand() *cobra.Command {
	var data string
	c := &cobra.Command{
		Use:       "rotate-host-ca prepare|finish",
		Short:     "Rotate the authority of the depot's host key; restart the depot after each step",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"prepare", "finish"},
		RunE: func(c *cobra.Command, args []string) error {
			step, next := server.PrepareHostCA, "restart the depot, then run: slipway depot rotate-host-ca finish"
			if args[0] == "finish" {
				step, next = server.FinishHostCA, "restart the depot: the new authority signs its host key"
			}
			if err := step(filepath.Join(data, "hostkey"), clock.RealClock{}); err != nil {
				return err
			}
			_, err := fmt.Fprintln(c.OutOrStdout(), next)
			return err
		},
	}
	c.Flags().StringVar(&data, "data", "/var/lib/slipway", "the depot's directory (standalone: DIR/depot)")
	return c
}
