// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package buildpod

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// archive is a tar stream of headers, each file with the content "content".
func archive(headers ...tar.Header) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len("content"))
		}
		if w.WriteHeader(&h) == nil && h.Typeflag == tar.TypeReg {
			_, _ = w.Write([]byte("content"))
		}
	}
	_ = w.Close()
	return out.Bytes()
}

// FuzzUnpack holds that nothing gets out of the directory, whatever a stream says: what lies beside it is as it was.
func FuzzUnpack(f *testing.F) {
	file := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644} }
	link := func(name, target string) tar.Header {
		return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}
	}
	for _, seed := range [][]byte{
		nil,
		archive(file("a"), tar.Header{Typeflag: tar.TypeDir, Name: "d/", Mode: 0o755}, file("d/b"), link("l", "a")),
		archive(file("../victim")), archive(file("/victim")), archive(file("d/../../victim")),
		archive(link("out", ".."), file("out/victim")), archive(link("out", "../victim"), file("out")),
		archive(link("up", "../../.."), link("up2", "up/.."), file("up2/victim")),
		archive(tar.Header{Typeflag: tar.TypeLink, Name: "hard", Linkname: "../victim"}),
		archive(tar.Header{Typeflag: tar.TypeChar, Name: "dev", Devmajor: 1, Devminor: 3}), archive(tar.Header{Typeflag: tar.TypeFifo, Name: "pipe"}),
		archive(tar.Header{Typeflag: tar.TypeReg, Name: "suid", Mode: 0o6755}), archive(file("a"), file("a/b")), archive(file(".")), archive(file("")),
		archive(file("a"))[:600],
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		if len(stream) > 1<<20 {
			t.Skip("large")
		}
		around := t.TempDir()
		victim, dir := filepath.Join(around, "victim"), filepath.Join(around, "in", "dir")
		old := time.Unix(1_500_000_000, 0)
		if err := os.WriteFile(victim, []byte("untouched"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(victim, old, old); err != nil {
			t.Fatal(err)
		}
		_, _ = unpack(bytes.NewReader(stream), dir)
		for _, beside := range []struct {
			dir  string
			want []string
		}{{around, []string{"in", "victim"}}, {filepath.Join(around, "in"), []string{"dir"}}} {
			entries, err := os.ReadDir(beside.dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range entries {
				if entry.Name() != beside.want[0] && entry.Name() != beside.want[len(beside.want)-1] {
					t.Fatalf("%s appeared in %s", entry.Name(), beside.dir)
				}
			}
		}
		content, err := os.ReadFile(victim)
		info, statErr := os.Stat(victim)
		if err != nil || statErr != nil || string(content) != "untouched" || !info.ModTime().Equal(old) || info.Mode() != 0o600 {
			t.Fatalf("the file beside it changed: %q %v %v", content, info, err)
		}
		_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.Type()&^(fs.ModeDir|fs.ModeSymlink) != 0 {
				t.Errorf("%s is a %s", path, entry.Type())
			}
			if info, err := os.Lstat(path); err == nil && info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
				t.Errorf("%s has mode %s", path, info.Mode())
			}
			return nil
		})
	})
}
