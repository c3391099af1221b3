// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package identity_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/internal/awstest"
	"github.com/slipway-dev/slipway/internal/identity"
)

// Each file that is built in is read, under its region's name, and is what AWS publishes in form: a key of 2048 bits of that region's
// alone, signed by itself with SHA-256.
func TestPublishedCertificates(t *testing.T) {
	g := NewWithT(t)
	files, err := filepath.Glob("certificates/*")
	g.Expect(err).NotTo(HaveOccurred())
	certificates := identity.AWS()
	g.Expect(certificates).To(HaveLen(len(files)))
	regions := map[string]string{}
	for _, file := range files {
		base := filepath.Base(file)
		region := base[:len(base)-len(".pem")]
		certificate := certificates[region]
		g.Expect(certificate).NotTo(BeNil(), file)
		g.Expect(certificate.Issuer.String()).To(Equal("O=Amazon Web Services LLC,L=Seattle,ST=Washington State,C=US"), file)
		g.Expect(certificate.SignatureAlgorithm).To(Equal(x509.SHA256WithRSA), file)
		g.Expect(certificate.NotAfter.Year()).To(BeNumerically(">=", 2195), file)
		key := certificate.PublicKey.(*rsa.PublicKey)
		g.Expect(key.N.BitLen()).To(Equal(2048), file)
		g.Expect(regions).NotTo(HaveKey(key.N.String()), "%s has another region's key", file)
		regions[key.N.String()] = region
	}
	for _, region := range []string{"us-east-1", "ap-northeast-1", "eu-central-1", "us-gov-west-1", "cn-north-1"} {
		g.Expect(certificates).To(HaveKey(region))
	}

	delete(certificates, "us-east-1")
	g.Expect(identity.AWS()).To(HaveKey("us-east-1"), "each caller has a map of its own")
}

// An operator's folder adds regions and says what is wrong with a file, by its name.
func TestLoad(t *testing.T) {
	cloud := awstest.New()
	defer cloud.Close()
	good := cloud.IdentityCertificate("ap-northeast-1")
	block, _ := pem.Decode(good)
	damaged := append([]byte{}, block.Bytes...)
	damaged[len(damaged)-1] ^= 1
	armoured := func(der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}

	for name, test := range map[string]struct {
		file, content, says string
	}{
		"a new region":               {"xx-new-1.pem", string(good), ""},
		"text around it":             {"xx-new-1.pem", "Region: new\n" + string(good) + "\n\n", ""},
		"a region of four letters":   {"eusc-de-east-1.pem", string(good), ""},
		"no region's name":           {"Tokyo.pem", string(good), "Tokyo.pem: name it after its region"},
		"another ending":             {"ap-northeast-1.crt", string(good), "ap-northeast-1.crt: name it after its region"},
		"nothing":                    {"xx-new-1.pem", "", "does not hold one certificate"},
		"two certificates":           {"xx-new-1.pem", string(good) + string(good), "does not hold one certificate"},
		"a key":                      {"xx-new-1.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}})), "does not hold one certificate"},
		"no certificate inside":      {"xx-new-1.pem", armoured([]byte{0x30, 0x00}), "xx-new-1.pem: x509"},
		"a damaged copy":             {"xx-new-1.pem", armoured(damaged), "it is damaged"},
		"RSA of 1024 bits":           {"xx-new-1.pem", armoured(selfSigned(t, smallKey(t))), "take the region's RSA-2048 certificate"},
		"no RSA":                     {"xx-new-1.pem", armoured(selfSigned(t, nil)), "take the region's RSA-2048 certificate"},
		"base64 that is no PEM file": {"xx-new-1.pem", base64.StdEncoding.EncodeToString(block.Bytes), "does not hold one certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			dir := t.TempDir()
			g.Expect(os.WriteFile(filepath.Join(dir, test.file), []byte(test.content), 0o600)).To(Succeed())
			certificates, err := identity.Load(dir)
			if test.says != "" {
				g.Expect(err).To(MatchError(And(ContainSubstring(dir), ContainSubstring(test.file), ContainSubstring(test.says))))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(certificates).To(HaveLen(1))
			g.Expect(certificates[test.file[:len(test.file)-len(".pem")]].Raw).To(Equal(block.Bytes))
		})
	}
}

// A ConfigMap's volume holds links to files beneath a folder whose name begins with dots.
func TestLoadVolume(t *testing.T) {
	g := NewWithT(t)
	cloud := awstest.New()
	defer cloud.Close()
	dir := t.TempDir()
	g.Expect(os.Mkdir(filepath.Join(dir, "..2026_11_23"), 0o700)).To(Succeed())
	g.Expect(os.WriteFile(filepath.Join(dir, "..2026_11_23", "xx-new-1.pem"), cloud.IdentityCertificate("xx-new-1"), 0o600)).To(Succeed())
	g.Expect(os.Symlink("..2026_11_23", filepath.Join(dir, "..data"))).To(Succeed())
	g.Expect(os.Symlink("..data/xx-new-1.pem", filepath.Join(dir, "xx-new-1.pem"))).To(Succeed())
	certificates, err := identity.Load(dir)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(certificates).To(And(HaveLen(1), HaveKey("xx-new-1")))

	_, err = identity.Load(filepath.Join(dir, "none"))
	g.Expect(err).To(MatchError(os.ErrNotExist))
}

// smallKey is an RSA key that is too short.
func smallKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// selfSigned is a certificate of a key: of a new one on an elliptic curve where it is nil.
func selfSigned(t *testing.T, key *rsa.PrivateKey) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Date(2195, 1, 1, 0, 0, 0, 0, time.UTC)}
	var der []byte
	var err error
	if key != nil {
		der, err = x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	} else {
		var curve *ecdsa.PrivateKey
		if curve, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err == nil {
			der, err = x509.CreateCertificate(rand.Reader, template, template, curve.Public(), curve)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return der
}
