// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Command slipway builds services in containers and releases them to fleets of hosts. Each subcommand is one process;
// this package is the only place where they are put together.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/slipway-dev/slipway/internal/depot/buildpod"
	"github.com/slipway-dev/slipway/internal/depot/confine"
	"github.com/slipway-dev/slipway/internal/plugin"
)

// version is set by the linker.
var version = "development"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := program(os.Args[0]).ExecuteContext(ctx)
	stop()
	var ended *plugin.Ended
	if errors.As(err, &ended) {
		os.Exit(ended.Code)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "slipway:", err)
		os.Exit(1)
	}
}

// program is what this is called as: kubectl-slipway, kubectl's plugin; kubectl_complete-slipway, which completes its arguments; or else
// slipway.
func program(name string) *cobra.Command {
	switch filepath.Base(name) {
	case plugin.Name:
		return plugin.Command(newScheme())
	case plugin.CompletionName:
		c := plugin.Command(newScheme())
		c.SetArgs(append([]string{cobra.ShellCompRequestCmd}, os.Args[1:]...))
		return c
	}
	return command()
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
