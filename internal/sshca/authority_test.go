// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package sshca

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/crypto/ssh"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestCertificatesAreShortBackdatedAndOfOnePrincipal(t *testing.T) {
	g := NewWithT(t)
	now := time.Unix(1_800_000_000, 0)
	a, err := New(clocktesting.NewFakePassiveClock(now))
	g.Expect(err).NotTo(HaveOccurred())
	_, line, err := a.Pull("svc", "sha256:x", 3*time.Minute)
	g.Expect(err).NotTo(HaveOccurred())
	key, _, _, _, err := ssh.ParseAuthorizedKey(line)
	g.Expect(err).NotTo(HaveOccurred())
	certificate, ok := key.(*ssh.Certificate)
	g.Expect(ok).To(BeTrue())
	g.Expect(certificate.ValidPrincipals).To(Equal([]string{Pull}))
	g.Expect(certificate.ValidAfter).To(BeEquivalentTo(now.Add(-5 * time.Minute).Unix()))
	g.Expect(certificate.ValidBefore).To(BeEquivalentTo(now.Add(3 * time.Minute).Unix()))
	g.Expect(certificate.CriticalOptions).To(HaveKeyWithValue(GrantOption, `{"service":"svc","digest":"sha256:x"}`))
}

func TestARotationOverlaps(t *testing.T) {
	g := NewWithT(t)
	c := clocktesting.NewFakePassiveClock(time.Unix(1_800_000_000, 0))
	a, err := New(c)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(a.Rotate()).NotTo(Succeed(), "nobody has learnt of a next key yet")
	before := a.PublicKeys()
	g.Expect(a.Prepare()).To(Succeed())
	both := a.PublicKeys()
	g.Expect(both).To(HaveLen(2))
	g.Expect(both[0]).To(Equal(before[0]))

	data, err := a.Encode()
	g.Expect(err).NotTo(HaveOccurred())
	again, err := Load(data, c)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(again.PublicKeys()).To(Equal(both))
	g.Expect(again.Rotate()).To(Succeed())
	g.Expect(again.PublicKeys()).To(Equal(both[1:]))
}
