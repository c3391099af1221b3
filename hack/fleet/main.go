// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Command fleet is an AWS region on this machine: its APIs, and an Auto Scaling group whose instances boot as EC2's do.
//
//	fleet up --dir DIR --group NAME --tag KEY=VALUE   makes it and stays until it is told to end (SIGTERM)
//	fleet scale --dir DIR N                           sets the group's desired capacity, and returns
//	fleet wait --dir DIR N                            returns once exactly N instances are in service
//	fleet down --dir DIR                              removes what a region that was killed has left
//	fleet bake --dir DIR IMAGE                        makes an image of an instance, for those that are launched from now on
//	fleet judge --dir DIR PAGE=TIME…                  tells the life of each instance; fails if one served what it should not:
//	                                                  the page of each release, in their order, and when it completed
//
// When it is up, DIR/environment has what the AWS SDK needs, DIR/gateway this machine's address on the instances' network (its
// device is DIR/bridge), DIR/queue the queue of events for --ec2-queue-url,
// DIR/certificates what verifies identity documents, and DIR/id opens the user deploy. DIR/user-data is what instances are
// launched with; DIR/events has what happened, a JSON object a line.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/slipway-dev/slipway/test/instances"
	"github.com/slipway-dev/slipway/test/region"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("say up, down, scale, wait, bake or judge")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	dir := flags.String("dir", "", "directory of the region")
	group := flags.String("group", "web", "name of the Auto Scaling group")
	tag := flags.String("tag", "", "tag of the group's instances, as KEY=VALUE")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if *dir == "" {
		return errors.New("--dir is missing")
	}
	switch args[0] {
	case "up":
		key, value, _ := strings.Cut(*tag, "=")
		return up(ctx, *dir, region.Options{Dir: *dir, Group: *group, Tags: map[string]string{key: value}})
	case "scale", "wait":
		n, err := strconv.Atoi(flags.Arg(0))
		if err != nil {
			return fmt.Errorf("say how many instances: %w", err)
		}
		return tell(ctx, *dir, fmt.Sprintf("%s/%d", args[0], n), "")
	case "bake":
		image, err := filepath.Abs(flags.Arg(0))
		if err != nil {
			return err
		}
		return tell(ctx, *dir, "bake", image)
	case "judge":
		return judge(*dir, flags.Args())
	case "down":
		bridge, err := os.ReadFile(filepath.Join(*dir, "bridge"))
		if err != nil {
			return err
		}
		return instances.Remove(string(bridge))
	}
	return fmt.Errorf("there is no command %q: say up, down, scale, wait, bake or judge", args[0])
}

func up(ctx context.Context, dir string, options region.Options) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	id := filepath.Join(dir, "id")
	if _, err := os.Stat(id); err != nil {
		if out, err := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "fleet", "-f", id).CombinedOutput(); err != nil {
			return fmt.Errorf("make a key: %w: %s", err, out)
		}
	}
	public, err := os.ReadFile(id + ".pub")
	if err != nil {
		return err
	}
	events, err := os.Create(filepath.Join(dir, "events"))
	if err != nil {
		return err
	}
	defer events.Close()
	options.AuthorizedKey = string(public)
	options.UserData = func() ([]byte, error) { return os.ReadFile(filepath.Join(dir, "user-data")) }
	options.Tell = func(e region.Event) {
		_ = json.NewEncoder(events).Encode(e)
		fmt.Println(strings.Join(strings.Fields(fmt.Sprintf("%s %s %s %s %s", e.Time.Format("15:04:05.000"), e.Instance, e.Address, e.What, e.Page)), " "))
	}
	r, err := region.Start(ctx, options)
	if err != nil {
		return err
	}
	// From then on the bridge's name may be another's.
	defer func() { err = errors.Join(err, r.Close(), os.Remove(filepath.Join(dir, "bridge"))) }()
	socket, err := net.Listen("unix", filepath.Join(dir, "control"))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: control(r), ReadHeaderTimeout: time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(socket) }()
	defer server.Close()
	// Whoever waits for the region waits for the environment: the last one.
	for _, file := range [][2]string{
		{"bridge", r.Subnet.Bridge}, {"gateway", r.Subnet.Gateway}, {"queue", region.Name + "=" + r.Queue}, {"environment", strings.Join(r.Cloud.Environment(), "\n") + "\n"},
	} {
		path := filepath.Join(dir, file[0])
		if err := errors.Join(os.WriteFile(path+".new", []byte(file[1]), 0o600), os.Rename(path+".new", path)); err != nil {
			return err
		}
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		return err
	}
}

// control is how the other commands speak to the region.
func control(r *region.Region) http.Handler {
	mux := http.NewServeMux()
	number := func(req *http.Request) int { n, _ := strconv.Atoi(req.PathValue("n")); return n }
	mux.HandleFunc("POST /scale/{n}", func(w http.ResponseWriter, req *http.Request) {
		if err := r.Scale(number(req)); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("POST /bake", func(w http.ResponseWriter, req *http.Request) {
		image, err := io.ReadAll(req.Body)
		if err == nil {
			err = r.Bake(string(image))
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("POST /wait/{n}", func(w http.ResponseWriter, req *http.Request) {
		for r.InService() != number(req) {
			if _, err := r.Events(); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			select {
			case <-req.Context().Done():
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	return mux
}

func tell(ctx context.Context, dir, command, body string) error {
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, "control"))
	}}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://region/"+command, strings.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body)
		return errors.New(strings.TrimSpace(string(text)))
	}
	return nil
}

func judge(dir string, args []string) error {
	if len(args) == 0 {
		return errors.New("say the page of each release and when it completed: PAGE=TIME")
	}
	var releases []region.Release
	for _, arg := range args {
		page, text, _ := strings.Cut(arg, "=")
		completed, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return err
		}
		// The cluster's clock tells seconds.
		releases = append(releases, region.Release{Page: page, Completed: completed.Add(time.Second)})
	}
	file, err := os.Open(filepath.Join(dir, "events"))
	if err != nil {
		return err
	}
	defer file.Close()
	var events []region.Event
	for decoder := json.NewDecoder(file); decoder.More(); {
		var e region.Event
		if err := decoder.Decode(&e); err != nil {
			return err
		}
		events = append(events, e)
	}
	return table(region.Judge(events, releases...))
}
