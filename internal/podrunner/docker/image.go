// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"github.com/slipway-dev/slipway/internal/build"
)

func pullImage(ctx context.Context, engine *client.Client, reference string) error {
	progress, err := engine.ImagePull(ctx, reference, image.PullOptions{})
	if err != nil {
		return err
	}
	defer progress.Close()
	for messages := json.NewDecoder(progress); ; {
		var m struct{ Error string }
		switch err := messages.Decode(&m); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("the engine broke off: %w", err)
		case m.Error != "": // it happened after the engine had begun to answer
			return errors.New(m.Error)
		}
	}
}

func isID(reference string) bool { return len(reference) == 71 && reference[:7] == "sha256:" }

// ImageResolver resolves build images on the engine; it satisfies build.ImageResolver.
type ImageResolver struct{ engine *client.Client }

var _ build.ImageResolver = (*ImageResolver)(nil)

// NewImageResolver asks the engine at host; "" is DOCKER_HOST or the local socket.
func NewImageResolver(host string) (*ImageResolver, error) {
	engine, err := newEngine(host)
	if err != nil {
		return nil, err
	}
	return &ImageResolver{engine: engine}, nil
}

// Resolve returns the image by its local id, having pulled it if it was missing. The error wraps
// build.ErrImageNotFound when neither the engine nor its registry has it.
func (r *ImageResolver) Resolve(ctx context.Context, reference string) (build.Image, error) {
	in, err := r.engine.ImageInspect(ctx, reference)
	if cerrdefs.IsNotFound(err) {
		if err = pullImage(ctx, r.engine, reference); err == nil {
			in, err = r.engine.ImageInspect(ctx, reference)
		}
	}
	if cerrdefs.IsNotFound(err) || cerrdefs.IsPermissionDenied(err) || cerrdefs.IsUnauthorized(err) || cerrdefs.IsInvalidArgument(err) {
		return build.Image{}, fmt.Errorf("%w: %q is not on this machine and cannot be pulled: %w", build.ErrImageNotFound, reference, err)
	}
	if err != nil {
		return build.Image{}, fmt.Errorf("resolve image %q: %w", reference, err)
	}
	return build.Image{Reference: in.ID, Digest: in.ID}, nil
}
