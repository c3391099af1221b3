// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package gitsource

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/depot"
)

const (
	// maxListed bounds how many commits or references are listed at once.
	maxListed = 1000
	// listLimit bounds how long that may take.
	listLimit = 20 * time.Second
	// maxText bounds a subject or a name.
	maxText = 250
	// commitFields are separated by a byte that git leaves out of none of them, and that is taken out below.
	commitFields = "%x1f%H%x1f%cI%x1f%an%x1f%s%x1e"
)

// Commits lists commits of a mirror.
func (m *Mirrors) Commits(ctx context.Context, r depot.CommitRange) ([]depot.Commit, error) {
	ctx, cancel := context.WithTimeout(ctx, listLimit)
	defer cancel()
	path := m.path(r.Service, r.URL)
	args := []string{"log", "--format=" + commitFields, fmt.Sprintf("--max-count=%d", bounded(r.Limit)), r.To}
	needed := []string{r.To}
	if r.From != "" {
		needed, args = append(needed, r.From), append(args, "^"+r.From)
	}
	for _, commit := range needed {
		if !IsCommit(commit) {
			return nil, fmt.Errorf("%w: %q is no full commit id", ErrRefused, commit)
		}
		if _, err := os.Stat(path); err != nil || !m.knows(ctx, path, commit) {
			return nil, fmt.Errorf("%w: the mirror does not hold commit %s", ErrRevisionNotFound, commit)
		}
	}
	out := head{limit: maxStdout}
	if err := m.git(ctx, path, "", depot.GitCredentials{}, &out, append(args, "--")...); err != nil {
		return nil, err
	}
	var commits []depot.Commit
	for line := range strings.SplitSeq(out.String(), "\x1e") {
		if fields := strings.Split(strings.TrimSpace(line), "\x1f"); len(fields) >= 5 {
			commits = append(commits, commitOf(fields[1:]))
		}
	}
	return commits, nil
}

// knows says whether the mirror has a commit, be it without its files.
func (m *Mirrors) knows(ctx context.Context, path, commit string) bool {
	return m.git(ctx, path, "", depot.GitCredentials{}, &head{limit: maxText}, "cat-file", "-e", commit+"^{commit}") == nil
}

// Refs lists branches and tags of a mirror, those changed last first.
func (m *Mirrors) Refs(ctx context.Context, r depot.RefsRequest) ([]depot.Ref, error) {
	ctx, cancel := context.WithTimeout(ctx, listLimit)
	defer cancel()
	path := m.path(r.Service, r.URL)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	const format = "%(refname)%1f%(objectname)%1f%(committerdate:iso-strict)%1f%(authorname)%1f%(contents:subject)" +
		"%1f%(*objectname)%1f%(*committerdate:iso-strict)%1f%(*authorname)%1f%(*contents:subject)%1e"
	out := head{limit: maxStdout}
	err := m.git(ctx, path, "", depot.GitCredentials{}, &out, "for-each-ref", "--sort=-creatordate", "--format="+format, mirroredHeads, mirroredTags)
	if err != nil {
		return nil, err
	}
	search := strings.ToLower(r.Search)
	var refs []depot.Ref
	for line := range strings.SplitSeq(out.String(), "\x1e") {
		fields := strings.Split(strings.TrimSpace(line), "\x1f")
		if len(fields) < 9 || len(refs) >= bounded(r.Limit) {
			continue
		}
		name := "refs/" + strings.TrimPrefix(fields[0], mirrored)
		if CheckRevision(strings.TrimPrefix(strings.TrimPrefix(name, "refs/heads/"), "refs/tags/")) != nil || !strings.Contains(strings.ToLower(name), search) {
			continue
		}
		ref := depot.Ref{Name: name, Commit: commitOf(fields[1:5])}
		if fields[5] != "" { // an annotated tag leads to a commit
			ref.Commit = commitOf(fields[5:9])
		}
		if IsCommit(ref.Commit.ID) {
			refs = append(refs, ref)
		}
	}
	return refs, nil
}

const (
	// mirrored is where a mirror keeps what the repository's own refs/ had.
	mirrored      = "refs/slipway/remote/"
	mirroredHeads = mirrored + "heads/"
	mirroredTags  = mirrored + "tags/"
	// followLimit bounds how long the other branches and tags may take.
	followLimit = 30 * time.Second
)

// follow brings the mirror's branches and tags up to date, so that people can choose among them. Without it they see old ones,
// so that its trouble is nobody's.
func (m *Mirrors) follow(ctx context.Context, path string, r depot.MirrorRequest) {
	ctx, cancel := context.WithTimeout(ctx, followLimit)
	defer cancel()
	_ = m.git(ctx, path, r.URL, r.Credentials, &head{limit: maxText}, "fetch", "--no-tags", "--no-write-fetch-head", "--force", "--prune", "--quiet",
		"--", r.URL, "+refs/heads/*:"+mirroredHeads+"*", "+refs/tags/*:"+mirroredTags+"*")
}

func bounded(n int) int { return max(1, min(n, maxListed)) }

// commitOf reads id, time, author and subject.
func commitOf(fields []string) depot.Commit {
	at, _ := time.Parse(time.RFC3339, fields[1])
	plain := func(text string) string { return conditions.Shorten(conditions.OneLine(text), maxText) }
	return depot.Commit{ID: fields[0], Time: at, Author: plain(fields[2]), Subject: plain(fields[3])}
}
