// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package buildlog

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
)

const (
	// maxLine is how much of a line is looked at in one piece.
	maxLine = 64 << 10
	// minSecret is the shortest value that is taken for a secret: shorter ones would redact half of the log.
	minSecret = 4
	mask      = "***"
)

// patterns are secrets by their form: a URL's password, an Authorization header's value, well-known tokens.
var patterns = []struct {
	find    *regexp.Regexp
	replace []byte
}{
	{regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s:@]*:[^/\s@]+@`), []byte("${1}" + mask + "@")},
	{regexp.MustCompile(`(?i)(authorization:\s*)(basic|bearer|token)\s+\S+`), []byte("${1}${2} " + mask)},
	{regexp.MustCompile(`\b(ghp_|gho_|ghs_|github_pat_|glpat-|xox[abp]-|npm_)[A-Za-z0-9_-]{10,}`), []byte("${1}" + mask)},
	{regexp.MustCompile(`\bAKIA[0-9A-Z]{16}\b`), []byte(mask)},
}

// redactor hides secrets in a stream, also where they lie across two reads.
type redactor struct {
	in      *bufio.Reader
	secrets [][]byte
	longest int
	// held is the end of a long line, which may be the beginning of a secret.
	held []byte
	out  []byte
	err  error
}

// redact returns r without the given secrets and without what looks like one.
func redact(r io.Reader, secrets []string) io.Reader {
	red := &redactor{in: bufio.NewReaderSize(r, maxLine)}
	for _, secret := range secrets {
		for line := range strings.Lines(secret) { // a log is read by lines, and so is a secret of several
			if line = strings.TrimSpace(line); len(line) >= minSecret {
				red.secrets = append(red.secrets, []byte(line))
				red.longest = max(red.longest, len(line))
			}
		}
	}
	slices.SortFunc(red.secrets, func(a, b []byte) int { return len(b) - len(a) }) // a secret may hold another
	return red
}

// Read implements io.Reader.
func (r *redactor) Read(p []byte) (int, error) {
	for len(r.out) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.fill()
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

// fill reads the next line, or the next piece of a very long one.
func (r *redactor) fill() {
	piece, err := r.in.ReadSlice('\n')
	text := append(slices.Clone(r.held), piece...)
	r.held = nil
	if errors.Is(err, bufio.ErrBufferFull) {
		text = r.mask(text)
		hold := min(max(r.longest-1, 0), len(text))
		r.held = slices.Clone(text[len(text)-hold:])
		r.out = text[:len(text)-hold]
		return
	}
	r.err = err
	r.out = r.mask(text)
}

// mask hides secrets and bytes that do not belong into a text.
func (r *redactor) mask(text []byte) []byte {
	for _, secret := range r.secrets {
		text = bytes.ReplaceAll(text, secret, []byte(mask))
	}
	for _, p := range patterns {
		if p.find.Match(text) {
			text = p.find.ReplaceAll(text, p.replace)
		}
	}
	return bytes.ReplaceAll(text, []byte{0}, nil)
}
