// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package awstest

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/smallstep/pkcs7"
)

// What the cloud signs verifies with the region's certificate alone, as what AWS signs does: the message brings none along.
func TestIdentityDocument(t *testing.T) {
	g := NewWithT(t)
	cloud := New()
	defer cloud.Close()
	id := cloud.Add(Instance{PrivateIP: "10.1.2.3"})
	document, err := cloud.IdentityDocument(id)
	g.Expect(err).NotTo(HaveOccurred())
	ber, err := base64.StdEncoding.DecodeString(string(document))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(ber[:2]).To(Equal([]byte{0x30, 0x80}), "of indefinite length")
	message, err := pkcs7.Parse(ber)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(message.Certificates).To(BeEmpty())
	g.Expect(string(message.Content)).To(And(ContainSubstring(`"instanceId": "`+id+`"`), ContainSubstring(`"privateIp": "10.1.2.3"`),
		ContainSubstring(`"region": "ap-northeast-1"`), ContainSubstring(`"accountId": "`+Account+`"`)))

	verify := func(region string) error {
		block, _ := pem.Decode(cloud.IdentityCertificate(region))
		certificate, err := x509.ParseCertificate(block.Bytes)
		g.Expect(err).NotTo(HaveOccurred())
		message.Certificates = []*x509.Certificate{certificate}
		return message.Verify()
	}
	g.Expect(verify("ap-northeast-1")).To(Succeed())
	g.Expect(verify("us-east-1")).NotTo(Succeed())

	_, err = cloud.IdentityDocument("i-00000000000000404")
	g.Expect(err).To(MatchError(ContainSubstring("no instance i-00000000000000404")))
}
