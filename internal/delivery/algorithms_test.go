// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery_test

import (
	"context"
	"net"
	"strconv"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/test/hosts"
)

// A host that only speaks what is broken is refused with a sentence; one in FIPS mode, or of an older make, is not.
func TestAlgorithms(t *testing.T) {
	s := newSite(t, hosts.Options{})
	port := 2200
	for name, test := range map[string]struct {
		sshd []string
		says string
	}{
		"of today":     {},
		"FIPS mode":    {sshd: []string{"KexAlgorithms=ecdh-sha2-nistp256", "Ciphers=aes256-ctr", "MACs=hmac-sha2-512-etm@openssh.com"}},
		"curve25519":   {sshd: []string{"KexAlgorithms=curve25519-sha256@libssh.org", "Ciphers=chacha20-poly1305@openssh.com"}},
		"key exchange": {sshd: []string{"KexAlgorithms=diffie-hellman-group14-sha1"}, says: "no key exchange that is safe, only diffie-hellman-group14-sha1"},
		"cipher":       {sshd: []string{"Ciphers=aes128-cbc"}, says: "cipher that is safe, only aes128-cbc"},
		"MAC":          {sshd: []string{"Ciphers=aes128-ctr", "MACs=hmac-sha1"}, says: "MAC that is safe, only hmac-sha1"},
		"host key":     {sshd: []string{"HostKeyAlgorithms=ssh-rsa", "HostKey=/run/host/rsa"}, says: "no host key that is safe, only ssh-rsa"},
	} {
		t.Run(name, func(t *testing.T) {
			s.WithT = NewWithT(t)
			port++
			args := []string{"/usr/sbin/sshd", "-f", "/run/host/sshd_config", "-p", strconv.Itoa(port)}
			for _, option := range test.sshd {
				args = append(args, "-o", option)
			}
			out, err := s.host.Command(context.Background(), args...).CombinedOutput() // it ends with the host
			s.Expect(err).NotTo(HaveOccurred(), string(out))
			s.Eventually(func() error {
				conn, err := net.Dial("tcp", net.JoinHostPort(s.host.Address, strconv.Itoa(port)))
				if err == nil {
					err = conn.Close()
				}
				return err
			}, "5s", "20ms").Should(Succeed())
			host := s.reach
			host.Port, host.Policy, host.KnownHosts = port, v1alpha1.HostKeysFirstUse, nil
			if test.says == "" {
				_, err := s.pool.Probe(context.Background(), host, owner, s.deploy)
				s.Expect(err).NotTo(HaveOccurred())
				return
			}
			failure := reachFailure(s, s.pool, host)
			s.Expect(failure.Message).To(And(ContainSubstring(test.says), ContainSubstring("Update OpenSSH")))
			s.Expect(failure.Reason).To(Equal(v1alpha1.ReasonUnreachable))
			s.Expect(failure.Terminal).To(BeTrue())
			if name == "key exchange" { // and with a known key it is no mismatch
				host.Policy, host.KnownHosts = v1alpha1.HostKeysKnown, []byte("["+host.Address+"]:"+strconv.Itoa(port)+" "+s.host.HostKey())
				s.Expect(reachFailure(s, s.pool, host).Message).To(ContainSubstring(test.says))
			}
		})
	}
}
