// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// connection is one kept SSH connection.
type connection struct {
	client  *ssh.Client
	hostKey string
	agent   *lentAgent
	// sessions bounds how many run at once: sshd's MaxSessions is 10 by default.
	sessions chan struct{}
	// closed when the connection is gone.
	gone chan struct{}

	users    int // guarded by the Pool
	lastUsed time.Time
}

const maxSessions = 8

// errLogin says that the host refused user and key.
var errLogin = errors.New("login refused")

// errDial says that no connection came about.
var errDial = errors.New("no connection")

// errOutdated says that the host's sshd and this package have no algorithm in common.
var errOutdated = errors.New("its sshd is outdated")

// dial connects, proves who the host is, and logs in; each within its own limit.
func (p *Pool) dial(ctx context.Context, host *Host) (*connection, error) {
	signer, err := ssh.ParsePrivateKey(host.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("%w: the private key is unreadable: %w", errLogin, err)
	}
	verify, err := newVerifier(host)
	if err != nil {
		return nil, err
	}
	address := net.JoinHostPort(host.Address, strconv.Itoa(host.Port))
	dialer := net.Dialer{Timeout: p.options.Connect}
	raw, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDial, err)
	}
	// The handshake knows no context: closing is what ends it.
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	_ = raw.SetDeadline(time.Now().Add(p.options.Handshake))
	c := &connection{agent: newLentAgent(), sessions: make(chan struct{}, maxSessions), gone: make(chan struct{})}
	var refusal error
	conn, channels, requests, err := ssh.NewClientConn(raw, address, &ssh.ClientConfig{
		Config:            modern(),
		User:              host.User,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyAlgorithms: verify.algorithms,
		HostKeyCallback: func(_ string, remote net.Addr, key ssh.PublicKey) error {
			if refusal = verify.check(address, remote, key); refusal == nil {
				c.hostKey = plainKey(key)
			}
			return refusal
		},
		ClientVersion: "SSH-2.0-slipway",
	})
	if err != nil {
		_ = raw.Close()
		return nil, handshakeError(err, refusal, c.hostKey != "", verify)
	}
	_ = raw.SetDeadline(time.Time{})
	c.client = ssh.NewClient(conn, channels, requests)
	if err := agent.ForwardToAgent(c.client, c.agent); err != nil {
		_ = c.client.Close()
		return nil, fmt.Errorf("%w: %w", errDial, err)
	}
	go func() {
		_ = c.client.Wait()
		close(c.gone)
	}()
	go p.keepAlive(c)
	return c, nil
}

// handshakeError says which part of the handshake failed.
func handshakeError(err, refusal error, proved bool, verify *verifier) error {
	var negotiation *ssh.AlgorithmNegotiationError
	var timeout net.Error
	switch {
	case refusal != nil:
		return refusal
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%w: the host accepts connections, but its sshd does not answer", errDial)
	case proved:
		return fmt.Errorf("%w: %w", errLogin, err)
	case errors.As(err, &negotiation) && negotiation.What != "host key":
		return fmt.Errorf("%w: it offers no %s that is safe, only %s", errOutdated, negotiation.What, strings.Join(negotiation.RequestedAlgorithms, " "))
	case errors.As(err, &negotiation) && !verify.any:
		return fmt.Errorf("%w: it has no key of type %v, which is what is known of it: %w", errOtherKey, verify.algorithms, err)
	}
	if negotiation != nil {
		return fmt.Errorf("%w: it has no host key that is safe, only %s", errOutdated, strings.Join(negotiation.RequestedAlgorithms, " "))
	}
	return fmt.Errorf("%w: %w", errDial, err)
}

// keepAlive asks whether the host is there, and closes a connection over which it does not answer in time.
func (p *Pool) keepAlive(c *connection) {
	ticker := time.NewTicker(p.options.KeepAlive)
	defer ticker.Stop()
	for {
		select {
		case <-c.gone:
			return
		case <-ticker.C:
		}
		if p.closeIdle(c) {
			return
		}
		answered := make(chan error, 1)
		go func() {
			_, _, err := c.client.SendRequest("keepalive@openssh.com", true, nil)
			answered <- err
		}()
		limit := time.NewTimer(p.options.KeepAlive)
		select {
		case err := <-answered:
			limit.Stop()
			if err == nil {
				continue
			}
		case <-limit.C:
			p.options.Logger.Info("host does not answer, closing its connection", "address", c.client.RemoteAddr().String())
		}
		_ = c.client.Close()
		return
	}
}
