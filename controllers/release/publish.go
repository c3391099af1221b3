// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"context"
	"errors"
	"fmt"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot"
)

// publish makes sure that the depot holds the artifact: hosts will be sent there for it.
func (r *Reconciler) publish(ctx context.Context, l *life) outcome {
	digest := l.release.Status.Artifact.Digest
	_, err := r.Depot.FindArtifact(ctx, l.storage(), digest)
	switch {
	case errors.Is(err, depot.ErrNotFound):
		return fail(v1alpha1.ReasonPublishFailed, fmt.Sprintf("the depot does not hold artifact %s any more; create a new Release with another value of rebuild", digest))
	case err != nil:
		return retry(v1alpha1.ReasonDepotUnavailable, err)
	}
	r.describe(ctx, l)
	return advance(v1alpha1.ReasonSucceeded, "the depot holds "+digest)
}
