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
	// overlap is how much of a long line is held back, so that a token at its end is seen whole.
	overlap = 1 << 10
)

// A private key in PEM, line by line; a line may carry a prefix such as a time stamp only where the key begins or ends.
var (
	keyBegin = regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----`)
	keyBody  = regexp.MustCompile(`^\s*([A-Za-z0-9+/=]*|(Proc-Type|DEK-Info): .*)\s*$`)
	keyEnd   = regexp.MustCompile(`-----END [A-Z0-9 ]*PRIVATE KEY-----`)
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
	// inKey is true between a private key's first and last line.
	inKey bool
	out   []byte
	err   error
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
	// NUL bytes go first: they may stand inside a secret, which would be whole again without them.
	text := append(slices.Clone(r.held), bytes.ReplaceAll(piece, []byte{0}, nil)...)
	r.held = nil
	if errors.Is(err, bufio.ErrBufferFull) {
		cut := r.cut(text)
		r.held = text[cut:]
		r.out = r.mask(slices.Clone(text[:cut]))
		return
	}
	r.err = err
	if text = r.hideKey(text); text != nil {
		r.out = r.mask(text)
	}
}

// cut is where a piece of a long line may be cut so that no secret lies across: what follows is held as it came.
func (r *redactor) cut(text []byte) int {
	cut := max(0, len(text)-max(r.longest-1, overlap))
	for moved := true; moved; {
		moved = false
		for _, secret := range r.secrets {
			from := max(0, cut-len(secret)+1)
			if at := bytes.Index(text[from:min(len(text), cut+len(secret)-1)], secret); at >= 0 && from+at < cut {
				cut, moved = from+at, true
			}
		}
		for _, p := range patterns {
			for _, found := range p.find.FindAllIndex(text, -1) {
				if found[0] < cut && cut < found[1] {
					cut, moved = found[0], true
				}
			}
		}
	}
	if len(text)-cut > 2*maxLine { // one word of that length is no token: memory stays bounded
		return len(text) - max(r.longest-1, overlap)
	}
	return cut
}

// hideKey drops the lines of a PEM private key, and nothing that does not look like one.
func (r *redactor) hideKey(line []byte) []byte {
	switch {
	case keyBegin.Match(line):
		r.inKey = true
		return []byte(mask + " a private key " + mask + "\n")
	case r.inKey && keyBody.Match(line):
		return nil
	case r.inKey:
		r.inKey = false
		if keyEnd.Match(line) {
			return nil
		}
	}
	return line
}

// mask hides secrets.
func (r *redactor) mask(text []byte) []byte {
	for _, secret := range r.secrets {
		text = bytes.ReplaceAll(text, secret, []byte(mask))
	}
	for _, p := range patterns {
		if p.find.Match(text) {
			text = p.find.ReplaceAll(text, p.replace)
		}
	}
	return text
}
