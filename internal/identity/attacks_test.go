// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package identity_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"math/big"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/smallstep/pkcs7"

	"github.com/slipway-dev/slipway/internal/awstest"
	"github.com/slipway-dev/slipway/internal/identity"
)

const content = `{"accountId": "123456789012", "region": "ap-northeast-1", "availabilityZone": "ap-northeast-1a",
	"instanceId": "i-0123456789abcdef0", "privateIp": "10.1.2.3", "instanceType": "t4g.small", "imageId": "ami-0123456789abcdef0",
	"pendingTime": "2026-11-20T08:30:00Z"}`

// signer signs messages in any way, which AWS would not.
type signer struct {
	key         *rsa.PrivateKey
	certificate *x509.Certificate
}

// newSigner has a self-signed certificate that, as AWS's, says the same issuer everywhere.
func newSigner(t *testing.T, serial int64, until time.Time) signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{Country: []string{"US"}, Organization: []string{"Amazon Web Services LLC"}},
		NotBefore: time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return signer{key: key, certificate: certificate}
}

// message signs text by each signer; change is made to it before it is written.
func message(t *testing.T, text string, digest asn1.ObjectIdentifier, change func(*pkcs7.SignedData), signers ...signer) []byte {
	t.Helper()
	signed, err := pkcs7.NewSignedData([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	signed.SetDigestAlgorithm(digest)
	for _, s := range signers {
		if err := signed.AddSigner(s.certificate, s.key, pkcs7.SignerInfoConfig{}); err != nil {
			t.Fatal(err)
		}
	}
	if change != nil {
		change(signed)
	}
	der, err := signed.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestAttacks(t *testing.T) {
	far := time.Date(2195, 1, 1, 0, 0, 0, 0, time.UTC)
	aws, attacker, otherRegion := newSigner(t, 7, far), newSigner(t, 7, far), newSigner(t, 8, far)
	certificates := identity.Certificates{region: aws.certificate, "us-east-1": otherRegion.certificate}
	sha256, sha1 := pkcs7.OIDDigestAlgorithmSHA256, pkcs7.OIDDigestAlgorithmSHA1
	encode := func(der []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(der)) }
	genuine := message(t, content, sha256, nil, aws)
	swap := func(der []byte, old, replacement string) []byte {
		if !bytes.Contains(der, []byte(old)) {
			t.Fatalf("the message does not hold %s", old)
		}
		return bytes.Replace(der, []byte(old), []byte(replacement), 1)
	}

	g := NewWithT(t)
	document, err := identity.Verify(encode(genuine), certificates)
	g.Expect(err).NotTo(HaveOccurred(), "the basis of what follows")
	g.Expect(document).To(Equal(wanted))
	own, err := pkcs7.Parse(message(t, content, sha256, nil, attacker))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(own.Verify()).To(Succeed(), "an attacker's message verifies with the certificate that it brings along")

	for name, test := range map[string]struct {
		message []byte
		is      error
		says    string
	}{
		"another instance's id put in":                                 {swap(genuine, "i-0123456789abcdef0", "i-0fedcba9876543210"), identity.ErrSignature, "digest mismatch"},
		"signed by the attacker, as serial and issuer of the region's": {message(t, content, sha256, nil, attacker), identity.ErrSignature, "verification error"},
		"the region's certificate brought along too": {message(t, content, sha256, func(m *pkcs7.SignedData) { m.AddCertificate(aws.certificate) }, attacker),
			identity.ErrSignature, "verification error"},
		"signed by another region":       {message(t, content, sha256, nil, otherRegion), identity.ErrSignature, "No certificate for signer"},
		"another region's name put in":   {swap(message(t, content, sha256, nil, aws), `"region": "ap-northeast-1"`, `"region": "us-east-1"     `), identity.ErrSignature, "us-east-1"},
		"a region that nobody knows":     {swap(genuine, `"region": "ap-northeast-1"`, `"region": "ap-northeast-9"`), identity.ErrUnknownRegion, "ap-northeast-9"},
		"signed by both":                 {message(t, content, sha256, nil, attacker, aws), identity.ErrMalformed, "2 signers"},
		"signed by nobody":               {message(t, content, sha256, nil), identity.ErrMalformed, "0 signers"},
		"the signature alone":            {message(t, content, sha256, (*pkcs7.SignedData).Detach, aws), identity.ErrMalformed, "holds no document"},
		"the region's own, with SHA-1":   {message(t, content, sha1, nil, aws), identity.ErrSignature, "not SHA-256"},
		"the region's own, with SHA-512": {message(t, content, pkcs7.OIDDigestAlgorithmSHA512, nil, aws), identity.ErrSignature, "not SHA-256"},
		"signed attributes taken off":    {message(t, content, sha256, (*pkcs7.SignedData).RemoveAuthenticatedAttributes, aws), identity.ErrSignature, "verification error"},
		"data after the message":         {append(bytes.Clone(genuine), genuine...), identity.ErrMalformed, "follow the message"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			document, err := identity.Verify(encode(test.message), certificates)
			g.Expect(err).To(MatchError(test.is))
			g.Expect(err).To(MatchError(ContainSubstring(test.says)))
			g.Expect(document).To(BeZero())
			for _, kind := range []error{identity.ErrMalformed, identity.ErrUnknownRegion, identity.ErrSignature} {
				g.Expect(errors.Is(err, kind)).To(Equal(errors.Is(test.is, kind)), "it is one kind of error alone")
			}
		})
	}
}

// A certificate that ended by the clock of today verifies what was signed while it was good, and nothing that was signed later: what
// is signed says when.
func TestCertificateThatEnded(t *testing.T) {
	g := NewWithT(t)
	ended := newSigner(t, 7, time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC))
	certificates := identity.Certificates{region: ended.certificate}
	encode := func(der []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(der)) }
	now := message(t, content, pkcs7.OIDDigestAlgorithmSHA256, nil, ended)
	_, err := identity.Verify(encode(now), certificates)
	g.Expect(err).To(And(MatchError(identity.ErrSignature), MatchError(ContainSubstring("outside of certificate validity"))))

	signed, err := pkcs7.NewSignedData([]byte(content))
	g.Expect(err).NotTo(HaveOccurred())
	signed.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	g.Expect(signed.SignWithoutAttr(ended.certificate, ended.key, pkcs7.SignerInfoConfig{})).To(Succeed())
	timeless, err := signed.Finish()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(identity.Verify(encode(timeless), certificates)).To(Equal(wanted))
}

