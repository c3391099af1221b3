// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package gitsource

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
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
	// commitFields each end with the one byte that nobody can write into a commit.
	commitFields, commitSize = "%H%x00%cI%x00%an%x00%s%x00", 4
	// refFields end so too; those of the second half are of the commit that an annotated tag leads to.
	refFields = "%(refname)%00%(objectname)%00%(committerdate:iso-strict)%00%(authorname)%00%(contents:subject)" +
		"%00%(*objectname)%00%(*committerdate:iso-strict)%00%(*authorname)%00%(*contents:subject)%00"
	refSize = 9
)

// records splits what git printed into records of so many fields. What is no whole record is an error: a commit that is left out is
// one that nobody sees.
func records(out string, size int) ([][]string, error) {
	fields := strings.Split(out, "\x00")
	fields = fields[:len(fields)-1] // behind the last one
	if len(fields)%size != 0 {
		return nil, fmt.Errorf("git printed %d fields, which is no multiple of %d", len(fields), size)
	}
	var list [][]string
	for record := range slices.Chunk(fields, size) {
		record[0] = strings.TrimPrefix(record[0], "\n") // which git prints between two
		list = append(list, record)
	}
	return list, nil
}

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
	list, err := records(out.String(), commitSize)
	if err != nil {
		return nil, fmt.Errorf("list the commits: %w", err)
	}
	var commits []depot.Commit
	for _, fields := range list {
		commits = append(commits, commitOf(fields))
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
	out := head{limit: maxStdout}
	err := m.git(ctx, path, "", depot.GitCredentials{}, &out, "for-each-ref", "--sort=-creatordate", "--format="+refFields, mirroredHeads, mirroredTags)
	if err != nil {
		return nil, err
	}
	list, err := records(out.String(), refSize)
	if err != nil {
		return nil, fmt.Errorf("list the branches and tags: %w", err)
	}
	search := strings.ToLower(r.Search)
	var refs []depot.Ref
	for _, fields := range list {
		if len(refs) >= bounded(r.Limit) {
			break
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
