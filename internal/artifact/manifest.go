// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package artifact says what an artifact is: a tree, its manifest, and the digest that names both.
package artifact

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
)

// ErrInvalid says that a tree or a manifest breaks a rule for artifacts.
var ErrInvalid = errors.New("not a valid artifact")

// header is the manifest's first line.
const header = "slipway-manifest 1"

// Kind of an entry.
type Kind byte

const (
	// Dir is a directory; its mode is always 0755.
	Dir Kind = 'd'
	// File is a regular file of mode 0644 or 0755.
	File Kind = 'f'
	// Link is a symbolic link to a place within the tree.
	Link Kind = 'l'
)

// Entry is one path of a manifest.
type Entry struct {
	// Path relative to the tree's top, with slashes; "." is the top itself.
	Path string
	Kind Kind
	// Executable files have mode 0755, others 0644.
	Executable bool
	// Size in bytes and SHA256 in hex, of a File.
	Size   int64
	SHA256 string
	// Target of a Link.
	Target string
}

// Manifest lists all paths of a tree, sorted bytewise; the top comes first.
type Manifest []Entry

// Encode writes the manifest in its only form: one entry a line, tab separated. Names hold no control bytes, so nothing
// is quoted and a shell can read it.
//
//	slipway-manifest 1
//	d	0755			path
//	f	0644	SIZE	SHA256	path
//	l			TARGET	path
func (m Manifest) Encode() []byte {
	var b bytes.Buffer
	b.WriteString(header + "\n")
	for _, e := range m {
		switch e.Kind {
		case Dir:
			fmt.Fprintf(&b, "d\t0755\t\t\t%s\n", e.Path)
		case File:
			fmt.Fprintf(&b, "f\t%s\t%d\t%s\t%s\n", e.mode(), e.Size, e.SHA256, e.Path)
		case Link:
			fmt.Fprintf(&b, "l\t\t\t%s\t%s\n", e.Target, e.Path)
		}
	}
	return b.Bytes()
}

func (e Entry) mode() string {
	if e.Executable {
		return "0755"
	}
	return "0644"
}

// Digest names the tree: "sha256:" and the sha256 of the encoded manifest in hex.
func (m Manifest) Digest() string {
	sum := sha256.Sum256(m.Encode())
	return prefix + hex.EncodeToString(sum[:])
}

// Files counts the regular files and sums up their sizes.
func (m Manifest) Files() (count, bytes int64) {
	for _, e := range m {
		if e.Kind == File {
			count++
			bytes += e.Size
		}
	}
	return count, bytes
}

// Parse reads an encoded manifest and checks all its rules: what Parse accepts encodes to the same bytes again.
func Parse(r io.Reader) (Manifest, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), 64<<10)
	if !lines.Scan() || lines.Text() != header {
		return nil, fmt.Errorf("%w: the manifest does not begin with %q", ErrInvalid, header)
	}
	var m Manifest
	for n := 2; lines.Scan(); n++ {
		e, err := parseLine(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrInvalid, n, err)
		}
		m = append(m, e)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return m, m.Check()
}

func parseLine(line string) (Entry, error) {
	fields := strings.Split(line, "\t")
	if len(fields) != 5 || len(fields[0]) != 1 {
		return Entry{}, errors.New("it has not five fields")
	}
	e := Entry{Kind: Kind(fields[0][0]), Path: fields[4]}
	switch {
	case e.Kind == Dir && fields[1] == "0755" && fields[2] == "" && fields[3] == "":
	case e.Kind == Link && fields[1] == "" && fields[2] == "":
		e.Target = fields[3]
	case e.Kind == File && (fields[1] == "0644" || fields[1] == "0755"):
		size, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil || size < 0 || strconv.FormatInt(size, 10) != fields[2] {
			return Entry{}, fmt.Errorf("%q is no size", fields[2])
		}
		if _, err := hex.DecodeString(fields[3]); err != nil || len(fields[3]) != 64 || strings.ToLower(fields[3]) != fields[3] {
			return Entry{}, fmt.Errorf("%q is no sha256", fields[3])
		}
		e.Executable, e.Size, e.SHA256 = fields[1] == "0755", size, fields[3]
	default:
		return Entry{}, errors.New("type, mode and fields do not fit together")
	}
	return e, nil
}

// Check says whether the entries obey the rules: sorted, unique, plain relative names, each below a directory of the
// manifest, and no link that leaves the tree.
func (m Manifest) Check() error {
	if len(m) == 0 || m[0].Path != "." || m[0].Kind != Dir {
		return fmt.Errorf("%w: the first entry is not the top directory", ErrInvalid)
	}
	kinds := make(map[string]Kind, len(m))
	for i, e := range m {
		if i > 0 {
			if err := CheckName(e.Path); err != nil {
				return err
			}
			if i > 1 && m[i-1].Path >= e.Path {
				return fmt.Errorf("%w: %q is out of order", ErrInvalid, e.Path)
			}
			if kinds[path.Dir(e.Path)] != Dir {
				return fmt.Errorf("%w: %q lies in no directory of the manifest", ErrInvalid, e.Path)
			}
		}
		if e.Kind == Link {
			if err := CheckLink(e.Path, e.Target); err != nil {
				return err
			}
		}
		kinds[e.Path] = e.Kind
	}
	return nil
}

// CheckName refuses a path that is not plainly below the top, or that a shell could not be trusted with.
func CheckName(name string) error {
	switch {
	case name == "" || path.IsAbs(name) || path.Clean(name) != name || name == "." || name == ".." || strings.HasPrefix(name, "../"):
		return fmt.Errorf("%w: %q is no plain relative path", ErrInvalid, name)
	case hasControl(name):
		return fmt.Errorf("%w: the name %q holds a control character", ErrInvalid, name)
	case len(name) > 4096:
		return fmt.Errorf("%w: a path is longer than 4096 bytes: %.60q…", ErrInvalid, name)
	}
	return nil
}

// CheckLink refuses a symbolic link that leads out of the tree.
func CheckLink(name, target string) error {
	switch {
	case target == "" || hasControl(target) || len(target) > 4096:
		return fmt.Errorf("%w: the symbolic link %q has an unusable target", ErrInvalid, name)
	case path.IsAbs(target):
		return fmt.Errorf("%w: the symbolic link %q leads out of the tree, to %q", ErrInvalid, name, target)
	}
	// ".." may only lead: behind a name it could follow another link and then leave the tree.
	named := false
	for part := range strings.SplitSeq(target, "/") {
		if part == ".." && named {
			return fmt.Errorf("%w: the symbolic link %q has '..' behind a name in its target %q", ErrInvalid, name, target)
		}
		named = named || part != ".." && part != "." && part != ""
	}
	resolved := path.Join(path.Dir(name), target)
	if resolved == ".." || strings.HasPrefix(resolved, "../") {
		return fmt.Errorf("%w: the symbolic link %q leads out of the tree, to %q", ErrInvalid, name, target)
	}
	return nil
}

func hasControl(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r == 0x7f })
}

// sortEntries puts entries into the manifest's order.
func sortEntries(m Manifest) {
	slices.SortFunc(m, func(a, b Entry) int {
		switch {
		case a.Path == b.Path:
			return 0
		case a.Path == ".":
			return -1
		case b.Path == ".":
			return 1
		}
		return strings.Compare(a.Path, b.Path)
	})
}
