// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gitsource resolves revisions to commits and keeps bare mirrors of repositories.
package gitsource

import (
	"context"
	"errors"

	"github.com/slipway-dev/slipway/internal/depot"
)

// Errors that callers act on.
var (
	// ErrRevisionNotFound says that the repository answered and has no such branch, tag or commit.
	ErrRevisionNotFound = errors.New("revision not found")
	// ErrRefused says that the URL or its protocol is not allowed here.
	ErrRefused = errors.New("source refused")
	// ErrUnreachable says that the repository could not be read; trying again may help.
	ErrUnreachable = errors.New("repository unreachable")
)

// Resolved is what a revision was found to be.
type Resolved struct {
	// Commit is 40 (or 64) lower-case hex digits.
	Commit string
	// Ref is the full reference name, such as refs/tags/v1.4.2; empty if the revision was itself a commit.
	Ref string
}

// Resolver resolves revisions.
type Resolver interface {
	// Resolve asks the repository which commit a revision is. Order: a full commit id, then tags (peeled), then branches.
	Resolve(ctx context.Context, url, revision string, credentials depot.GitCredentials) (Resolved, error)
}
