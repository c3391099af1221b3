// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/slipway-dev/slipway/internal/boot"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/depot/store"
	"github.com/slipway-dev/slipway/internal/sshca"
)

// command is one thing that a principal may do. It reads stdin, writes stdout, and its error goes to stderr.
type command func(ctx context.Context, ch ssh.Channel) error

// session leads one session: the first exec request decides, everything else is refused. A host's or a build's that says
// nothing, or moves nothing, ends with its connection: a client that takes no data would hold a session open for ever.
func (s *Server) session(ctx context.Context, who identity, ch ssh.Channel, requests <-chan *ssh.Request, hangUp func()) {
	defer func() { _ = ch.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	late := time.AfterFunc(s.Handshake, hangUp)
	defer late.Stop()
	for request := range requests {
		switch request.Type {
		case "exec":
			var payload struct{ Command string }
			if err := ssh.Unmarshal(request.Payload, &payload); err != nil {
				_ = request.Reply(false, nil)
				return
			}
			late.Stop()
			_ = request.Reply(true, nil)
			go func() { // later requests are refused; the end of them is the end of the client
				for late := range requests {
					_ = late.Reply(false, nil)
				}
				cancel()
			}()
			if who.principal != sshca.Manager && payload.Command != "finish" { // the one reads logs of silent builds, the other computes
				moving := &movingChannel{ch, newPulse()}
				go moving.watch(ctx, s.Idle, hangUp)
				ch = moving
			}
			s.exec(ctx, who, ch, payload.Command)
			return
		case "shell", "subsystem":
			_ = request.Reply(true, nil)
			s.refuse(ch, "there is no shell here: the depot serves artifacts to hosts and takes them from builds")
			return
		default: // pty-req, env, agent and X11 forwarding, signals
			if request.WantReply {
				_ = request.Reply(false, nil)
			}
		}
	}
}

// exec runs the one command that a client asked for, if its certificate allows it.
func (s *Server) exec(ctx context.Context, who identity, ch ssh.Channel, line string) {
	run, err := s.choose(who, line)
	if err != nil {
		s.refuse(ch, err.Error())
		return
	}
	s.Metrics.Sessions.WithLabelValues(who.principal).Inc()
	err = run(ctx, &countingChannel{
		Channel: ch, sent: s.Metrics.Bytes.WithLabelValues(who.principal, "sent"), received: s.Metrics.Bytes.WithLabelValues(who.principal, "received"),
	})
	if err != nil {
		s.Logger.Info("session failed", "principal", who.principal, "command", printable(line), "error", err.Error())
		_, _ = fmt.Fprintf(ch.Stderr(), "%s%s\n", depot.Says, sentence(err))
	}
	exit(ch, exitCode(err))
}

// sentence is what a client reads: a broken rule begins with its reason.
func sentence(err error) string {
	var refusal *store.Refusal
	if errors.As(err, &refusal) {
		return refusal.Reason + ": " + err.Error()
	}
	return err.Error()
}

// refuse says no in a sentence.
func (s *Server) refuse(ch ssh.Channel, message string) {
	s.Metrics.Refusals.WithLabelValues("command").Inc()
	s.Logger.Info("command refused", "why", message)
	_, _ = fmt.Fprintf(ch.Stderr(), "%srefused: %s\n", depot.Says, message)
	exit(ch, 1)
}

func exit(ch ssh.Channel, code int) {
	_ = ch.CloseWrite()
	_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{uint32(code)}))
}

