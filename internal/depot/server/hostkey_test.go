// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"testing"

	. "github.com/onsi/gomega"
	"golang.org/x/crypto/ssh"
	"k8s.io/utils/clock"
)

// TestClientsThatPinBothAuthoritiesGoThroughARotation starts the depot anew after each step, as operators do.
func TestClientsThatPinBothAuthoritiesGoThroughARotation(t *testing.T) {
	g, dir, c := NewWithT(t), t.TempDir(), clock.RealClock{}
	start := func() (signedBy string, pinned []string, key string) {
		signers, authorities, err := HostKey(dir, []string{"depot"}, c)
		g.Expect(err).NotTo(HaveOccurred())
		certificate, ok := signers[0].PublicKey().(*ssh.Certificate)
		g.Expect(ok).To(BeTrue())
		for _, line := range authorities {
			authority, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
			g.Expect(err).NotTo(HaveOccurred())
			pinned = append(pinned, string(authority.Marshal()))
		}
		return string(certificate.SignatureKey.Marshal()), pinned, string(certificate.Key.Marshal())
	}
	old, before, key := start()
	g.Expect(before).To(ConsistOf(old))
	g.Expect(FinishHostCA(dir, c)).NotTo(Succeed(), "nobody pins the next one yet")

	g.Expect(PrepareHostCA(dir, c)).To(Succeed())
	signer, during, _ := start()
	g.Expect(signer).To(Equal(old))
	g.Expect(during).To(HaveLen(2))

	g.Expect(FinishHostCA(dir, c)).To(Succeed())
	signer, after, sameKey := start()
	g.Expect(during).To(ContainElement(signer), "who pinned both still trusts the depot")
	g.Expect(after).To(ConsistOf(signer))
	g.Expect(signer).NotTo(Equal(old))
	g.Expect(sameKey).To(Equal(key), "the host key itself stays")
}
