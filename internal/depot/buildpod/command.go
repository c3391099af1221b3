// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package buildpod

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/build"
)

// maxMessage is what Kubernetes keeps of a termination message.
const maxMessage = 4096

// NewCommand is "slipway build": what runs in build Pods.
func NewCommand() *cobra.Command {
	o := Options{Log: os.Stdout}
	message := ""
	root := &cobra.Command{Use: "build", Short: "Run inside build Pods: fetch the source, publish the artifact", Args: cobra.NoArgs}
	flags := root.PersistentFlags()
	flags.StringVar(&o.Dir, "dir", build.SourceDir, "the source's root")
	flags.StringVar(&o.Credential, "credential", build.CredentialDir, "where the build's credential is mounted")
	flags.StringArrayVar(&o.Cache, "cache", nil, "a directory that is kept between builds; may be given several times")
	flags.StringVar(&message, "termination-message", "/dev/termination-log", "where the result is written")

	fetch := &cobra.Command{Use: "fetch", Short: "Bring the commit's files from the depot", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return report(message, v1alpha1.ReasonFetchFailed, nil, Fetch(cmd.Context(), o))
	}}
	publish := &cobra.Command{Use: "publish", Short: "Send the build's output to the depot", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find this program: %w", err)
		}
		o.Self = self
		artifact, err := Publish(cmd.Context(), o)
		return report(message, v1alpha1.ReasonPublishFailed, artifact, err)
	}}
	publish.Flags().StringVar(&o.Output, "output", ".", "the directory below the source's root that becomes the artifact")
	publish.Flags().StringArrayVar(&o.Exclude, "exclude", nil, "a path or pattern that is left out; may be given several times")
	rsh := &cobra.Command{Use: "rsh HOST COMMAND...", Short: "Be rsync's remote shell", Hidden: true, Args: cobra.MinimumNArgs(2)}
	rsh.RunE = func(cmd *cobra.Command, args []string) error {
		return remoteShell(cmd.Context(), o.Credential, args[1:])
	}
	rsh.Flags().SetInterspersed(false)
	root.AddCommand(fetch, publish, rsh)
	return root
}

// remoteShell runs rsync's server command at the depot.
func remoteShell(ctx context.Context, credential string, command []string) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	conn, err := dial(ctx, credential)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return run(ctx, conn, strings.Join(command, " "), os.Stdin, os.Stdout)
}

// report writes the result where Kubernetes keeps it, and returns err for the exit code.
func report(path, reason string, result any, err error) error {
	value := result
	if err != nil {
		p := &Problem{build.Problem{Reason: reason, Message: err.Error()}}
		_ = errors.As(err, &p)
		p.Message = p.Message[:min(len(p.Message), maxMessage/2)]
		value = p.Problem
	}
	if value == nil {
		return err
	}
	data, encodeErr := json.Marshal(value)
	if encodeErr != nil {
		return errors.Join(err, encodeErr)
	}
	if writeErr := os.WriteFile(path, data, 0o644); writeErr != nil {
		return errors.Join(err, fmt.Errorf("write the termination message: %w", writeErr))
	}
	return err
}
