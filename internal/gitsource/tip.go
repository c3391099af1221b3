// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package gitsource

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"
	corev1 "k8s.io/api/core/v1"

	"github.com/slipway-dev/slipway/internal/depot"
)

// Wanted says which tip of a repository is looked for: a branch, or the highest version of the tags that match a pattern.
type Wanted struct {
	Branch string
	// TagPattern has one "*"; what stands for it is a version.
	TagPattern string
	// Prereleases counts them too.
	Prereleases bool
}

// Tips finds tips.
type Tips interface {
	// Tip asks the repository for the tip: ErrRevisionNotFound if there is none, otherwise as Resolver.Resolve.
	Tip(ctx context.Context, url string, wanted Wanted, credentials depot.GitCredentials) (Resolved, error)
}

// NewTips returns Tips that ask repositories with git ls-remote.
func NewTips(o Options) Tips { return NewResolver(o).(*resolver) }

// Tip implements Tips.
func (r *resolver) Tip(ctx context.Context, url string, wanted Wanted, c depot.GitCredentials) (Resolved, error) {
	if err := CheckURL(url, r.AllowFile); err != nil {
		return Resolved{}, err
	}
	// ls-remote takes patterns: a name is checked so that it stands for itself, and a tag's "*" for what it should.
	name := strings.Replace(wanted.TagPattern, "*", "x", 1)
	refs := []string{"refs/tags/" + wanted.TagPattern, "refs/tags/" + wanted.TagPattern + "^{}"}
	if wanted.TagPattern == "" {
		name, refs = wanted.Branch, []string{"refs/heads/" + wanted.Branch}
	}
	if err := CheckRevision(name); err != nil {
		return Resolved{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	var out head
	out.limit = maxStdout
	if err := r.git(ctx, "/", url, c, &out, append([]string{"ls-remote", "--", url}, refs...)...); err != nil {
		if errors.Is(err, ErrUnreachable) {
			return Resolved{}, err
		}
		return Resolved{}, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	found, err := parseLsRemote(&out)
	if err != nil {
		return Resolved{}, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if wanted.TagPattern != "" {
		return newest(url, wanted, found)
	}
	if commit, ok := found[refs[0]]; ok {
		return Resolved{Commit: commit, Ref: refs[0]}, nil
	}
	return Resolved{}, fmt.Errorf("%w: %s has no branch %q; check the name, and that it was not deleted", ErrRevisionNotFound, url, wanted.Branch)
}

// newest is the tag of the highest version. Of equal ones (build metadata does not order versions) it takes the last by name.
func newest(url string, wanted Wanted, found map[string]string) (Resolved, error) {
	var best *semver.Version
	var ref string
	for candidate := range found {
		version := Version(candidate, wanted.TagPattern)
		if version == nil || version.Prerelease() != "" && !wanted.Prereleases || CheckRevision(strings.TrimPrefix(candidate, "refs/tags/")) != nil {
			continue
		}
		if best == nil || version.GreaterThan(best) || version.Equal(best) && candidate > ref {
			best, ref = version, candidate
		}
	}
	if best == nil {
		return Resolved{}, fmt.Errorf("%w: %s has no tag %s with a version such as 1.4.2 in place of the *", ErrRevisionNotFound, url, wanted.TagPattern)
	}
	commit := found[ref]
	if peeled, ok := found[ref+"^{}"]; ok { // an annotated tag
		commit = peeled
	}
	return Resolved{Commit: commit, Ref: ref}, nil
}

// Version is the version in the full name of a tag that matches pattern; nil if it does not, or holds none.
func Version(ref, pattern string) *semver.Version {
	before, after, star := strings.Cut(pattern, "*")
	name, isTag := strings.CutPrefix(ref, "refs/tags/")
	if !star || !isTag || len(name) < len(before)+len(after) || !strings.HasPrefix(name, before) || !strings.HasSuffix(name, after) {
		return nil
	}
	text := name[len(before) : len(name)-len(after)]
	if text == "" || text[0] < '0' || text[0] > '9' { // a "v" belongs into the pattern
		return nil
	}
	version, err := semver.NewVersion(text)
	if err != nil {
		return nil
	}
	return version
}

// CredentialsFrom takes a repository's credentials out of the data of a Secret. ok is false if it has none.
func CredentialsFrom(data map[string][]byte) (c depot.GitCredentials, ok bool) {
	c = depot.GitCredentials{
		Username:   string(data[corev1.BasicAuthUsernameKey]),
		Password:   string(data[corev1.BasicAuthPasswordKey]),
		PrivateKey: data[corev1.SSHAuthPrivateKey],
		KnownHosts: data["known_hosts"],
	}
	return c, c.Password != "" || len(c.PrivateKey) > 0
}
