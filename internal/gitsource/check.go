// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package gitsource

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// commitID is a full commit id: SHA-1 or SHA-256.
var commitID = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

// abbreviated looks like the beginning of a commit id.
var abbreviated = regexp.MustCompile(`^[0-9a-f]{7,39}$`)

// IsCommit says whether text is a full commit id.
func IsCommit(text string) bool { return commitID.MatchString(text) }

// CheckURL refuses a URL that is not plainly a repository. What admission lets through is checked here again: a record
// may be older than a rule.
func CheckURL(raw string, allowFile bool) error {
	if hasControl(raw) || strings.HasPrefix(raw, "-") {
		return fmt.Errorf("%w: the URL holds control characters or begins with '-'", ErrRefused)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return fmt.Errorf("%w: the URL cannot be read", ErrRefused)
	}
	if _, hasPassword := u.User.Password(); hasPassword || u.Scheme == "https" && u.User != nil {
		return fmt.Errorf("%w: put credentials into a Secret and name it in source.git.secretRef, not into the URL", ErrRefused)
	}
	switch {
	case u.Scheme == "https" || u.Scheme == "ssh":
		if u.Hostname() == "" || strings.HasPrefix(u.Hostname(), "-") || strings.HasPrefix(u.User.Username(), "-") {
			return fmt.Errorf("%w: %s names no usable host", ErrRefused, raw)
		}
	case u.Scheme == "file" && !allowFile:
		return fmt.Errorf("%w: file:// sources are not allowed here; the operator allows them with --allow-file-sources", ErrRefused)
	case u.Scheme == "file":
	default:
		return fmt.Errorf("%w: %q is not https://, ssh:// or file://", ErrRefused, u.Scheme)
	}
	if u.Opaque != "" || strings.Contains(u.Path, "/-") && u.Scheme == "file" {
		return fmt.Errorf("%w: %s is not host and path", ErrRefused, raw)
	}
	return nil
}

// CheckRevision refuses what cannot be a reference name or a commit id.
func CheckRevision(revision string) error {
	bad := revision == "" || len(revision) > 200 || hasControl(revision) || strings.ContainsAny(revision, " ~^:?*[\\") ||
		strings.HasPrefix(revision, "-") || strings.HasPrefix(revision, "/") || strings.HasPrefix(revision, ".") ||
		strings.Contains(revision, "..") || strings.Contains(revision, "@{") || strings.HasSuffix(revision, "/")
	if bad {
		return fmt.Errorf("%w: %q is not a branch, a tag or a commit", ErrRefused, revision)
	}
	return nil
}

// CheckPath refuses a path that is not plainly below the repository's root.
func CheckPath(p string) error {
	if p == "" || p == "." {
		return nil
	}
	if hasControl(p) || strings.HasPrefix(p, "-") || path.IsAbs(p) || path.Clean(p) == ".." || strings.HasPrefix(path.Clean(p), "../") || strings.Contains(p, ":") {
		return fmt.Errorf("%w: source.path %q is not below the repository's root", ErrRefused, p)
	}
	return nil
}

func hasControl(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r == 0x7f })
}
