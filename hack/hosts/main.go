// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Command hosts makes hosts in namespaces on this machine: real sshd, addresses of their own, private directories.
//
//	go run ./hack/hosts up --dir DIR --count 3 [--http]   makes them and stays until it is told to end (SIGTERM)
//	go run ./hack/hosts exec --dir DIR web-1 -- COMMAND   runs a command on one, as root, past sshd
//	go run ./hack/hosts down --dir DIR                    ends them; their files stay in DIR
//
// When the hosts are up, DIR/hosts.json lists them, DIR/known_hosts has their keys and DIR/id opens the user deploy.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/slipway-dev/slipway/test/hosts"
)

// state is what hosts.json holds: the fleet, and the process that holds it.
type state struct {
	*hosts.Fleet
	PID int `json:"pid"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, "hosts:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("say up, down, exec or serve")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	dir := flags.String("dir", "", "directory of the fleet")
	count := flags.Int("count", 3, "how many hosts")
	withHTTP := flags.Bool("http", false, "serve --docroot on port 80 of each host")
	docroot := flags.String("docroot", "/var/www/blog/current", "directory on the hosts that --http serves")
	listen := flags.String("listen", ":80", "address that serve listens on")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if *dir == "" && args[0] != "serve" {
		return errors.New("--dir is missing")
	}
	switch args[0] {
	case "up":
		options := hosts.Options{Dir: *dir, Count: *count}
		if *withHTTP {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			options.Docroot, options.Server = *docroot, self
		}
		return up(ctx, options)
	case "down":
		return down(ctx, *dir)
	case "exec":
		return execute(ctx, *dir, flags.Args())
	case "serve":
		return serve(ctx, *listen, *docroot)
	}
	return fmt.Errorf("there is no command %q: say up, down, exec or serve", args[0])
}

func up(ctx context.Context, options hosts.Options) error {
	fleet, err := hosts.Start(ctx, options)
	if err != nil {
		return err
	}
	file := filepath.Join(options.Dir, "hosts.json")
	err = func() error {
		text, err := json.MarshalIndent(state{Fleet: fleet, PID: os.Getpid()}, "", "  ")
		if err != nil {
			return err
		}
		// It appears whole: whoever waits for it finds hosts that are up.
		if err := os.WriteFile(file+".new", append(text, '\n'), 0o644); err != nil {
			return err
		}
		if err := os.Rename(file+".new", file); err != nil {
			return err
		}
		for _, host := range fleet.Hosts {
			fmt.Printf("%s\t%s\n", host.Name, host.Address)
		}
		<-ctx.Done()
		return nil
	}()
	return errors.Join(err, os.Remove(file), fleet.Stop())
}

func read(dir string) (*state, error) {
	text, err := os.ReadFile(filepath.Join(dir, "hosts.json"))
	if err != nil {
		return nil, fmt.Errorf("no hosts are up in %s: %w", dir, err)
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("read %s/hosts.json: %w", dir, err)
	}
	return &s, nil
}

func down(ctx context.Context, dir string) error {
	s, err := read(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	// The number may have been given to another process since.
	command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.PID))
	if !bytes.Contains(command, []byte("up\x00")) || !bytes.Contains(command, []byte("--dir")) {
		return os.Remove(filepath.Join(dir, "hosts.json"))
	}
	if err := syscall.Kill(s.PID, syscall.SIGTERM); err != nil {
		return err
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for syscall.Kill(s.PID, 0) == nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}

func execute(ctx context.Context, dir string, args []string) error {
	if len(args) > 1 && args[1] == "--" {
		args = append(args[:1:1], args[2:]...)
	}
	if len(args) < 2 {
		return errors.New("say exec --dir DIR HOST -- COMMAND")
	}
	s, err := read(dir)
	if err != nil {
		return err
	}
	host := s.Host(args[0])
	if host == nil {
		return fmt.Errorf("there is no host %s in %s", args[0], dir)
	}
	command := host.Command(ctx, args[1:]...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	return command.Run()
}

// serve answers with the files of a directory, which is looked up anew for each request: it may be a link that moves.
func serve(ctx context.Context, listen, docroot string) error {
	server := &http.Server{Addr: listen, ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".php") {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8") // shown, not run
		}
		http.FileServer(http.Dir(docroot)).ServeHTTP(w, r)
	})}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
