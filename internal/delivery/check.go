// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/health"
)

// Checker asks hosts whether the release that is live on them is well.
type Checker interface {
	// Check looks once. An error is a Failure and says that the host could not be asked, which tells nothing of the
	// release. authorities are certificates in PEM that an HTTPS server is verified by; nil stands for the system's.
	Check(ctx context.Context, host Host, deploy v1alpha1.DeploySpec, authorities []byte) (health.Answer, error)
}

var _ Checker = (*Pool)(nil)

// errLost says that the SSH connection went away before anything was asked over it.
var errLost = errors.New("the SSH connection was lost")

// Check looks once at a host's health, over its kept connection.
func (p *Pool) Check(ctx context.Context, host Host, deploy v1alpha1.DeploySpec, authorities []byte) (health.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, p.options.Probe)
	defer cancel()
	check := deploy.HealthCheck
	if len(check.Command) > 0 {
		return p.checkCommand(ctx, &host, &deploy)
	}
	if host.Port == 0 {
		host.Port = 22
	}
	if !take(ctx, p.slots) {
		return health.Answer{}, noTurn()
	}
	defer func() { <-p.slots }()
	answer, kept, err := p.checkPort(ctx, &host, check, authorities)
	if errors.Is(err, errLost) && kept {
		// A kept connection may have died without anybody noticing.
		answer, _, err = p.checkPort(ctx, &host, check, authorities)
	}
	if err != nil {
		return health.Answer{}, connectFailure(&host, err)
	}
	return answer, nil
}

// checkPort asks through the host's connection. The error says why there is none.
func (p *Pool) checkPort(ctx context.Context, host *Host, check *v1alpha1.HealthCheck, authorities []byte) (answer health.Answer, kept bool, err error) {
	c, kept, err := p.connect(ctx, host)
	if err != nil {
		return health.Answer{}, kept, err
	}
	defer p.release(c)
	ctx, cancel := context.WithTimeout(ctx, health.Timeout(check))
	defer cancel()
	type outcome struct {
		answer health.Answer
		err    error
	}
	asked := make(chan outcome, 1)
	go func() {
		var o outcome
		o.answer, o.err = ask(ctx, c, host, check, authorities)
		asked <- o
	}()
	select {
	case o := <-asked:
		return o.answer, kept, o.err
	case <-ctx.Done():
	}
	select {
	case o := <-asked:
		return o.answer, kept, o.err
	case <-time.After(farewell):
		_ = c.client.Close() // its sshd does not even close a channel: nothing else frees what waits for it
	}
	return judge(check, noAnswer(check)), kept, nil
}

// ask opens a channel to the port, which sshd connects to on the host itself, and asks over it until ctx ends.
func ask(ctx context.Context, c *connection, host *Host, check *v1alpha1.HealthCheck, authorities []byte) (health.Answer, error) {
	port := portOf(check)
	conn, err := c.client.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	var refused *ssh.OpenChannelError
	switch {
	case err == nil:
	case errors.As(err, &refused) && (refused.Reason == ssh.Prohibited || refused.Reason == ssh.UnknownChannelType):
		return health.Answer{Refused: true, Said: fmt.Sprintf(
			"sshd on %s does not let %s reach 127.0.0.1:%d (%s): allow it in its sshd_config (AllowTcpForwarding local, "+
				"PermitOpen 127.0.0.1:%d, no DisableForwarding; no \"restrict\" before the key), or ask by healthCheck.command",
			host.Name, host.User, port, health.Excerpt(refused.Message), port)}, nil
	case errors.As(err, &refused):
		return judge(check, refused.Message), nil
	case ctx.Err() != nil:
		return judge(check, noAnswer(check)), nil
	default:
		return health.Answer{}, fmt.Errorf("%w: %w: %w", errDial, errLost, err)
	}
	defer func() { _ = conn.Close() }()
	if check.TCP != nil {
		return health.Connection(check.TCP, ""), nil
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // a channel knows no deadline
	defer stop()
	return request(ctx, conn, host, check, authorities), nil
}

func portOf(check *v1alpha1.HealthCheck) int32 {
	if check.TCP != nil {
		return check.TCP.Port
	}
	return check.HTTP.Port
}

// judge is the answer of a port that could not be connected to, or said nothing.
func judge(check *v1alpha1.HealthCheck, why string) health.Answer {
	if check.TCP != nil {
		return health.Connection(check.TCP, why)
	}
	return health.NoResponse(check.HTTP, why)
}

func noAnswer(check *v1alpha1.HealthCheck) string {
	return fmt.Sprintf("no answer within %s", health.Timeout(check))
}

// noTurn says that a host could not be talked to because too many others are.
func noTurn() *Failure {
	return &Failure{Step: connectStep, Reason: v1alpha1.ReasonTimedOut,
		Message: "too many hosts are talked to at once: waited for a turn until the time was over"}
}
