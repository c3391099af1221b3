// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package gitsource

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	pathpkg "path"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
	"k8s.io/utils/clock"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot"
)

// attributes neutralise what a repository's own .gitattributes would leave out of or write into an archive. A bare
// repository's info/attributes comes before all others (gitattributes).
const attributes = "* -export-ignore -export-subst\n"

// Mirrors keeps one bare mirror for each (Service, URL). Submodules and LFS are not followed.
type Mirrors struct {
	Options
	dir   string
	mu    sync.Mutex
	locks map[string]*mirrorLock
}

// NewMirrors keeps mirrors below dir.
func NewMirrors(dir string, o Options) *Mirrors {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return &Mirrors{Options: o, dir: dir, locks: map[string]*mirrorLock{}}
}

// path of the mirror of a Service's repository. The URL is part of its name only by a hash.
func (m *Mirrors) path(service v1alpha1.UID, url string) string {
	sum := sha256.Sum256([]byte(string(service) + "\n" + url))
	return filepath.Join(m.dir, hex.EncodeToString(sum[:16])+".git")
}

// Fetch makes a commit present in the mirror. Only what is missing is transferred. Credentials are used for this one
// fetch and stored nowhere.
func (m *Mirrors) Fetch(ctx context.Context, r depot.MirrorRequest) error {
	if err := CheckURL(r.URL, m.AllowFile); err != nil {
		return err
	}
	if !IsCommit(r.Commit) {
		return fmt.Errorf("%w: %q is no full commit id", ErrRefused, r.Commit)
	}
	path := m.path(r.Service, r.URL)
	release, err := m.lockOf(path).acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := m.init(ctx, path); err != nil {
		return m.explain(err)
	}
	if m.has(ctx, path, r.Commit) {
		return nil
	}
	var sources []string
	if r.Ref != "" && strings.HasPrefix(r.Ref, "refs/") && CheckRevision(r.Ref) == nil {
		sources = append(sources, r.Ref)
	}
	sources = append(sources, r.Commit, "refs/heads/*", "refs/tags/*") // the last two for servers that give no commit by its id
	var failed error
	for _, source := range sources {
		err := m.git(ctx, path, r.URL, r.Credentials, io.Discard, "fetch", "--no-tags", "--no-write-fetch-head", "--force", "--quiet",
			"--", r.URL, "+"+source+":"+keep(source, r.Commit))
		if err == nil && m.reached(ctx, path, r.Commit, keep(source, r.Commit)) {
			if err := m.pin(ctx, path, r.Commit); err != nil {
				return m.explain(err)
			}
			m.follow(ctx, path, r)
			return nil
		}
		if err != nil && (strings.HasSuffix(source, "/*") || ctx.Err() != nil || diskFull(err)) {
			failed = err // the others may fail: a reference may be gone, a server may give no commit by its id
			break
		}
	}
	if failed != nil {
		return errors.Join(m.explain(fmt.Errorf("%w: %w", ErrUnreachable, failed)), sweep(path))
	}
	return fmt.Errorf("%w: %s does not hold commit %s any more", ErrRevisionNotFound, r.URL, r.Commit)
}

// explain says what to do where git's own words are of no help.
func (m *Mirrors) explain(err error) error {
	if err != nil && diskFull(err) {
		return fmt.Errorf("%w: the depot's disk at %s has no room for the source: make the volume larger; the depot tries again", ErrUnreachable, m.dir)
	}
	return err
}

// diskFull says whether git ended for want of room. Git passes on the C library's words.
func diskFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || strings.Contains(err.Error(), "No space left on device") || strings.Contains(err.Error(), "Disk quota exceeded")
}

// keep is where a fetched source is put.
func keep(source, commit string) string {
	if source == commit {
		return "refs/slipway/commits/" + commit
	}
	return mirrored + strings.TrimPrefix(source, "refs/")
}

// reached says whether what was just fetched leads to a commit: git has then checked that all of its files are there.
func (m *Mirrors) reached(ctx context.Context, path, commit, kept string) bool {
	out := head{limit: maxStdout}
	err := m.git(ctx, path, "", depot.GitCredentials{}, &out, "for-each-ref", "--count=1", "--contains="+commit, "--format=%(refname)", strings.TrimSuffix(kept, "/*"))
	return err == nil && out.Len() > 0
}

// pin keeps a commit that a branch may leave behind.
func (m *Mirrors) pin(ctx context.Context, path, commit string) error {
	return m.git(ctx, path, "", depot.GitCredentials{}, io.Discard, "update-ref", "refs/slipway/commits/"+commit, commit)
}

// init makes the bare repository, or mends one that a crash left half made.
func (m *Mirrors) init(ctx context.Context, path string) error {
	if err := m.git(ctx, path, "", depot.GitCredentials{}, io.Discard, "rev-parse", "--git-dir"); err == nil {
		if err := sweep(path); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(path, "info", "attributes"), []byte(attributes), 0o600)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("make the mirror: %w", err)
	}
	if err := m.git(ctx, path, "", depot.GitCredentials{}, io.Discard, "init", "--bare", "--quiet", "."); err != nil {
		return fmt.Errorf("make the mirror: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(path, "info"), 0o700); err != nil {
		return fmt.Errorf("make the mirror: %w", err)
	}
	return os.WriteFile(filepath.Join(path, "info", "attributes"), []byte(attributes), 0o600)
}

// has says whether the mirror holds a commit with all its files. The commit's pin is what counts: git writes objects one
// by one, commits before files, and a fetch that was killed may have left the commit without its files.
func (m *Mirrors) has(ctx context.Context, path, commit string) bool {
	return m.git(ctx, path, "", depot.GitCredentials{}, io.Discard, "rev-parse", "--verify", "--quiet", "refs/slipway/commits/"+commit+"^{tree}") == nil
}

// Archive writes the files of a commit, or of one directory of it, as a tar stream.
func (m *Mirrors) Archive(ctx context.Context, service v1alpha1.UID, url, commit, path string, w io.Writer) error {
	if !IsCommit(commit) {
		return fmt.Errorf("%w: %q is no full commit id", ErrRefused, commit)
	}
	if err := CheckPath(path); err != nil {
		return err
	}
	mirror := m.path(service, url)
	if _, err := os.Stat(mirror); errors.Is(err, os.ErrNotExist) || err == nil && !m.has(ctx, mirror, commit) {
		return fmt.Errorf("%w: the mirror does not hold commit %s", ErrRevisionNotFound, commit)
	}
	tree := commit
	if path = pathpkg.Clean(path); path != "." { // git knows no "./" and "/." in a bare repository
		tree += ":" + path
		kind := head{limit: 64}
		if err := m.git(ctx, mirror, "", depot.GitCredentials{}, &kind, "cat-file", "-t", tree); err != nil || strings.TrimSpace(kind.String()) != "tree" {
			return fmt.Errorf("%w: commit %s has no directory %q (source.path)", ErrRevisionNotFound, commit[:8], path)
		}
	}
	return m.git(ctx, mirror, "", depot.GitCredentials{}, w, "archive", "--format=tar", tree)
}
