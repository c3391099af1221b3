// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/slipway-dev/slipway/internal/depot"
)

// pullAccess is how a host gets at the depot during one delivery.
type pullAccess struct {
	host       string
	port       int
	knownHosts string
	// certificate is public; the key stays in the agent, unless the host forbids forwarding one.
	certificate []byte
	privateKey  []byte
	handedKey   []byte
}

// newPullAccess mints the credential of one delivery. An order without an Endpoint gets an empty one.
func newPullAccess(order *Order, valid time.Duration) (*pullAccess, error) {
	access := &pullAccess{}
	if order.Depot.Host == "" || order.PullKey == nil {
		return access, nil
	}
	known, err := KnownHosts(order.Depot)
	if err != nil {
		return nil, err
	}
	access.host, access.port, access.knownHosts = order.Depot.Host, order.Depot.Port, known
	key, certificate, err := order.PullKey(order.Owner.Service, order.Digest, valid)
	if err != nil {
		return nil, fmt.Errorf("sign the host's certificate for the depot: %w", err)
	}
	access.privateKey, access.certificate = key, certificate
	return access, nil
}

// KnownHosts are the lines of known_hosts by which hosts know the depot.
func KnownHosts(endpoint depot.Endpoint) (string, error) {
	if endpoint.Host == "" || strings.HasPrefix(endpoint.Host, "-") || strings.ContainsAny(endpoint.Host, " \t\r\n\"'%*?!,[]") {
		return "", fmt.Errorf("the depot's advertised host %q is no host name", endpoint.Host)
	}
	pattern := "[" + endpoint.Host + "]:" + strconv.Itoa(endpoint.Port)
	if endpoint.Port == 22 {
		pattern = endpoint.Host
	}
	var lines strings.Builder
	for _, ca := range endpoint.HostCAs {
		lines.WriteString("@cert-authority " + pattern + " " + strings.TrimSpace(ca) + "\n")
	}
	return lines.String(), nil
}

// identity parses the credential for an agent.
func (p *pullAccess) identity() (agent.AddedKey, error) {
	key, err := ssh.ParseRawPrivateKey(p.privateKey)
	if err != nil {
		return agent.AddedKey{}, fmt.Errorf("read the key for the depot: %w", err)
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(p.certificate)
	if err != nil {
		return agent.AddedKey{}, fmt.Errorf("read the certificate for the depot: %w", err)
	}
	certificate, ok := public.(*ssh.Certificate)
	if !ok {
		return agent.AddedKey{}, errors.New("what was signed for the depot is no certificate")
	}
	return agent.AddedKey{PrivateKey: key, Certificate: certificate}, nil
}

// lentAgent is what a connection's host sees of the agent: it may list and sign with what is lent at the moment, and
// change nothing.
type lentAgent struct {
	keys agent.Agent
}

var errReadOnly = errors.New("this agent lends keys and takes none")

func newLentAgent() *lentAgent { return &lentAgent{keys: agent.NewKeyring()} }

// lend offers an identity until the returned function is called.
func (l *lentAgent) lend(identity agent.AddedKey) (takeBack func(), err error) {
	if err := l.keys.Add(identity); err != nil {
		return nil, fmt.Errorf("lend the key for the depot: %w", err)
	}
	var once sync.Once
	return func() { once.Do(func() { _ = l.keys.Remove(identity.Certificate) }) }, nil
}

func (l *lentAgent) List() ([]*agent.Key, error) { return l.keys.List() }

// Sign signs for a certificate that is lent.
func (l *lentAgent) Sign(key ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	lent, err := l.keys.List()
	if err != nil {
		return nil, err
	}
	for _, k := range lent {
		if bytes.Equal(k.Marshal(), key.Marshal()) {
			return l.keys.Sign(key, data)
		}
	}
	return nil, errors.New("this key is not lent")
}

func (l *lentAgent) Add(agent.AddedKey) error       { return errReadOnly }
func (l *lentAgent) Remove(ssh.PublicKey) error     { return errReadOnly }
func (l *lentAgent) RemoveAll() error               { return errReadOnly }
func (l *lentAgent) Lock([]byte) error              { return errReadOnly }
func (l *lentAgent) Unlock([]byte) error            { return errReadOnly }
func (l *lentAgent) Signers() ([]ssh.Signer, error) { return nil, errReadOnly }
