// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
)

// tree makes files from a map of path to content; a path that ends in a slash is a directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	g, dir := NewWithT(t), t.TempDir()
	for name, content := range files {
		full := filepath.Join(dir, name)
		g.Expect(os.MkdirAll(filepath.Dir(full), 0o700)).To(Succeed())
		if name[len(name)-1] == '/' {
			g.Expect(os.MkdirAll(full, 0o700)).To(Succeed())
			continue
		}
		g.Expect(os.WriteFile(full, []byte(content), 0o600)).To(Succeed())
	}
	return dir
}

func TestScanEncodeParse(t *testing.T) {
	g := NewWithT(t)
	dir := tree(t, map[string]string{"index.php": "<?php", "app/a b": "x", "app/ü": "y", "empty/": "", "-rf": "z"})
	g.Expect(os.Symlink("../index.php", filepath.Join(dir, "app/link"))).To(Succeed())
	g.Expect(os.Chmod(filepath.Join(dir, "index.php"), 0o700)).To(Succeed())
	m, err := Scan(dir)
	g.Expect(err).NotTo(HaveOccurred())
	encoded := m.Encode()
	g.Expect(string(encoded)).To(HavePrefix("slipway-manifest 1\nd\t0755\t\t\t.\n"))
	g.Expect(string(encoded)).To(ContainSubstring("f\t0755\t5\t"))
	g.Expect(string(encoded)).To(ContainSubstring("l\t\t\t../index.php\tapp/link\n"))
	parsed, err := Parse(bytes.NewReader(encoded))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(parsed.Digest()).To(Equal(m.Digest()))
	count, size := m.Files()
	g.Expect([]int64{count, size}).To(Equal([]int64{4, 8}))
	g.Expect(Normalize(dir, m)).To(Succeed())
	again, err := Scan(dir)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(again.Digest()).To(Equal(m.Digest()), "modes of a build's umask do not change the digest")
	info, err := os.Stat(dir)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info.Mode().Perm()).To(Equal(os.FileMode(0o755)), "the top is readable too")
}

func TestScanRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(dir string) error
		says  string
	}{
		"a link out of the tree":   {func(d string) error { return os.Symlink("../../etc/passwd", filepath.Join(d, "x")) }, "leads out of the tree"},
		"an absolute link":         {func(d string) error { return os.Symlink("/etc/passwd", filepath.Join(d, "x")) }, "leads out of the tree"},
		"a link through a link":    {func(d string) error { return os.Symlink("a/../../x", filepath.Join(d, "x")) }, "behind a name"},
		"a pipe":                   {func(d string) error { return syscall.Mkfifo(filepath.Join(d, "x"), 0o600) }, "neither file"},
		"a set-user-id file":       {func(d string) error { return os.Chmod(filepath.Join(d, "a"), 0o755|os.ModeSetuid) }, "set-user-id"},
		"a newline in a name":      {func(d string) error { return os.WriteFile(filepath.Join(d, "a\nb"), nil, 0o600) }, "control character"},
		"an escape code in a name": {func(d string) error { return os.Mkdir(filepath.Join(d, "a\x1b[31m"), 0o700) }, "control character"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			dir := tree(t, map[string]string{"a": "x"})
			g.Expect(test.spoil(dir)).To(Succeed())
			_, err := Scan(dir)
			g.Expect(err).To(MatchError(ErrInvalid))
			g.Expect(err.Error()).To(ContainSubstring(test.says))
		})
	}
}

func TestHex(t *testing.T) {
	g := NewWithT(t)
	for _, bad := range []string{"", "sha256:", "sha256:..", "md5:aa", "sha256:" + string(bytes.Repeat([]byte("G"), 64)), "sha256:" + string(bytes.Repeat([]byte("a"), 63)) + "/"} {
		_, err := Hex(bad)
		g.Expect(err).To(MatchError(ErrInvalid), bad)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("slipway-manifest 1\nd\t0755\t\t\t.\n"))
	f.Add([]byte("slipway-manifest 1\nd\t0755\t\t\t.\nl\t\t\t../x\ta\n"))
	f.Add([]byte("slipway-manifest 1\nd\t0755\t\t\t.\nf\t0644\t0\te3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\ta\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(bytes.NewReader(data))
		if err != nil {
			return
		}
		again, err := Parse(bytes.NewReader(m.Encode()))
		if err != nil || again.Digest() != m.Digest() {
			t.Fatalf("a parsed manifest does not survive encoding: %v", err)
		}
	})
}
