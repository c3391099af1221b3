// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package buildpod

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/crypto/ssh"
)

// Options of fetch and publish.
type Options struct {
	// Dir is the source's root, Credential where the build's credential is mounted.
	Dir, Credential string
	// Output is the directory below Dir that becomes the artifact, Exclude what of it is left out.
	Output  string
	Exclude []string
	// Cache are directories below Dir that are kept between builds, in the order in which the build's grant lists them.
	Cache []string
	// Self is this program, for rsync to call back as its remote shell.
	Self string
	// Log takes progress for people.
	Log io.Writer
}

// Fetch brings the commit's files, and the caches that earlier builds left, into Dir.
func Fetch(ctx context.Context, o Options) error {
	err := patiently(ctx, o.Log, func() error {
		return with(ctx, o.Credential, func(conn *ssh.Client) error {
			if err := empty(o.Dir); err != nil {
				return err
			}
			files, err := receiveTree(ctx, conn, "source", o.Dir)
			if err == nil {
				_, _ = fmt.Fprintf(o.Log, "fetched %d files\n", files)
			}
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("fetch the source: %w", err)
	}
	return with(ctx, o.Credential, func(conn *ssh.Client) error {
		restoreCaches(ctx, conn, o)
		return nil
	})
}

// empty removes what a fetch that broke off has left.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("look into %s: %w", dir, err)
	}
	for _, entry := range entries {
		if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			return fmt.Errorf("empty %s: %w", dir, err)
		}
	}
	return nil
}

// restoreCaches brings what earlier builds kept. A cache that cannot be had makes the build slower, not wrong.
func restoreCaches(ctx context.Context, conn *ssh.Client, o Options) {
	for i, name := range o.Cache {
		dir := filepath.Join(o.Dir, filepath.FromSlash(name))
		if _, err := os.Lstat(dir); err == nil {
			continue // the repository has it: its own files come first
		}
		files, err := receiveTree(ctx, conn, fmt.Sprintf("cache-get %d", i), dir)
		if err != nil {
			_, _ = fmt.Fprintf(o.Log, "no cache for %s: %v\n", name, err)
			_ = os.RemoveAll(dir)
			continue
		}
		_, _ = fmt.Fprintf(o.Log, "restored %d cached files of %s\n", files, name)
	}
}

// receiveTree unpacks what a command sends below dir. Nothing gets out of dir, whatever the stream says.
func receiveTree(ctx context.Context, conn *ssh.Client, command, dir string) (files int, err error) {
	reader, writer := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, conn, command, nil, writer)
		_ = writer.CloseWithError(err)
		done <- err
	}()
	files, err = unpack(reader, dir)
	_ = reader.CloseWithError(err)
	if failed := <-done; failed != nil {
		return files, failed
	}
	return files, err
}

// unpack reads a tar stream into dir. An empty stream is an empty tree.
func unpack(r io.Reader, dir string) (files int, err error) {
	var root *os.Root
	defer func() {
		if root != nil {
			_ = root.Close()
		}
	}()
	for archive := tar.NewReader(r); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, r)
			return files, err
		}
		if err != nil {
			return files, fmt.Errorf("read the archive: %w", err)
		}
		if root == nil {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return files, err
			}
			if root, err = os.OpenRoot(dir); err != nil {
				return files, err
			}
		}
		if err := unpackOne(root, header, archive); err != nil {
			return files, fmt.Errorf("unpack %q: %w", header.Name, err)
		}
		if header.Typeflag == tar.TypeReg {
			files++
		}
	}
}

func unpackOne(root *os.Root, header *tar.Header, content io.Reader) error {
	name := path.Clean(header.Name)
	switch header.Typeflag {
	case tar.TypeXGlobalHeader:
		return nil
	case tar.TypeDir:
		return root.MkdirAll(name, 0o755)
	case tar.TypeSymlink:
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		return root.Symlink(header.Linkname, name)
	case tar.TypeReg:
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if header.Mode&0o111 != 0 {
			mode = 0o755
		}
		f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, content)
		return errors.Join(err, f.Chmod(mode), f.Close(), root.Chtimes(name, header.ModTime, header.ModTime))
	}
	return fmt.Errorf("type %q is not allowed", header.Typeflag)
}
