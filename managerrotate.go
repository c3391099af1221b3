// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/internal/trust"
)

// managerRotateCommand rotates the authority that signs what managers, builds and hosts show to the depot, in two steps.
// Nothing is restarted: managers and depot learn of each step by themselves.
func managerRotateCommand() *cobra.Command {
	var atOnce bool
	c := &cobra.Command{
		Use:       "rotate-user-ca prepare|finish",
		Short:     "Rotate the authority of managers, builds and hosts; wait a minute between the steps",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"prepare", "finish"},
		RunE: func(c *cobra.Command, args []string) error {
			config, err := ctrl.GetConfig()
			if err != nil {
				return fmt.Errorf("find the API server: %w", err)
			}
			api, err := client.New(config, client.Options{Scheme: newScheme()})
			if err != nil {
				return fmt.Errorf("make a client: %w", err)
			}
			next := "the depot learns of the next key within seconds; after a minute run: slipway manager rotate-user-ca finish"
			if args[0] == "prepare" {
				err = trust.Prepare(c.Context(), api, clock.RealClock{})
			} else {
				next = "the managers sign with the new key within seconds; what the old one signed stays good for a day"
				if atOnce {
					next = "the managers sign with the new key within seconds; builds that are under way have to be repeated"
				}
				err = trust.Finish(c.Context(), api, clock.RealClock{}, atOnce)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), next)
			return err
		},
	}
	c.Flags().BoolVar(&atOnce, "at-once", false, "with finish: trust nothing any more that the old key signed, because it was stolen")
	return c
}
