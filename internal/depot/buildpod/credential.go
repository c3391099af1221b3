// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package buildpod is what runs in a build Pod beside the script: fetch brings the source from the depot, publish sends
// the result there.
package buildpod

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/depot/client"
)

const (
	// patience is how long a depot that does not answer is tried: it may be starting again.
	patience = 3 * time.Minute
	// pauseBetween two tries.
	pauseBetween = 2 * time.Second
)

// patiently repeats work while the depot does not answer, which is no fault of the build. Any other error is final.
func patiently(ctx context.Context, log io.Writer, work func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := work()
		if err == nil || !errors.Is(err, depot.ErrUnavailable) {
			return err
		}
		_, _ = fmt.Fprintf(log, "%v; trying again\n", err)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pauseBetween):
		}
	}
}

// with runs work over a connection of its own.
func with(ctx context.Context, credential string, work func(*ssh.Client) error) error {
	conn, err := dial(ctx, credential)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return work(conn)
}

// dial logs in at the depot with the credential that is mounted at dir.
func dial(ctx context.Context, dir string) (*ssh.Client, error) {
	files := map[string][]byte{}
	for _, name := range []string{"id", "id-cert.pub", "depot", "known_hosts"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("read the build's credential: %w", err)
		}
		files[name] = data
	}
	host, port, err := net.SplitHostPort(strings.TrimSpace(string(files["depot"])))
	if err != nil {
		return nil, fmt.Errorf("read the depot's address: %w", err)
	}
	endpoint := depot.Endpoint{Host: host}
	if endpoint.Port, err = strconv.Atoi(port); err != nil {
		return nil, fmt.Errorf("read the depot's address: %w", err)
	}
	for line := range strings.Lines(string(files["known_hosts"])) {
		if fields := strings.SplitN(strings.TrimSpace(line), " ", 3); len(fields) == 3 && fields[0] == "@cert-authority" {
			endpoint.HostCAs = append(endpoint.HostCAs, fields[2])
		}
	}
	return client.Dial(ctx, endpoint, files["id"], files["id-cert.pub"])
}

// run runs one command at the depot.
func run(ctx context.Context, conn *ssh.Client, command string, stdin io.Reader, stdout io.Writer) error {
	session, err := conn.NewSession()
	if err != nil {
		return fmt.Errorf("%w: %w", depot.ErrUnavailable, err)
	}
	defer func() { _ = session.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = session.Close() })
	defer stop()
	var said strings.Builder
	session.Stdin, session.Stdout, session.Stderr = stdin, stdout, &said
	if err := session.Run(command); err != nil {
		if text := strings.TrimSpace(said.String()); text != "" {
			return fmt.Errorf("%s", text)
		}
		return fmt.Errorf("%w: %s: %w", depot.ErrUnavailable, strings.Fields(command)[0], err)
	}
	return nil
}