// A signature is over attributes that name the content's digest. Shown as content, with the attributes taken off, those attributes
// verify, and must not pass for a document.
func TestAttributesAsContent(t *testing.T) {
	g := NewWithT(t)
	aws := newSigner(t, 7, time.Date(2195, 1, 1, 0, 0, 0, 0, time.UTC))
	genuine, err := pkcs7.Parse(message(t, content, pkcs7.OIDDigestAlgorithmSHA256, nil, aws))
	g.Expect(err).NotTo(HaveOccurred())
	attributes, err := asn1.MarshalWithParams(genuine.Signers[0].AuthenticatedAttributes, "set")
	g.Expect(err).NotTo(HaveOccurred())
	forged := message(t, string(attributes), pkcs7.OIDDigestAlgorithmSHA256, func(m *pkcs7.SignedData) {
		m.RemoveAuthenticatedAttributes()
		m.GetSignedData().SignerInfos[0].EncryptedDigest = genuine.Signers[0].EncryptedDigest
	}, aws)
	parsed, err := pkcs7.Parse(forged)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(parsed.Verify()).To(Succeed(), "the attack works on the library")
	_, err = identity.Verify([]byte(base64.StdEncoding.EncodeToString(forged)), identity.Certificates{region: aws.certificate})
	g.Expect(err).To(MatchError(identity.ErrMalformed))
}

// AWS's own certificates believe nothing that the cloud of tests signs.
func TestPublishedCertificatesBelieveNobodyElse(t *testing.T) {
	g := NewWithT(t)
	cloud := awstest.New()
	defer cloud.Close()
	signature, err := cloud.IdentityDocument(cloud.Add(awstest.Instance{}))
	g.Expect(err).NotTo(HaveOccurred())
	_, err = identity.Verify(signature, identity.AWS())
	g.Expect(err).To(MatchError(identity.ErrSignature))
	_, err = identity.Verify(signature, nil)
	g.Expect(err).To(MatchError(identity.ErrUnknownRegion))
}
