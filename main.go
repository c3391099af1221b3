// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Command slipway builds services in containers and releases them to fleets of hosts. Each subcommand is one process;
// this package is the only place where they are put together.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/slipway-dev/slipway/internal/depot/buildpod"
	"github.com/slipway-dev/slipway/internal/depot/confine"
)

// version is set by the linker.
var version = "development"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "slipway:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "slipway",
		Short:         "Builds services in containers and releases them to fleets of hosts",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(managerCommand(), depotCommand(), consoleCommand(), standaloneCommand(), inventoryCommand(), planCommand(), versionCommand(),
		buildpod.NewCommand(), confine.NewCommand())
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Prints the version",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), "slipway", version)
			return err
		},
	}
}

// startLogging sends all logs, those of the libraries included, to stderr in one structured format.
func startLogging() *slog.Logger {
	handler := slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo})
	log := slog.New(handler)
	slog.SetDefault(log)
	ctrl.SetLogger(logr.FromSlogHandler(handler))
	klog.SetLogger(logr.FromSlogHandler(handler))
	return log
}
