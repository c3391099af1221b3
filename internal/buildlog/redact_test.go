// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package buildlog

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	. "github.com/onsi/gomega"
)

func TestRedact(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"a secret":                           {"token is hunter22!\n", "token is ***!\n"},
		"a secret of two lines":              {"-----\nline-one\nline-two\n", "-----\n***\n***\n"},
		"a URL's password":                   {"git clone https://me:pw1@host/x\n", "git clone https://***@host/x\n"},
		"a header":                           {"> Authorization: Bearer abc.def\n", "> Authorization: Bearer ***\n"},
		"a well-known token":                 {"ghp_0123456789abcdef\n", "ghp_***\n"},
		"no secret":                          {"npm ci: added 3 packages\n", "npm ci: added 3 packages\n"},
		"no last newline":                    {"hunter22", "***"},
		"a NUL in a secret":                  {"x hun\x00ter22\n", "x ***\n"},
		"a private key":                      {"a\n-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----\nb\n", "a\n*** a private key ***\nb\n"},
		"half a private key":                 {"-----BEGIN PRIVATE KEY-----\nMIIB\nnpm ci: done\n", "*** a private key ***\nnpm ci: done\n"},
		"a token across pieces":              {strings.Repeat(".", maxLine-8) + " ghp_0123456789abcdefghij\n", strings.Repeat(".", maxLine-8) + " ghp_***\n"},
		"a secret in a secret across pieces": {strings.Repeat(".", maxLine-3) + "wxyzEFGHlong\n", strings.Repeat(".", maxLine-3) + "***\n"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := io.ReadAll(redact(strings.NewReader(test.in), []string{"hunter22", "line-one\nline-two", "abc", "wxyz", "wxyzEFGHlong"}))
			NewWithT(t).Expect(err).NotTo(HaveOccurred())
			NewWithT(t).Expect(string(out)).To(Equal(test.want))
		})
	}
}

func TestABrokenStreamKeepsWhatCame(t *testing.T) {
	g := NewWithT(t)
	out, err := io.ReadAll(redact(io.MultiReader(strings.NewReader("one\n"), iotest.ErrReader(io.ErrUnexpectedEOF)), nil))
	g.Expect(err).To(MatchError(io.ErrUnexpectedEOF))
	g.Expect(string(out)).To(Equal("one\n"))
}

func FuzzRedactAcrossReads(f *testing.F) {
	f.Add([]byte("x"), uint(3))
	f.Add(bytes.Repeat([]byte("y"), 1000), uint(70000))
	f.Fuzz(func(t *testing.T, noise []byte, at uint) {
		const secret = "canary-secret-0123456789"
		noise = bytes.ReplaceAll(noise, []byte("c"), nil)
		long := bytes.Repeat([]byte("."), int(at%200000))
		in := append(append(append([]byte{}, long...), secret...), noise...)
		out, err := io.ReadAll(redact(iotest.OneByteReader(bytes.NewReader(in)), []string{secret}))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(out, []byte(secret)) {
			t.Fatalf("the secret at %d is in the output", len(long))
		}
	})
}
