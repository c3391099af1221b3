// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package identity_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/internal/awstest"
	"github.com/slipway-dev/slipway/internal/identity"
)

const region = "ap-northeast-1"

// the document in testdata, whose key was thrown away.
var wanted = identity.Document{
	AccountID: "123456789012", Region: region, AvailabilityZone: "ap-northeast-1a", InstanceID: "i-0123456789abcdef0", PrivateIP: "10.1.2.3",
	InstanceType: "t4g.small", ImageID: "ami-0123456789abcdef0", PendingTime: time.Date(2026, 11, 20, 8, 30, 0, 0, time.UTC),
}

// stored reads the signature and the certificate of testdata.
func stored(t testing.TB) ([]byte, identity.Certificates) {
	t.Helper()
	signature, err := os.ReadFile("testdata/rsa2048")
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile("testdata/ap-northeast-1.pem")
	if err != nil {
		t.Fatal(err)
	}
	return signature, pinned(t, map[string][]byte{region: pem})
}

// pinned certificates, read as an operator's are.
func pinned(t testing.TB, files map[string][]byte) identity.Certificates {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(dir+"/"+name+".pem", content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	certificates, err := identity.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return certificates
}

// However a host carries it, what IMDS serves is read.
func TestGenuine(t *testing.T) {
	signature, certificates := stored(t)
	oneLine := bytes.ReplaceAll(signature, []byte("\n"), nil)
	for name, carried := range map[string][]byte{
		"as IMDS serves it":   signature,
		"with a line break":   append(bytes.Clone(signature), '\n'),
		"in one line":         oneLine,
		"with Windows' lines": bytes.ReplaceAll(signature, []byte("\n"), []byte("\r\n")),
		"with PEM lines":      []byte("-----BEGIN PKCS7-----\n" + string(signature) + "\n-----END PKCS7-----\n"),
		"PEM around one line": []byte("-----BEGIN PKCS7-----\n" + string(oneLine) + "\n-----END PKCS7-----"),
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			document, err := identity.Verify(carried, certificates)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(document).To(Equal(wanted))
		})
	}
}

func TestMalformed(t *testing.T) {
	signature, certificates := stored(t)
	ber, err := base64.StdEncoding.DecodeString(string(signature))
	if err != nil {
		t.Fatal(err)
	}
	encode := func(message ...byte) []byte { return []byte(base64.StdEncoding.EncodeToString(message)) }
	block := "-----BEGIN PKCS7-----\n" + string(signature) + "\n-----END PKCS7-----\n"
	for name, test := range map[string]struct {
		signature []byte
		says      string
	}{
		"nothing":                   {nil, "no message in BER"},
		"spaces":                    {[]byte(" \n"), "no message in BER"},
		"no base64":                 {[]byte("{}"), "no base64"},
		"the plain document":        {[]byte(`{"region": "ap-northeast-1"}`), "no base64"},
		"base64 and more":           {append(bytes.Clone(signature), " AAAA"...), "no base64"},
		"too long":                  {bytes.Repeat([]byte("A"), 16<<10+4), "longer than 16384 bytes"},
		"data after the message":    {encode(append(bytes.Clone(ber), 0)...), "1 bytes follow the message"},
		"a second message":          {encode(append(bytes.Clone(ber), ber...)...), "follow the message"},
		"cut off":                   {encode(ber[:len(ber)-3]...), "no message in BER"},
		"cut in the middle":         {encode(ber[:len(ber)/2]...), "no message in BER"},
		"another kind of message":   {encode(0x30, 0x0b, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01), "no PKCS#7 message"},
		"a length beyond the end":   {encode(0x30, 0x84, 0x7f, 0xff, 0xff, 0xff), "no message in BER"},
		"a long tag":                {encode(0x3f, 0xff, 0x01, 0x00), "no message in BER"},
		"endless nesting":           {encode(bytes.Repeat([]byte{0x30, 0x80}, 6000)...), "nests deeper than 32"},
		"an unfinished PEM block":   {[]byte("-----BEGIN PKCS7-----\n" + string(signature)), "PEM block"},
		"a PEM block of other kind": {[]byte(strings.ReplaceAll(block, "PKCS7", "CERTIFICATE")), "PEM block"},
		"two PEM blocks":            {[]byte(block + block), "PEM block"},
		"a PEM block and more":      {[]byte(block + "more"), "PEM block"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			document, err := identity.Verify(test.signature, certificates)
			g.Expect(err).To(MatchError(identity.ErrMalformed))
			g.Expect(err).To(MatchError(ContainSubstring(test.says)))
			g.Expect(document).To(BeZero())
		})
	}
}

