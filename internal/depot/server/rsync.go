// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/crypto/ssh"
)

// rsync's command line is read against a closed list and made anew from what is on it. The letters are those of
// "rsync -rlptc"; behind "e" stand the client's protocol capabilities, which are no options. "s" (arguments over stdin)
// is not among the letters: nothing unseen may follow.
var (
	shortOptions = regexp.MustCompile(`^-[lptrcvI]+(e[0-9.]*[a-zA-Z]*)?$`)
	timeout      = regexp.MustCompile(`^--timeout=[0-9]{1,5}$`)
)

// both may be sent to a sender and to a receiver.
var both = map[string]bool{"--ignore-errors": true, "--log-format=%i": true, "--log-format=X": true, "--numeric-ids": true, "--no-r": true, "--dirs": true, "-d": true}

// receiverOnly are a pushing client's options.
var receiverOnly = map[string]bool{
	"--delete": true, "--delete-excluded": true, "--delete-during": true, "--delete-before": true, "--delete-delay": true, "--delete-after": true, "--force": true,
}

// path is the one place that a client may name: the artifact's tree, or the build's staging tree.
const path = "tree/"

// senderArgs makes the arguments of an rsync that sends an artifact's tree.
func senderArgs(line string) ([]string, error) { return serverArgs(line, true) }

// receiverArgs makes the arguments of an rsync that takes a build's tree.
func receiverArgs(line string) ([]string, error) { return serverArgs(line, false) }

func serverArgs(line string, sender bool) ([]string, error) {
	fields := strings.Split(line, " ")
	if len(fields) < 5 || fields[0] != "rsync" || fields[1] != "--server" {
		return nil, errors.New("only rsync's own server command is run")
	}
	argv, rest := []string{"rsync", "--server"}, fields[2:]
	if (rest[0] == "--sender") != sender {
		return nil, map[bool]error{true: errors.New("this certificate only reads"), false: errors.New("this certificate only publishes")}[sender]
	}
	allowed := receiverOnly
	if sender {
		argv, rest, allowed = append(argv, "--sender"), rest[1:], nil
	}
	options, places := rest[:max(0, len(rest)-2)], rest[max(0, len(rest)-2):]
	if len(places) != 2 || places[0] != "." || places[1] != path {
		return nil, fmt.Errorf("the only path here is %s", path)
	}
	for _, option := range options {
		if !shortOptions.MatchString(option) && !timeout.MatchString(option) && !both[option] && !allowed[option] {
			return nil, fmt.Errorf("the rsync option %q is not allowed here", printable(option))
		}
		argv = append(argv, option)
	}
	return append(argv, ".", "./"), nil
}

// rsync runs the real rsync in dir, with nothing of this process's environment, and ends it with the session.
func (s *Server) rsync(ctx context.Context, ch ssh.Channel, dir string, writable bool, argv []string) error {
	if s.Confine != nil {
		argv = s.Confine(dir, writable, argv)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=/nonexistent"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start rsync: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start rsync: %w", err)
	}
	go func() { // not exec's own copy: Wait would wait for a client that sends nothing any more
		buffer := make([]byte, 64<<10)
		for {
			n, err := ch.Read(buffer)
			if n > 0 {
				if _, werr := stdin.Write(buffer[:n]); werr != nil {
					return
				}
			}
			if err != nil {
				_ = stdin.Close()
				return
			}
		}
	}()
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return &exitError{code: max(exit.ExitCode(), 1)}
	}
	return err
}

// countingChannel counts what goes through it.
type countingChannel struct {
	ssh.Channel
	sent, received prometheus.Counter
}

func (c *countingChannel) Read(p []byte) (int, error) {
	n, err := c.Channel.Read(p)
	c.received.Add(float64(n))
	return n, err
}

func (c *countingChannel) Write(p []byte) (int, error) {
	n, err := c.Channel.Write(p)
	c.sent.Add(float64(n))
	return n, err
}