// choose finds what a command line asks for within what the certificate allows.
func (s *Server) choose(who identity, line string) (command, error) {
	name, rest, _ := strings.Cut(line, " ")
	switch who.principal + " " + name {
	case sshca.Manager + " rpc":
		return s.rpc, nil
	case depot.ReaderUser + " rpc":
		return s.read, nil
	case boot.User + " boot":
		return func(ctx context.Context, ch ssh.Channel) error { return s.Hosts.Answer(ctx, who.key, ch, ch) }, nil
	case boot.User + " report":
		return func(ctx context.Context, ch ssh.Channel) error { return s.Hosts.Report(ctx, who.key, rest, ch) }, nil
	case sshca.Pull + " manifest":
		if rest != who.pull.Digest {
			return nil, errors.New("this certificate is for another artifact")
		}
		return func(_ context.Context, ch ssh.Channel) error {
			return s.Store.Manifest(who.pull.Service, who.pull.Digest, ch)
		}, nil
	case sshca.Pull + " rsync":
		argv, err := senderArgs(line)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, ch ssh.Channel) error {
			tree, err := s.Store.Tree(who.pull.Service, who.pull.Digest)
			if err != nil {
				return err
			}
			return s.rsync(ctx, ch, tree, false, argv)
		}, nil
	case sshca.Build + " rsync":
		argv, err := receiverArgs(line)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, ch ssh.Channel) error { return s.receive(ctx, ch, who.build, argv) }, nil
	case sshca.Build + " source":
		g := who.build
		return func(ctx context.Context, ch ssh.Channel) error {
			return s.Sources.Archive(ctx, g.Service, g.Mirror, g.Commit, g.Path, ch)
		}, nil
	case sshca.Build + " finish":
		return func(_ context.Context, ch ssh.Channel) error { return s.finish(ch, who.build) }, nil
	case sshca.Build + " cache-get", sshca.Build + " cache-put":
		return s.cache(who.build, name, rest)
	}
	return nil, fmt.Errorf("a certificate for %q does not allow the command %q", who.principal, printable(line))
}

// receive takes a build's tree. It comes before finish: what is published does not change.
func (s *Server) receive(ctx context.Context, ch ssh.Channel, g depot.BuildGrant, argv []string) error {
	ctx, leave, err := s.stagings.enter(ctx, g)
	if err != nil {
		return err
	}
	defer leave()
	if _, err := s.Store.Build(g.Service, g.BuildKey); err == nil {
		return fmt.Errorf("%w: this build is published already", depot.ErrRefused)
	}
	tree, err := s.Store.Staging(g)
	if err != nil {
		return err
	}
	heard := listen(ch)
	err = s.rsync(ctx, heard, tree, true, argv)
	if err != nil && heard.full.Load() {
		return s.Store.DropStaging(g)
	}
	return err
}

// Finished is what the command finish prints: an artifact, or why there is none.
type Finished struct {
	Artifact *depot.Artifact `json:"artifact,omitempty"`
	Reason   string          `json:"reason,omitempty"`
	Message  string          `json:"message,omitempty"`
}

// finish publishes a build. A broken rule is an answer, not a failure of the session.
func (s *Server) finish(ch ssh.Channel, g depot.BuildGrant) error {
	unseal, err := s.stagings.seal(g)
	if err != nil {
		return err
	}
	defer unseal()
	a, err := s.Store.Finish(g)
	var refusal *store.Refusal
	switch {
	case errors.As(err, &refusal):
		s.Metrics.Refusals.WithLabelValues("artifact").Inc()
		return json.NewEncoder(ch).Encode(Finished{Reason: refusal.Reason, Message: refusal.Message})
	case err != nil:
		return err
	}
	s.Metrics.Published.Inc()
	s.Logger.Info("published", "service", g.Service, "digest", a.Digest, "files", a.Files, "bytes", a.Bytes)
	return json.NewEncoder(ch).Encode(Finished{Artifact: &a})
}

// cache hands a cached directory out or takes it in. Its name is one that the grant lists.
func (s *Server) cache(g depot.BuildGrant, verb, index string) (command, error) {
	for i, name := range g.Cache {
		if fmt.Sprint(i) != index {
			continue
		}
		return func(_ context.Context, ch ssh.Channel) error {
			if verb == "cache-put" {
				return s.Store.WriteCache(g.Service, name, ch)
			}
			err := s.Store.ReadCache(g.Service, name, ch)
			if errors.Is(err, depot.ErrNotFound) {
				return nil // an empty stream: nothing was cached yet
			}
			return err
		}, nil
	}
	return nil, errors.New("the build names no such cache")
}

// exitError is the exit code of a program that ran in a session.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("rsync exited with code %d", e.code) }

func exitCode(err error) int {
	var failed *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &failed):
		return failed.code
	}
	return 1
}

// printable shortens a client's text for messages and logs, and takes control characters out of it.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	return text[:min(200, len(text))]
}
