// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

var (
	// errUnknownKey says that no key is listed for a host.
	errUnknownKey = errors.New("no key of the host is known")
	// errOtherKey says that a host showed a key that is not the one expected.
	errOtherKey = errors.New("the host showed another key")
)

// verifier decides whether a host is who it should be.
type verifier struct {
	// algorithms to offer: only those of keys that are known, so that a host with several keys shows a known one.
	algorithms []string
	// any is true if nothing is known and every key is taken.
	any   bool
	check func(address string, remote net.Addr, key ssh.PublicKey) error
}

// newVerifier reads what is known of a host.
func newVerifier(host *Host) (*verifier, error) {
	if host.Policy == v1alpha1.HostKeysFirstUse || host.Policy == v1alpha1.HostKeysBound {
		return pinned(host)
	}
	return listed(host)
}

// pinned takes the pinned key alone. Where the policy lets it, any key is taken once.
func pinned(host *Host) (*verifier, error) {
	if host.HostKey == "" && host.Policy == v1alpha1.HostKeysBound {
		return nil, fmt.Errorf("%w: the host has not proved its key at the depot", errUnknownKey)
	}
	if host.HostKey == "" {
		return &verifier{algorithms: plainAlgorithms(), any: true, check: func(string, net.Addr, ssh.PublicKey) error { return nil }}, nil
	}
	if strings.HasPrefix(host.HostKey, fingerprintPrefix) {
		return &verifier{algorithms: plainAlgorithms(), any: true, check: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			if shown := ssh.FingerprintSHA256(key); shown != host.HostKey {
				return fmt.Errorf("%w: expected is %s, shown was %s", errOtherKey, host.HostKey, shown)
			}
			return nil
		}}, nil
	}
	pinned, _, _, _, err := ssh.ParseAuthorizedKey([]byte(host.HostKey))
	if err != nil {
		return nil, fmt.Errorf("%w: the pinned key is unreadable: %w", errUnknownKey, err)
	}
	return &verifier{
		algorithms: algorithmsOf(pinned.Type()),
		check: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			if bytes.Equal(pinned.Marshal(), key.Marshal()) {
				return nil
			}
			return fmt.Errorf("%w: pinned is %s, shown was %s", errOtherKey, ssh.FingerprintSHA256(pinned), ssh.FingerprintSHA256(key))
		},
	}, nil
}

// listed looks a host up in known_hosts, by its name and by its address.
func listed(host *Host) (*verifier, error) {
	file, err := os.CreateTemp("", "slipway-known-hosts-")
	if err != nil {
		return nil, fmt.Errorf("write known_hosts for reading: %w", err)
	}
	defer func() { _ = os.Remove(file.Name()) }()
	_, err = file.Write(host.KnownHosts)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("write known_hosts for reading: %w", err)
	}
	callback, err := knownhosts.New(file.Name())
	if err != nil {
		return nil, fmt.Errorf("%w: known_hosts is unreadable: %s", errUnknownKey, strings.ReplaceAll(err.Error(), file.Name(), "known_hosts"))
	}
	names := addresses(host)
	v := &verifier{}
	var fingerprints []string
	if host.Policy == v1alpha1.HostKeysCA {
		v.algorithms = certificateAlgorithms()
	} else {
		v.algorithms, fingerprints = known(callback, names)
		if len(v.algorithms) == 0 {
			return nil, fmt.Errorf("%w: known_hosts has no line for %s", errUnknownKey, strings.Join(names, " or "))
		}
	}
	v.check = func(_ string, remote net.Addr, key ssh.PublicKey) error {
		if host.Policy == v1alpha1.HostKeysCA {
			if _, ok := key.(*ssh.Certificate); !ok {
				return fmt.Errorf("%w: it has no host certificate, but spec.ssh.hostKeys.policy is CA", errUnknownKey)
			}
		}
		var last error
		for _, name := range names {
			if last = callback(name, remote, key); last == nil {
				return nil
			}
			var revoked *knownhosts.RevokedError
			if errors.As(last, &revoked) {
				return fmt.Errorf("%w: the key is marked @revoked in known_hosts", errOtherKey)
			}
		}
		if host.Policy == v1alpha1.HostKeysCA {
			return fmt.Errorf("%w: its certificate is not accepted: %w", errOtherKey, last)
		}
		return fmt.Errorf("%w: known is %s, shown was %s", errOtherKey, strings.Join(fingerprints, " and "), ssh.FingerprintSHA256(key))
	}
	return v, nil
}

// addresses a host may be listed under.
func addresses(host *Host) []string {
	var names []string
	for _, name := range []string{host.Name, host.Address} {
		if joined := net.JoinHostPort(name, strconv.Itoa(host.Port)); name != "" && !slices.Contains(names, joined) {
			names = append(names, joined)
		}
	}
	return names
}

// known lists the algorithms and fingerprints of the keys that known_hosts has for a host: it asks with a key that
// nobody has.
func known(callback ssh.HostKeyCallback, names []string) (algorithms, fingerprints []string) {
	for _, name := range names {
		var mismatch *knownhosts.KeyError
		if err := callback(name, &net.TCPAddr{IP: net.IPv4zero}, nobodysKey{}); !errors.As(err, &mismatch) {
			continue
		}
		for _, want := range mismatch.Want {
			for _, algorithm := range algorithmsOf(want.Key.Type()) {
				if !slices.Contains(algorithms, algorithm) {
					algorithms = append(algorithms, algorithm)
				}
			}
			if fingerprint := ssh.FingerprintSHA256(want.Key); !slices.Contains(fingerprints, fingerprint) {
				fingerprints = append(fingerprints, fingerprint)
			}
		}
	}
	return algorithms, fingerprints
}

// nobodysKey is a key that no host has.
type nobodysKey struct{}

func (nobodysKey) Type() string    { return "none" }
func (nobodysKey) Marshal() []byte { return []byte("none") }
func (nobodysKey) Verify([]byte, *ssh.Signature) error {
	return errors.New("nobody's key verifies nothing")
}

// plainKey writes the key that a host proved itself with in authorized_keys format, without a certificate around it.
func plainKey(key ssh.PublicKey) string {
	if certificate, ok := key.(*ssh.Certificate); ok {
		key = certificate.Key
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// fingerprintPrefix begins a pin that is a fingerprint.
const fingerprintPrefix = "SHA256:"

// samePin compares a pin, a key in authorized_keys format or a fingerprint, with a key in that format, comments aside.
func samePin(a, b string) bool {
	x, _, _, _, errX := ssh.ParseAuthorizedKey([]byte(a))
	y, _, _, _, errY := ssh.ParseAuthorizedKey([]byte(b))
	if strings.HasPrefix(a, fingerprintPrefix) {
		return errY == nil && ssh.FingerprintSHA256(y) == a
	}
	return errX == nil && errY == nil && bytes.Equal(x.Marshal(), y.Marshal())
}
