// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

const (
	defaultTimeout = 10 * time.Minute
	// afterwards is how much longer than the script's own limit its report is waited for.
	afterwards = 15 * time.Second
	// farewell is how long a session has to end that is no longer wanted.
	farewell = 3 * time.Second
	// maxPullValid bounds the life of a host's certificate for the depot.
	maxPullValid = 30 * time.Minute
)

// Probe looks at a host and changes nothing.
func (p *Pool) Probe(ctx context.Context, host Host, owner Owner, deploy v1alpha1.DeploySpec) (Observation, error) {
	ctx, cancel := context.WithTimeout(ctx, p.options.Probe)
	defer cancel()
	c, err := p.enter(ctx, &host)
	if err != nil {
		return Observation{}, err
	}
	defer c.leave()
	stdin, err := load(probeValues("probe", host.User, owner, &deploy, p.options.Probe))
	if err != nil {
		return Observation{}, &Failure{Step: "Probe", Reason: v1alpha1.ReasonPathRefused, Message: err.Error(), Terminal: true, HostKey: c.hostKey}
	}
	r := &report{now: p.options.Now}
	stderr, sessionErr, readErr := p.run(ctx, c, stdin, r, nil)
	var failure *Failure
	switch {
	case r.fail != nil:
		failure = scriptFailure(r)
	case r.state == nil:
		failure = sessionFailure(ctx, "Probe", sessionErr, readErr, r, stderr)
	default:
		return r.state.observation(c.hostKey), nil
	}
	failure.HostKey = c.hostKey
	return Observation{}, failure
}

// Deliver brings a host to an artifact.
func (p *Pool) Deliver(ctx context.Context, host Host, order Order, progress func(step string)) (Result, error) {
	return p.bring(ctx, host, order, false, progress)
}

// Stage has an artifact complete on a host.
func (p *Pool) Stage(ctx context.Context, host Host, order Order, progress func(step string)) (Result, error) {
	return p.bring(ctx, host, order, true, progress)
}

var _ Stager = (*Pool)(nil)

func (p *Pool) bring(ctx context.Context, host Host, order Order, onlyStage bool, progress func(step string)) (Result, error) {
	limit := order.Deploy.Timeout.Duration
	if limit <= 0 {
		limit = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit+afterwards)
	defer cancel()
	c, err := p.enter(ctx, &host)
	if err != nil {
		return Result{}, err
	}
	defer c.leave()
	r := &report{now: p.options.Now, progress: progress}
	failure := p.deliver(ctx, c, &host, &order, onlyStage, limit, r)
	if failure != nil {
		failure.HostKey = c.hostKey
		return Result{}, failure
	}
	return Result{Observation: r.state.observation(c.hostKey), Steps: r.steps, BytesReceived: r.bytes, PruneError: r.prune}, nil
}

func (p *Pool) deliver(ctx context.Context, c *visit, host *Host, order *Order, onlyStage bool, limit time.Duration, r *report) *Failure {
	values := func(access *pullAccess) [][2]string {
		values := deliverValues(host.User, order, limit, access)
		if onlyStage {
			values = append(values, [2]string{"only", "stage"})
		}
		return values
	}
	return p.exchange(ctx, c, order, limit, r, values, func() bool {
		return r.done != nil && r.state != nil && *r.done == (doneLine{order.Digest, order.Fence}) &&
			(onlyStage || r.state.Digest == order.Digest && r.state.SwitchedFence == order.Fence)
	})
}

// exchange carries the script and its values to the host while the host may pull the order's artifact, and reads the report.
// well says whether the report is what was hoped for.
func (p *Pool) exchange(
	ctx context.Context, c *visit, order *Order, limit time.Duration, r *report, values func(*pullAccess) [][2]string, well func() bool,
) *Failure {
	refused := func(err error) *Failure {
		return &Failure{Step: "Prepare", Reason: v1alpha1.ReasonDeliveryFailed, Message: err.Error(), Terminal: true}
	}
	if hex, ok := strings.CutPrefix(order.Digest, "sha256:"); !ok || len(hex) != 64 || strings.Trim(hex, "0123456789abcdef") != "" {
		return refused(fmt.Errorf("%q is no digest", order.Digest))
	}
	access, err := newPullAccess(order, min(limit, maxPullValid))
	if err != nil {
		f := refused(err)
		f.Terminal = false
		return f
	}
	// The values depend on whether the host takes a forwarded agent, which only shows on the session.
	stdin := func(forwarded bool) ([]byte, error) {
		if !forwarded {
			access.handedKey = access.privateKey
		}
		return load(values(access))
	}
	stderr, sessionErr, readErr, err := p.runLending(ctx, c, access, stdin, r)
	switch {
	case err != nil:
		return refused(err)
	case well():
		return nil
	case r.fail != nil:
		return scriptFailure(r)
	}
	step := connectStep
	if len(r.steps) > 0 {
		step = r.steps[len(r.steps)-1].Name
	}
	return sessionFailure(ctx, step, sessionErr, readErr, r, stderr)
}

