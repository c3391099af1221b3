// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/ssh"
	"k8s.io/utils/clock"

	"github.com/slipway-dev/slipway/internal/sshca"
)

// hostValid is how long a host certificate is good. It is signed anew at each start.
const hostValid = 2 * 365 * 24 * time.Hour

// HostKey loads the depot's host key and the authority that signs it from dir, or makes them, and returns the signers for
// names and the authorities' public keys that clients pin: during a rotation two, see PrepareHostCA.
func HostKey(dir string, names []string, c clock.PassiveClock) (signers []ssh.Signer, authorities []string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("prepare %s: %w", dir, err)
	}
	authority, err := sshca.Keep(filepath.Join(dir, "host_ca"), c)
	if err != nil {
		return nil, nil, err
	}
	key, err := loadKey(filepath.Join(dir, "host_key"))
	if err != nil {
		return nil, nil, err
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("read the host key: %w", err)
	}
	certificate, err := authority.Host(signer.PublicKey(), names, hostValid)
	if err != nil {
		return nil, nil, err
	}
	proven, err := ssh.NewCertSigner(certificate, signer)
	if err != nil {
		return nil, nil, fmt.Errorf("use the host certificate: %w", err)
	}
	return []ssh.Signer{proven, signer}, authority.PublicKeys(), nil
}

// PrepareHostCA adds the next authority: from the depot's next start on, all that reach it pin both, while the old one
// still signs.
func PrepareHostCA(dir string, c clock.PassiveClock) error {
	return changeAuthority(filepath.Join(dir, "host_ca"), c, (*sshca.Authority).Prepare)
}

// FinishHostCA lets the next authority sign from the depot's next start on, and forgets the old one.
func FinishHostCA(dir string, c clock.PassiveClock) error {
	return changeAuthority(filepath.Join(dir, "host_ca"), c, (*sshca.Authority).Rotate)
}

// changeAuthority changes an authority's file; after a crash it is the old or the new one.
func changeAuthority(path string, c clock.PassiveClock, change func(*sshca.Authority) error) error {
	authority, err := sshca.Keep(path, c)
	if err != nil {
		return err
	}
	if err := change(authority); err != nil {
		return err
	}
	data, err := authority.Encode()
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return fmt.Errorf("write the host authority: %w", err)
	}
	return os.Rename(path+".new", path)
}

func loadKey(path string) (any, error) {
	data, err := os.ReadFile(path)
	if err == nil {
		return ssh.ParseRawPrivateKey(data)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read the host key: %w", err)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the host key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(key, "slipway depot")
	if err != nil {
		return nil, fmt.Errorf("encode the host key: %w", err)
	}
	return &key, os.WriteFile(path, pem.EncodeToMemory(block), 0o600)
}
