// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/artifact"
	"github.com/slipway-dev/slipway/internal/depot"
)

// Refusal is a rule that an artifact breaks. It is a depot.ErrRefused.
type Refusal struct {
	// Reason is v1alpha1.ReasonArtifactRefused, ReasonArtifactShrunk or ReasonDiskFull.
	Reason  string
	Message string
}

func (r *Refusal) Error() string { return r.Message }

// Unwrap makes a Refusal a depot.ErrRefused.
func (r *Refusal) Unwrap() error { return depot.ErrRefused }

// Staging makes the staging directory of a build attempt and returns its tree's directory.
func (s *Store) Staging(g depot.BuildGrant) (string, error) {
	dir, err := s.stagingDir(g)
	if err != nil {
		return "", err
	}
	tree := filepath.Join(dir, "tree")
	if err := os.MkdirAll(tree, 0o700); err != nil {
		return "", fmt.Errorf("make the staging directory: %w", err)
	}
	return tree, nil
}

func (s *Store) stagingDir(g depot.BuildGrant) (string, error) {
	if err := checkID(string(g.Service), g.BuildKey); err != nil {
		return "", err
	}
	return filepath.Join(s.dir, "staging", string(g.Service), fmt.Sprintf("%s-%d", g.BuildKey, g.Attempt)), nil
}

// Finish turns a build's staging directory into an artifact: shared paths leave, rules are checked, modes and mtimes are
// set, everything is made durable, and one rename makes it visible. Of one build key only the first artifact counts: a
// second one returns it. On a full disk nothing is published, and what was staged goes.
func (s *Store) Finish(g depot.BuildGrant) (depot.Artifact, error) {
	a, err := s.finish(g)
	if isFull(err) {
		return depot.Artifact{}, s.DropStaging(g)
	}
	return a, err
}

func (s *Store) finish(g depot.BuildGrant) (depot.Artifact, error) {
	dir, err := s.stagingDir(g)
	if err != nil {
		return depot.Artifact{}, err
	}
	defer s.lock(g.Service)()
	first, err := s.Build(g.Service, g.BuildKey)
	switch {
	case err == nil:
		return first, removeAll(dir)
	case !errors.Is(err, depot.ErrNotFound):
		return depot.Artifact{}, err
	}
	tree := filepath.Join(dir, "tree")
	if _, err := os.Stat(tree); errors.Is(err, os.ErrNotExist) {
		return depot.Artifact{}, &Refusal{v1alpha1.ReasonArtifactRefused, "nothing was sent for this build: send its tree first"}
	}
	manifest, err := s.check(g, tree)
	if err != nil {
		return depot.Artifact{}, err
	}
	digest := manifest.Digest()
	files, bytes := manifest.Files()
	a := depot.Artifact{
		Digest: digest, Files: files, Bytes: bytes, Service: g.Service, BuildKey: g.BuildKey, Commit: g.Commit, Published: s.clock.Now().UTC(),
	}
	target, err := s.artifactDir(g.Service, digest)
	if err != nil {
		return depot.Artifact{}, err
	}
	if _, err := os.Stat(filepath.Join(target, "meta.json")); err == nil {
		// The same content was built before, from another key: it is the same artifact.
		if err := s.recordBuild(g, digest); err != nil {
			return depot.Artifact{}, err
		}
		a, err = s.Artifact(g.Service, digest)
		return a, errors.Join(err, removeAll(dir))
	}
	if err := s.seal(g, dir, manifest, a); err != nil {
		return depot.Artifact{}, err
	}
	// The key names its artifact before that is there: a crash in between leaves a key that leads nowhere, which counts
	// as not built, and never an artifact that its key has forgotten.
	if err := s.recordBuild(g, digest); err != nil {
		return depot.Artifact{}, err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return depot.Artifact{}, fmt.Errorf("publish: %w", err)
	}
	if err := os.Rename(dir, target); err != nil {
		return depot.Artifact{}, fmt.Errorf("publish: %w", err)
	}
	return a, syncDir(filepath.Dir(target))
}

// recordBuild remembers what a key is built to.
func (s *Store) recordBuild(g depot.BuildGrant, digest string) error {
	return writeFile(filepath.Join(s.dir, "builds", string(g.Service), g.BuildKey), []byte(digest))
}