// enter takes a slot, the host's connection and a session on it.
func (p *Pool) enter(ctx context.Context, host *Host) (*visit, error) {
	if host.Port == 0 {
		host.Port = 22
	}
	if !take(ctx, p.slots) {
		return nil, noTurn()
	}
	v, kept, err := p.visit(ctx, host)
	if errors.Is(err, errNoSession) && kept && ctx.Err() == nil {
		// A kept connection may have died without anybody noticing: nothing was done over it, so try a fresh one.
		v, _, err = p.visit(ctx, host)
	}
	if err != nil {
		<-p.slots
		return nil, connectFailure(host, err)
	}
	return v, nil
}

// visit is one session on a host.
type visit struct {
	*connection
	session *ssh.Session
	leave   func()
}

var errNoSession = errors.New("the host opens no session")

func (p *Pool) visit(ctx context.Context, host *Host) (v *visit, kept bool, err error) {
	c, kept, err := p.connect(ctx, host)
	if err != nil {
		return nil, kept, err
	}
	if !take(ctx, c.sessions) {
		p.release(c)
		return nil, kept, fmt.Errorf("%w: too many run at once: %w", errNoSession, ctx.Err())
	}
	stop := context.AfterFunc(ctx, func() { _ = c.client.Close() })
	session, err := c.client.NewSession()
	stop()
	if err != nil {
		<-c.sessions
		p.release(c)
		_ = c.client.Close()
		<-c.gone
		return nil, kept, fmt.Errorf("%w: %w", errNoSession, err)
	}
	return &visit{connection: c, session: session, leave: func() {
		_ = session.Close()
		<-c.sessions
		p.release(c)
		<-p.slots
	}}, kept, nil
}

// take takes a place, unless the time is over first.
func take(ctx context.Context, places chan struct{}) bool {
	select {
	case places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// runLending runs the script while the connection's agent lends the credential for the depot, until it was used.
func (p *Pool) runLending(ctx context.Context, c *visit, access *pullAccess, stdin func(bool) ([]byte, error), r *report) (stderr string, sessionErr, readErr, err error) {
	prepare := func(session *ssh.Session) ([]byte, error) {
		if len(access.privateKey) == 0 {
			return stdin(true)
		}
		if agent.RequestAgentForwarding(session) != nil {
			return stdin(false)
		}
		identity, err := access.identity()
		if err != nil {
			return nil, err
		}
		takeBack, err := c.agent.lend(identity)
		if err != nil {
			return nil, err
		}
		r.pulled = takeBack
		return stdin(true)
	}
	defer func() {
		if r.pulled != nil {
			r.pulled()
		}
	}()
	var prepareErr error
	stderr, sessionErr, readErr = p.run(ctx, c, nil, r, func(session *ssh.Session) ([]byte, error) {
		input, err := prepare(session)
		prepareErr = err
		return input, err
	})
	return stderr, sessionErr, readErr, prepareErr
}

// run runs the script and reads its report to the end. The script itself does not end when the session does.
func (p *Pool) run(ctx context.Context, c *visit, stdin []byte, r *report, prepare func(*ssh.Session) ([]byte, error)) (stderr string, sessionErr, readErr error) {
	session, ended := c.session, make(chan struct{})
	defer close(ended)
	stop := context.AfterFunc(ctx, func() {
		_ = session.Close() // others may use the connection
		select {
		case <-ended:
		case <-time.After(farewell):
			_ = c.client.Close() // a session on a connection that hangs can't be closed on its own
		}
	})
	defer stop()
	var err error
	if prepare != nil {
		if stdin, err = prepare(session); err != nil {
			return "", err, nil
		}
	}
	var complaints bounded
	session.Stdin = bytes.NewReader(stdin)
	session.Stderr = &complaints
	out, err := session.StdoutPipe()
	if err != nil {
		return "", err, nil
	}
	if err := session.Start(command); err != nil {
		return "", fmt.Errorf("start the script: %w", err), nil
	}
	if readErr = r.read(out); readErr != nil {
		_ = session.Close()
		return complaints.String(), errors.New("the report was cut off"), readErr
	}
	sessionErr = session.Wait()
	return complaints.String(), sessionErr, nil
}

// bounded keeps the first bytes of what is written to it.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(data []byte) (int, error) {
	if room := 4096 - b.Len(); room > 0 {
		b.Buffer.Write(data[:min(room, len(data))])
	}
	return len(data), nil
}

var _ io.Writer = (*bounded)(nil)
