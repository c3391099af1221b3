// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/ssh"

	"github.com/slipway-dev/slipway/internal/boot"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/sshca"
)

// identity is who logged in and what the certificate allows: exactly one of the three. Or it is a host that boots.
type identity struct {
	principal string
	// authority has signed the certificate; in the wire's format.
	authority string
	// key of a host that boots.
	key   ssh.PublicKey
	build depot.BuildGrant
	pull  sshca.PullGrant
}

const (
	extensionPrincipal = "slipway-principal"
	extensionGrant     = "slipway-grant"
	extensionAuthority = "slipway-authority"
	extensionKey       = "slipway-key"
)

// config of one connection: certificates of a trusted authority, and nothing else, log in.
func (s *Server) config() *ssh.ServerConfig {
	config := &ssh.ServerConfig{
		ServerVersion: "SSH-2.0-Slipway-depot", MaxAuthTries: 3,
		PublicKeyCallback: func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			return s.authenticate(meta, key)
		},
	}
	if s.Readers != nil {
		config.PasswordCallback = s.admit
	}
	config.KeyExchanges = []string{ssh.KeyExchangeMLKEM768X25519, ssh.KeyExchangeCurve25519}
	for _, key := range s.HostKeys {
		config.AddHostKey(key)
	}
	return config
}

// authenticate checks a certificate. What it returns belongs to the key that signs the login: x/crypto hands out the
// permissions of that key alone, so nothing is remembered here (CVE-2024-45337).
func (s *Server) authenticate(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	if meta.User() == boot.User {
		return s.greet(key)
	}
	certificate, ok := key.(*ssh.Certificate)
	if !ok {
		return nil, errors.New("only certificates log in")
	}
	if meta.User() != sshca.User {
		return nil, fmt.Errorf("the user is %s", sshca.User)
	}
	if certificate.CertType != ssh.UserCert || len(certificate.ValidPrincipals) != 1 {
		return nil, errors.New("not a user certificate of one principal")
	}
	authority := string(certificate.SignatureKey.Marshal())
	if !s.trusts(certificate.ValidPrincipals[0], authority) {
		return nil, errors.New("the certificate's authority is not trusted")
	}
	checker := &ssh.CertChecker{SupportedCriticalOptions: []string{sshca.GrantOption}, Clock: s.Clock.Now}
	principal := certificate.ValidPrincipals[0]
	if err := checker.CheckCert(principal, certificate); err != nil {
		return nil, err
	}
	return &ssh.Permissions{Extensions: map[string]string{
		extensionPrincipal: principal, extensionGrant: certificate.CriticalOptions[sshca.GrantOption],
		extensionAuthority: authority,
	}}, nil
}

// trusts says whether an authority's certificates for a principal log in now. Who boots has no authority.
func (s *Server) trusts(principal, authority string) bool {
	is := func(a ssh.PublicKey) bool { return string(a.Marshal()) == authority }
	return principal == boot.User || slices.ContainsFunc(s.UserAuthorities(), is) ||
		principal == sshca.Pull && s.BootAuthorities != nil && slices.ContainsFunc(s.BootAuthorities(), is)
}

// greet lets a host in that boots, with any plain key: which host holds it is found out from what it says.
func (s *Server) greet(key ssh.PublicKey) (*ssh.Permissions, error) {
	if _, signed := key.(*ssh.Certificate); signed || s.Hosts == nil {
		return nil, errors.New("a host that boots logs in with its own host key")
	}
	return &ssh.Permissions{Extensions: map[string]string{extensionPrincipal: boot.User, extensionKey: string(key.Marshal())}}, nil
}

// admit lets the Console in, by the token that its cluster gave it.
func (s *Server) admit(meta ssh.ConnMetadata, token []byte) (*ssh.Permissions, error) {
	if meta.User() != depot.ReaderUser {
		return nil, errors.New("only certificates log in")
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.Handshake)
	defer cancel()
	if err := s.Readers(ctx, string(token)); err != nil {
		s.Logger.Info("a token does not read here", "why", err.Error())
		return nil, errors.New("this token does not read here")
	}
	return &ssh.Permissions{Extensions: map[string]string{extensionPrincipal: depot.ReaderUser}}, nil
}

// identify reads what authenticate left.
func identify(p *ssh.Permissions) (identity, error) {
	who := identity{principal: p.Extensions[extensionPrincipal], authority: p.Extensions[extensionAuthority]}
	grant := []byte(p.Extensions[extensionGrant])
	switch who.principal {
	case sshca.Manager, depot.ReaderUser:
		return who, nil
	case sshca.Build:
		return who, json.Unmarshal(grant, &who.build)
	case sshca.Pull:
		return who, json.Unmarshal(grant, &who.pull)
	case boot.User:
		var err error
		who.key, err = ssh.ParsePublicKey([]byte(p.Extensions[extensionKey]))
		return who, err
	}
	return who, fmt.Errorf("unknown principal %q", who.principal)
}
