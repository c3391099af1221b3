// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package build turns a Service and a commit into a build key and a batch/v1 Job, and reads how the Job ended. It is
// pure: no client, no clock.
package build

import (
	"context"
	"errors"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// ErrImageNotFound says that the build image does not exist or may not be pulled; trying again is of no use.
var ErrImageNotFound = errors.New("image not found")

// Input is all that shapes a build.
type Input struct {
	Namespace  string
	Service    string
	ServiceUID v1alpha1.UID
	Release    string
	Commit     string
	Rebuild    string
	Source     v1alpha1.SourceSpec
	Build      v1alpha1.BuildSpec
	Shared     []v1alpha1.SharedPath
	Image      Image
	// JobName of the attempt, see JobName.
	JobName string
	// SlipwayImage runs fetch and publish.
	SlipwayImage string
	// CredentialSecret is the Secret (same namespace) mounted into fetch and publish alone.
	CredentialSecret string
}

// Image is a build image as it was resolved.
type Image struct {
	// Reference that the Pod runs, pinned by digest or image id where that was possible.
	Reference string
	// Digest identifies the content: part of the build key.
	Digest string
}

// ImageResolver resolves an image reference to its content.
type ImageResolver interface {
	// Resolve returns the pinned image; an error that wraps ErrImageNotFound is final.
	Resolve(ctx context.Context, reference string) (Image, error)
}
