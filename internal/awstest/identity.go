// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package awstest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/smallstep/pkcs7"
)

// signer is what signs the identity documents of one region.
type signer struct {
	key         *rsa.PrivateKey
	certificate *x509.Certificate
}

// identityDocument is what the metadata service says of an instance, in AWS's words and order.
type identityDocument struct {
	AccountID               string    `json:"accountId"`
	Architecture            string    `json:"architecture"`
	AvailabilityZone        string    `json:"availabilityZone"`
	BillingProducts         []string  `json:"billingProducts"`
	DevpayProductCodes      []string  `json:"devpayProductCodes"`
	MarketplaceProductCodes []string  `json:"marketplaceProductCodes"`
	ImageID                 string    `json:"imageId"`
	InstanceID              string    `json:"instanceId"`
	InstanceType            string    `json:"instanceType"`
	KernelID                *string   `json:"kernelId"`
	PendingTime             time.Time `json:"pendingTime"`
	PrivateIP               string    `json:"privateIp"`
	RamdiskID               *string   `json:"ramdiskId"`
	Region                  string    `json:"region"`
	Version                 string    `json:"version"`
}

// IdentityDocument is what an instance reads at /latest/dynamic/instance-identity/rsa2048: base64, in lines, of a PKCS#7 message in
// BER that holds the document, one signature, and no certificate.
func (c *Cloud) IdentityDocument(instanceID string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.instances[instanceID]
	if i == nil {
		return nil, fmt.Errorf("awstest: there is no instance %s", instanceID)
	}
	s, err := c.signer(i.Region)
	if err != nil {
		return nil, err
	}
	return s.sign(identityOf(i))
}

// IdentityCertificate is the certificate, as PEM, with which a region's identity documents verify.
func (c *Cloud) IdentityCertificate(region string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.signer(region)
	if err != nil {
		panic(err) // the machine has no randomness
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.certificate.Raw})
}

// SignIdentity signs any content as a region signs its documents: for documents that AWS would never write.
func (c *Cloud) SignIdentity(region string, content []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.signer(region)
	if err != nil {
		return nil, err
	}
	return s.sign(content)
}

// identityOf is an instance's document, unsigned: what is served at /latest/dynamic/instance-identity/document.
func identityOf(i *Instance) []byte {
	document, err := json.MarshalIndent(identityDocument{
		AccountID: Account, Architecture: "arm64", AvailabilityZone: i.Zone, ImageID: Image, InstanceID: i.ID, InstanceType: i.Type,
		PendingTime: i.LaunchTime.UTC().Truncate(time.Second), PrivateIP: i.PrivateIP, Region: i.Region, Version: "2017-09-30",
	}, "", "  ")
	if err != nil {
		panic(err) // strings and a time can be written
	}
	return document
}

// signer of a region. The lock is held. Like AWS's own, its certificate names no region, is valid for 180 years, and differs from
// those of other regions in key and serial number alone.
func (c *Cloud) signer(region string) (*signer, error) {
	if s := c.signers[region]; s != nil {
		return s, nil
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 63))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Country: []string{"US"}, Organization: []string{"Amazon Web Services LLC"}},
		NotBefore:    time.Date(2015, 8, 14, 9, 0, 25, 0, time.UTC), NotAfter: time.Date(2195, 1, 17, 9, 0, 25, 0, time.UTC),
		SignatureAlgorithm: x509.SHA256WithRSA,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	c.signers[region] = &signer{key: key, certificate: certificate}
	return c.signers[region], nil
}

// sign wraps content as IMDS does.
func (s *signer) sign(content []byte) ([]byte, error) {
	message, err := pkcs7.NewSignedData(content)
	if err != nil {
		return nil, err
	}
	message.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	if err := message.AddSigner(s.certificate, s.key, pkcs7.SignerInfoConfig{}); err != nil {
		return nil, err
	}
	der, err := message.Finish()
	if err != nil {
		return nil, err
	}
	ber, err := asIMDS(der, content)
	if err != nil {
		return nil, err
	}
	return lines(base64.StdEncoding.EncodeToString(ber)), nil
}

// asIMDS writes a signed message as IMDS does: in BER of indefinite length, with the content in a constructed octet string and
// without a certificate. Whoever takes DER alone fails on AWS; the library would write DER.
func asIMDS(der, content []byte) ([]byte, error) {
	outer, err := elements(der) // type, [0] { SignedData }
	if err != nil {
		return nil, err
	}
	inner, err := elements(outer[1])
	if err != nil {
		return nil, err
	}
	signed, err := elements(inner[0]) // version, digests, content, [0] certificates, signers
	if err != nil {
		return nil, err
	}
	kind, err := elements(signed[2])
	if err != nil {
		return nil, err
	}
	octets, err := asn1.Marshal(content)
	if err != nil {
		return nil, err
	}
	const sequence, explicit, constructedOctets = 0x30, 0xa0, 0x24
	return indefinite(sequence, outer[0], indefinite(explicit, indefinite(sequence, signed[0], signed[1],
		indefinite(sequence, kind[0], indefinite(explicit, indefinite(constructedOctets, octets))), signed[len(signed)-1]))), nil
}

// elements lists what a constructed element in DER holds.
func elements(der []byte) ([][]byte, error) {
	var element asn1.RawValue
	if _, err := asn1.Unmarshal(der, &element); err != nil {
		return nil, err
	}
	var inside [][]byte
	for rest := element.Bytes; len(rest) > 0; {
		var err error
		if rest, err = asn1.Unmarshal(rest, &element); err != nil {
			return nil, err
		}
		inside = append(inside, element.FullBytes)
	}
	return inside, nil
}

// indefinite is an element of indefinite length.
func indefinite(tag byte, parts ...[]byte) []byte {
	return slices.Concat([]byte{tag, 0x80}, slices.Concat(parts...), []byte{0, 0})
}

// lines breaks text every 76 characters, without a last line break.
func lines(text string) []byte {
	var broken []byte
	for len(text) > 76 {
		broken, text = append(append(broken, text[:76]...), '\n'), text[76:]
	}
	return append(broken, text...)
}
