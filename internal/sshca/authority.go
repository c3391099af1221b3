// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sshca signs the short-lived SSH certificates by which builds, hosts and the manager prove to the depot what
// they may do, and the certificate by which the depot proves itself.
package sshca

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"k8s.io/utils/clock"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot"
)

// Principals: a certificate has exactly one.
const (
	Manager = "manager"
	Build   = "build"
	Pull    = "pull"
)

// GrantOption is the critical option that carries what a certificate allows, as JSON.
const GrantOption = "grant@slipway.dev"

// User is the user name at the depot.
const User = "slipway"

// backdate forgives hosts whose clock is behind.
const backdate = 5 * time.Minute

// PullGrant is what a host may do at the depot.
type PullGrant struct {
	// Service is the storage id of the Service, Digest the one artifact that may be read.
	Service v1alpha1.UID `json:"service"`
	Digest  string       `json:"digest"`
}

// Authority signs certificates. A second key, when there is one, is trusted already and signs after the next rotation.
type Authority struct {
	clock clock.PassiveClock

	mu      sync.RWMutex
	current ed25519.PrivateKey
	next    ed25519.PrivateKey
}

// New makes an Authority with a fresh key.
func New(c clock.PassiveClock) (*Authority, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the authority's key: %w", err)
	}
	return &Authority{current: key, clock: c}, nil
}

// Load reads an Authority from what Encode wrote.
func Load(data []byte, c clock.PassiveClock) (*Authority, error) {
	a := &Authority{clock: c} // nobody else has it yet: no lock
	for _, key := range []*ed25519.PrivateKey{&a.current, &a.next} {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		raw, err := ssh.ParseRawPrivateKey(pem.EncodeToMemory(block))
		if err != nil {
			return nil, fmt.Errorf("read the authority's key: %w", err)
		}
		private, ok := raw.(*ed25519.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("the authority's key is %T, not ed25519", raw)
		}
		*key = *private
	}
	if a.current == nil {
		return nil, errors.New("the authority's file holds no key")
	}
	return a, nil
}

// Encode writes the keys in PEM: the one in use, then the next if there is one.
func (a *Authority) Encode() ([]byte, error) {
	var out []byte
	for _, key := range a.keys() {
		if key == nil {
			continue
		}
		block, err := ssh.MarshalPrivateKey(key, "slipway authority")
		if err != nil {
			return nil, fmt.Errorf("encode the authority's key: %w", err)
		}
		out = append(out, pem.EncodeToMemory(block)...)
	}
	return out, nil
}

// Prepare adds a next key: from now on both are trusted.
func (a *Authority) Prepare() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next != nil {
		return nil
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make the next key: %w", err)
	}
	a.next = key
	return nil
}

// Rotate begins to sign with the next key. Whoever trusts PublicKeys trusted it before.
func (a *Authority) Rotate() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next == nil {
		return errors.New("there is no next key: prepare one, and let everybody learn of it first")
	}
	a.current, a.next = a.next, nil
	return nil
}

// Adopt takes the keys of another Authority, which somebody may have rotated: what is minted from now on is signed as that
// one would.
func (a *Authority) Adopt(other *Authority) {
	keys := other.keys()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.current, a.next = keys[0], keys[1]
}

// keys are the one in use and the next, which may be nil.
func (a *Authority) keys() [2]ed25519.PrivateKey {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return [2]ed25519.PrivateKey{a.current, a.next}
}

// PublicKeys are the keys to trust, in authorized_keys format without a newline: the one in use, then the next.
func (a *Authority) PublicKeys() []string {
	var out []string
	for _, key := range a.keys() {
		if key == nil {
			continue
		}
		public, err := ssh.NewPublicKey(key.Public())
		if err == nil {
			out = append(out, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public))))
		}
	}
	return out
}

// Manager mints what the manager shows to the depot.
func (a *Authority) Manager(valid time.Duration) (privateKey, certificate []byte, err error) {
	return a.mint(Manager, "the manager", struct{}{}, valid)
}

// Build mints what a build Pod shows to the depot.
func (a *Authority) Build(grant depot.BuildGrant, valid time.Duration) (privateKey, certificate []byte, err error) {
	return a.mint(Build, fmt.Sprintf("build %s attempt %d", grant.BuildKey, grant.Attempt), grant, valid)
}

// Pull mints what a host shows to the depot. It is a delivery.Credential.
func (a *Authority) Pull(service v1alpha1.UID, digest string, valid time.Duration) (privateKey, certificate []byte, err error) {
	return a.mint(Pull, "pull "+digest, PullGrant{Service: service, Digest: digest}, valid)
}

// mint makes a key and its certificate: the key in PEM, the certificate in authorized_keys format.
func (a *Authority) mint(principal, id string, grant any, valid time.Duration) ([]byte, []byte, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	data, err := json.Marshal(grant)
	if err != nil {
		return nil, nil, fmt.Errorf("encode the grant: %w", err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	now := a.clock.Now()
	certificate := &ssh.Certificate{
		Key: key, CertType: ssh.UserCert, KeyId: id, ValidPrincipals: []string{principal},
		ValidAfter: uint64(now.Add(-backdate).Unix()), ValidBefore: uint64(now.Add(valid).Unix()),
		Permissions: ssh.Permissions{CriticalOptions: map[string]string{GrantOption: string(data)}},
	}
	if err := a.sign(certificate); err != nil {
		return nil, nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "slipway "+principal)
	if err != nil {
		return nil, nil, fmt.Errorf("encode the key: %w", err)
	}
	return pem.EncodeToMemory(block), ssh.MarshalAuthorizedKey(certificate), nil
}

// Host signs a server's host key for the names it is reached by.
func (a *Authority) Host(key ssh.PublicKey, names []string, valid time.Duration) (*ssh.Certificate, error) {
	now := a.clock.Now()
	certificate := &ssh.Certificate{
		Key: key, CertType: ssh.HostCert, KeyId: "slipway depot", ValidPrincipals: names,
		ValidAfter: uint64(now.Add(-backdate).Unix()), ValidBefore: uint64(now.Add(valid).Unix()),
	}
	return certificate, a.sign(certificate)
}

func (a *Authority) sign(certificate *ssh.Certificate) error {
	signer, err := ssh.NewSignerFromKey(a.keys()[0])
	if err != nil {
		return fmt.Errorf("read the authority's key: %w", err)
	}
	if err := certificate.SignCert(rand.Reader, signer); err != nil {
		return fmt.Errorf("sign a certificate: %w", err)
	}
	return nil
}
