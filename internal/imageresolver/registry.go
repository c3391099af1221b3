// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package imageresolver asks registries which content an image's tag names. Where a Docker Engine runs the builds, the
// engine is asked instead.
package imageresolver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/slipway-dev/slipway/internal/build"
)

// timeout bounds one question.
const timeout = 20 * time.Second

// Registry resolves images at their registries, with the default credentials of the manager's own environment.
type Registry struct {
	// Insecure allows registries without TLS: for tests and networks of one's own.
	Insecure bool
}

var _ build.ImageResolver = Registry{}

// Resolve implements build.ImageResolver. A reference by digest is taken as it is.
func (r Registry) Resolve(ctx context.Context, reference string) (build.Image, error) {
	var options []name.Option
	if r.Insecure {
		options = append(options, name.Insecure)
	}
	ref, err := name.ParseReference(reference, options...)
	if err != nil {
		return build.Image{}, fmt.Errorf("%w: build.image %q: %w", build.ErrImageNotFound, reference, err)
	}
	if digest, ok := ref.(name.Digest); ok {
		return build.Image{Reference: reference, Digest: digest.DigestStr()}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	found, err := remote.Head(ref, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain))
	if err != nil {
		return build.Image{}, classify(reference, err)
	}
	return build.Image{Reference: ref.Context().Name() + "@" + found.Digest.String(), Digest: found.Digest.String()}, nil
}

// classify says whether trying again may help.
func classify(reference string, err error) error {
	var answered *transport.Error
	if errors.As(err, &answered) {
		switch answered.StatusCode {
		case http.StatusNotFound:
			return fmt.Errorf("%w: build.image %q: the registry has no such image or tag", build.ErrImageNotFound, reference)
		case http.StatusUnauthorized, http.StatusForbidden:
			return fmt.Errorf("%w: build.image %q: the registry does not let the manager read it (%d)", build.ErrImageNotFound, reference, answered.StatusCode)
		}
	}
	return fmt.Errorf("ask the registry for build.image %q: %w", reference, err)
}
