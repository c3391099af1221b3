// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package client is the way into the depot, for the manager and for build Pods.
package client

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/sshca"
)

const (
	connectTimeout   = 10 * time.Second
	handshakeTimeout = 15 * time.Second
)

// Dial logs in at the depot with a key and its certificate, and holds the depot to its pinned authorities.
func Dial(ctx context.Context, endpoint depot.Endpoint, privateKey, certificate []byte) (*ssh.Client, error) {
	signer, err := certSigner(privateKey, certificate)
	if err != nil {
		return nil, err
	}
	return login(ctx, endpoint, sshca.User, ssh.PublicKeys(signer))
}

// login logs in as a user. The depot has proved itself by then.
func login(ctx context.Context, endpoint depot.Endpoint, user string, auth ssh.AuthMethod) (*ssh.Client, error) {
	check, err := hostCheck(endpoint)
	if err != nil {
		return nil, err
	}
	address := net.JoinHostPort(endpoint.Host, strconv.Itoa(endpoint.Port))
	dialer := net.Dialer{Timeout: connectTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", depot.ErrUnavailable, err)
	}
	if err := conn.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, fmt.Errorf("%w: %w", depot.ErrUnavailable, err)
	}
	config := &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{auth}, HostKeyCallback: check,
		HostKeyAlgorithms: []string{ssh.CertAlgoED25519v01},
	}
	connection, channels, requests, err := ssh.NewClientConn(conn, address, config)
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("%w: log in at %s: %w", depot.ErrUnavailable, address, err)
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("%w: %w", depot.ErrUnavailable, err)
	}
	return ssh.NewClient(connection, channels, requests), nil
}

func certSigner(privateKey, certificate []byte) (ssh.Signer, error) {
	key, err := ssh.ParsePrivateKey(privateKey)
	if err != nil {
		return nil, fmt.Errorf("read the key for the depot: %w", err)
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(certificate)
	if err != nil {
		return nil, fmt.Errorf("read the certificate for the depot: %w", err)
	}
	parsed, ok := public.(*ssh.Certificate)
	if !ok {
		return nil, fmt.Errorf("what should be the certificate for the depot is a %s", public.Type())
	}
	return ssh.NewCertSigner(parsed, key)
}

// hostCheck accepts a host certificate of the pinned authorities, for the name that was dialled.
func hostCheck(endpoint depot.Endpoint) (ssh.HostKeyCallback, error) {
	var authorities []ssh.PublicKey
	for _, line := range endpoint.HostCAs {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return nil, fmt.Errorf("read the depot's authority: %w", err)
		}
		authorities = append(authorities, key)
	}
	checker := &ssh.CertChecker{IsHostAuthority: func(key ssh.PublicKey, _ string) bool {
		for _, authority := range authorities {
			if bytes.Equal(authority.Marshal(), key.Marshal()) {
				return true
			}
		}
		return false
	}}
	return checker.CheckHostKey, nil
}