// check takes the shared paths out of the tree and reads it into a manifest, holding it to the rules.
func (s *Store) check(g depot.BuildGrant, tree string) (artifact.Manifest, error) {
	for _, shared := range g.Shared {
		if err := artifact.CheckName(shared); err != nil {
			return nil, &Refusal{v1alpha1.ReasonArtifactRefused, "deploy.shared: " + err.Error()}
		}
		if err := removeBelow(tree, shared); err != nil {
			return nil, fmt.Errorf("leave out the shared path %s: %w", shared, err)
		}
	}
	manifest, err := artifact.Scan(tree)
	if errors.Is(err, artifact.ErrInvalid) {
		return nil, &Refusal{v1alpha1.ReasonArtifactRefused, err.Error()}
	}
	if err != nil {
		return nil, fmt.Errorf("read the staged tree: %w", err)
	}
	files, _ := manifest.Files()
	if files == 0 {
		return nil, &Refusal{v1alpha1.ReasonArtifactRefused, "the build left no file in build.output.path: an empty artifact is never released"}
	}
	if previous, err := s.Artifact(g.Service, g.Previous); err == nil && !g.AllowShrink && files*2 < previous.Files {
		return nil, &Refusal{v1alpha1.ReasonArtifactShrunk, fmt.Sprintf(
			"the build left %d files, the last artifact has %d: less than half", files, previous.Files)}
	}
	return manifest, nil
}

// removeBelow removes a path below root without following a link on the way.
func removeBelow(root, name string) error {
	r, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	if err := r.RemoveAll(filepath.FromSlash(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// seal gives the staged tree its modes and mtimes, writes manifest and description beside it, and makes all durable.
func (s *Store) seal(g depot.BuildGrant, dir string, manifest artifact.Manifest, a depot.Artifact) error {
	tree := filepath.Join(dir, "tree")
	if err := artifact.Normalize(tree, manifest); err != nil {
		return err
	}
	if err := s.stamp(g, tree, manifest); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "manifest"), manifest.Encode(), 0o644); err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	meta, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode the artifact's description: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "meta.json"), meta, 0o600); err != nil {
		return fmt.Errorf("write the artifact's description: %w", err)
	}
	return syncFS(dir)
}

// stamp holds law 6: a file that the previous artifact has with the same content keeps its mtime, any other gets one
// that is later than all the Service has had. So between any two artifacts of a Service equal path, size and mtime
// mean equal content.
func (s *Store) stamp(g depot.BuildGrant, tree string, manifest artifact.Manifest) error {
	previous := map[string]artifact.Entry{}
	previousTree, err := s.Tree(g.Service, g.Previous)
	if err == nil {
		m, err := s.manifest(g.Service, g.Previous)
		if err != nil {
			return err
		}
		for _, e := range m {
			previous[e.Path] = e
		}
	}
	fresh, err := s.tick(g.Service)
	if err != nil {
		return err
	}
	for _, e := range manifest {
		if e.Kind != artifact.File {
			continue
		}
		name := filepath.FromSlash(e.Path)
		mtime := fresh
		if old := previous[e.Path]; old.Kind == artifact.File && old.SHA256 == e.SHA256 {
			info, err := os.Lstat(filepath.Join(previousTree, name))
			if err != nil {
				return fmt.Errorf("read the previous artifact: %w", err)
			}
			mtime = info.ModTime()
		}
		if err := os.Chtimes(filepath.Join(tree, name), mtime, mtime); err != nil {
			return fmt.Errorf("set the mtime of %q: %w", e.Path, err)
		}
	}
	return nil
}

// manifest reads an artifact's manifest.
func (s *Store) manifest(service v1alpha1.UID, digest string) (artifact.Manifest, error) {
	dir, err := s.artifactDir(service, digest)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Join(dir, "manifest"))
	if err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	defer func() { _ = f.Close() }()
	return artifact.Parse(f)
}

// tick is a time, in whole seconds, later than every one it gave this Service before. It is on disk before it is used.
func (s *Store) tick(service v1alpha1.UID) (time.Time, error) {
	path := filepath.Join(s.dir, "clock", string(service))
	last := int64(0)
	if data, err := os.ReadFile(path); err == nil {
		if last, err = strconv.ParseInt(string(data), 10, 64); err != nil {
			return time.Time{}, fmt.Errorf("the depot's clock file of Service %s is damaged: %w", service, err)
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return time.Time{}, fmt.Errorf("read the depot's clock file: %w", err)
	}
	next := max(s.clock.Now().Unix(), last+1)
	return time.Unix(next, 0), writeFile(path, []byte(strconv.FormatInt(next, 10)))
}
