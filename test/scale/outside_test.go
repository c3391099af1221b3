// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package scale

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/artifact"
	"github.com/slipway-dev/slipway/internal/build"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/gitsource"
)

// outside is the repository, the registry and the depot. It can hold a Release in one of its phases.
type outside struct {
	mu     sync.Mutex
	held   string
	builds map[string]depot.Artifact
}

func (o *outside) hold(phase string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held = phase
}

func (o *outside) holds(phase string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.held == phase
}

// built brings an artifact to the depot.
func (o *outside) built(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.builds[key] = depot.Artifact{Digest: fmt.Sprintf("sha256:%064x", []byte(key)[:20]), Files: 3, Bytes: 30, BuildKey: key}
}

// repository resolves each revision to a commit of its own.
type repository struct{ *outside }

func (r repository) Resolve(_ context.Context, _, revision string, _ depot.GitCredentials) (gitsource.Resolved, error) {
	if r.holds("Resolve") {
		return gitsource.Resolved{}, errors.New("no route to host")
	}
	return gitsource.Resolved{Commit: fmt.Sprintf("%040x", []byte(revision)), Ref: "refs/tags/" + revision}, nil
}

// registry knows every image.
type registry struct{}

func (registry) Resolve(_ context.Context, reference string) (build.Image, error) {
	return build.Image{Reference: reference, Digest: "sha256:1"}, nil
}

// logs are kept at once.
type logs struct{}

func (logs) Ensure(string, string, v1alpha1.UID, []string) {}
func (logs) Done(string, string) bool                      { return true }

func (o *outside) Commits(context.Context, depot.CommitRange) ([]depot.Commit, error) {
	return nil, depot.ErrNotFound
}

func (o *outside) Refs(context.Context, depot.RefsRequest) ([]depot.Ref, error) { return nil, nil }

func (o *outside) Log(context.Context, depot.LogRange) (depot.LogChunk, error) {
	return depot.LogChunk{}, depot.ErrNotFound
}

func (o *outside) Mirror(context.Context, depot.MirrorRequest) error { return nil }

func (o *outside) FindBuild(_ context.Context, _ v1alpha1.UID, key string) (depot.Artifact, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if a, there := o.builds[key]; there {
		return a, nil
	}
	return depot.Artifact{}, depot.ErrNotFound
}

func (o *outside) Promote(context.Context, depot.Promotion) (depot.Artifact, error) {
	return depot.Artifact{}, depot.ErrNotFound
}

func (o *outside) Compare(context.Context, depot.Pair) (artifact.Difference, error) {
	return artifact.Difference{}, depot.ErrNotFound
}

func (o *outside) FindArtifact(_ context.Context, _ v1alpha1.UID, digest string) (depot.Artifact, error) {
	if o.holds("Publish") {
		return depot.Artifact{}, depot.ErrUnavailable
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, a := range o.builds {
		if a.Digest == digest {
			return a, nil
		}
	}
	return depot.Artifact{}, depot.ErrNotFound
}

func (o *outside) WriteLog(context.Context, v1alpha1.UID, string, io.Reader) error { return nil }
func (o *outside) ReadLog(context.Context, v1alpha1.UID, string, io.Writer) error {
	return depot.ErrNotFound
}
func (o *outside) SetWord(context.Context, depot.Word) error       { return nil }
func (o *outside) DropWord(context.Context, v1alpha1.UID) error    { return nil }
func (o *outside) SetPointer(context.Context, depot.Pointer) error { return nil }
func (o *outside) Bindings(ctx context.Context, _ int64) ([]depot.Binding, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}
func (o *outside) GetPointer(context.Context, v1alpha1.UID) (depot.Pointer, error) {
	return depot.Pointer{}, depot.ErrNotFound
}
func (o *outside) Retain(context.Context, depot.References) ([]string, error) { return nil, nil }
