// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package gitsource

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/internal/depot"
)

// NewResolver returns a Resolver that asks repositories with git ls-remote.
func NewResolver(o Options) Resolver {
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	return &resolver{o}
}

type resolver struct{ Options }

// Resolve implements Resolver.
func (r *resolver) Resolve(ctx context.Context, url, revision string, c depot.GitCredentials) (Resolved, error) {
	if err := CheckURL(url, r.AllowFile); err != nil {
		return Resolved{}, err
	}
	if err := CheckRevision(revision); err != nil {
		return Resolved{}, err
	}
	if IsCommit(revision) {
		return Resolved{Commit: revision}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	var out head
	out.limit = maxStdout
	refs := []string{"refs/tags/" + revision, "refs/tags/" + revision + "^{}", "refs/heads/" + revision}
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
	// An annotated tag's commit is the peeled one; a tag wins over a branch of the same name.
	for i, ref := range []string{refs[1], refs[0], refs[2]} {
		if commit, ok := found[ref]; ok {
			return Resolved{Commit: commit, Ref: []string{refs[0], refs[0], refs[2]}[i]}, nil
		}
	}
	if abbreviated.MatchString(revision) {
		return Resolved{}, fmt.Errorf("%w: %s has no branch or tag %q; a commit is named by its full id of 40 digits", ErrRevisionNotFound, url, revision)
	}
	return Resolved{}, fmt.Errorf("%w: %s has no branch or tag %q; check the name, and that it was pushed", ErrRevisionNotFound, url, revision)
}

// parseLsRemote reads the lines "<id>\t<ref>" of git ls-remote.
func parseLsRemote(r io.Reader) (map[string]string, error) {
	found := map[string]string{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 4096)
	for lines.Scan() {
		id, ref, ok := strings.Cut(lines.Text(), "\t")
		if !ok || !IsCommit(id) || hasControl(ref) {
			return nil, errors.New("the repository's answer is no list of references")
		}
		found[ref] = id
	}
	return found, lines.Err()
}

// basic is the Authorization header's value for user name and password.
func basic(c depot.GitCredentials) string {
	user := c.Username
	if user == "" {
		user = "git"
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+c.Password))
}