// What a region signs is believed only if it is wholly a document of one instance of that region.
func TestShape(t *testing.T) {
	cloud := awstest.New()
	defer cloud.Close()
	certificates := pinned(t, map[string][]byte{region: cloud.IdentityCertificate(region)})
	genuine := map[string]any{
		"accountId": "123456789012", "region": region, "availabilityZone": "ap-northeast-1a", "instanceId": "i-0123456789abcdef0",
		"privateIp": "10.1.2.3", "instanceType": "t4g.small", "imageId": "ami-0123456789abcdef0", "pendingTime": "2026-11-20T08:30:00Z",
	}
	verify := func(g *WithT, content []byte) (identity.Document, error) {
		signature, err := cloud.SignIdentity(region, content)
		g.Expect(err).NotTo(HaveOccurred())
		return identity.Verify(signature, certificates)
	}
	with := func(field string, value any) []byte {
		changed := map[string]any{}
		for key, was := range genuine {
			changed[key] = was
		}
		changed[field] = value
		if value == nil {
			delete(changed, field)
		}
		content, err := json.Marshal(changed)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	g := NewWithT(t)
	g.Expect(verify(g, with("version", "2017-09-30"))).To(Equal(wanted), "the basis of what follows, with a field that nobody knows")

	for field, bad := range map[string][]any{
		"accountId":        {nil, "", "12345678901", "1234567890123", "12345678901x", 123456789012},
		"region":           {nil, "", "Tokyo", "../us-east-1", "ap-northeast-1\n", []string{region}, 1},
		"availabilityZone": {nil, "", "us-east-1a", "ap-northeast-1a/../b", false},
		"instanceId":       {nil, "", "i-", "i-0123456", "i-0123456789abcdef01", "i-0123456789ABCDEF0", "i-0123456789abcdef0\n", map[string]any{}},
		"privateIp":        {nil, "", "10.1.2", "10.1.2.3.4", "10.1.2.3/32", "fe80::1%eth0", "::1", 167838211},
		"instanceType":     {nil, "", "t4g", "t4g.small\n", "T4G.small", 4},
		"imageId":          {nil, "", "ami-", "emi-0123456789abcdef0", 7},
		"pendingTime":      {nil, "", "yesterday", "2026-11-20", "0001-01-01T00:00:00Z", 1795163400},
	} {
		for _, value := range bad {
			t.Run(field, func(t *testing.T) {
				g := NewWithT(t)
				document, err := verify(g, with(field, value))
				g.Expect(err).To(MatchError(identity.ErrMalformed), "%v", value)
				g.Expect(document).To(BeZero())
			})
		}
	}
	for name, content := range map[string]string{
		"no JSON": "hello", "an array": "[]", "nothing": "null", "two documents": string(with("x", "y")) + "{}", "cut off": `{"region": "ap-northeast-1"`,
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			_, err := verify(g, []byte(content))
			g.Expect(err).To(MatchError(identity.ErrMalformed))
		})
	}
}

// FuzzVerify: whatever is sent, nothing is believed but the one document that was signed.
func FuzzVerify(f *testing.F) {
	signature, certificates := stored(f)
	ber, err := base64.StdEncoding.DecodeString(string(signature))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ber)
	f.Add(signature)
	f.Add([]byte("-----BEGIN PKCS7-----\n" + string(signature) + "\n-----END PKCS7-----\n"))
	f.Add([]byte{0x30, 0x80, 0, 0})
	f.Fuzz(func(t *testing.T, input []byte) {
		for _, signature := range [][]byte{input, []byte(base64.StdEncoding.EncodeToString(input))} {
			switch document, err := identity.Verify(signature, certificates); {
			case err == nil && document != wanted:
				t.Errorf("it believed %+v", document)
			case err != nil && document != identity.Document{}:
				t.Errorf("it refused %v with %+v", err, document)
			}
		}
	})
}
