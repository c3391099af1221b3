// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/promotion"
)

const (
	// requireLimit stands in where spec.requires has no timeout.
	requireLimit = 24 * time.Hour
	// promoteLimit bounds one copy within the depot.
	promoteLimit = 30 * time.Minute
)

// promote takes over the artifact of another Service, once that has released the commit and run it long enough. Nothing is
// built: the bytes are those that ran there.
func (r *Reconciler) promote(ctx context.Context, l *life, spec v1alpha1.FrozenSpec) outcome {
	required, limit := l.release.Spec.Requires, requireLimit
	if d := required.Timeout.Duration; d > 0 {
		limit = d
	}
	var other v1alpha1.Service
	err := r.Client.Get(ctx, types.NamespacedName{Namespace: l.release.Namespace, Name: required.Service}, &other)
	if apierrors.IsNotFound(err) {
		return wait(lookAgain, v1alpha1.ReasonAwaitingPromotion, fmt.Sprintf("there is no Service %q in this namespace (spec.requires)", required.Service)).within(limit)
	}
	if err != nil {
		return retry(v1alpha1.ReasonAwaitingPromotion, err)
	}
	verdict := promotion.Judge(&other, l.release.Status.Commit, required.Bake.Duration, r.Clock.Now())
	switch {
	case verdict.Refused:
		return fail(v1alpha1.ReasonPromotionRefused, verdict.Words)
	case !verdict.Ready:
		return wait(sooner(verdict.After, 10*time.Second), v1alpha1.ReasonAwaitingPromotion, verdict.Words).within(limit)
	}
	key := promotion.Key(v1alpha1.UID(other.UID), verdict.Digest)
	if b := l.release.Status.Build; b == nil || b.Key != key {
		l.release.Status.Build = &v1alpha1.BuildStatus{Key: key}
		return persist(v1alpha1.ReasonPromoted, verdict.Words)
	}
	grant := r.grant(l, spec)
	grant.Attempt, grant.AllowShrink = 1, true // what ran elsewhere is no broken build
	p := depot.Promotion{From: storageOf(&other), Digest: verdict.Digest, Grant: grant}
	done, err := r.background.run(ctx, "promote/"+string(l.release.UID), promoteLimit, func(ctx context.Context) error {
		_, err := r.Depot.Promote(ctx, p)
		return err
	})
	switch {
	case !done:
		return wait(time.Second, v1alpha1.ReasonPromoted, "the depot copies "+verdict.Digest).within(promoteLimit)
	case errors.Is(err, depot.ErrNotFound):
		return fail(v1alpha1.ReasonPublishFailed, fmt.Sprintf("the depot does not hold the artifact of Release %s of Service %s any more: release it there again",
			verdict.Release, other.Name))
	case errors.Is(err, depot.ErrRefused):
		return fail(v1alpha1.ReasonArtifactRefused, err.Error())
	case err != nil:
		return retry(v1alpha1.ReasonDepotUnavailable, err)
	}
	artifact, err := r.Depot.FindBuild(ctx, l.storage(), key)
	if err != nil {
		return retry(v1alpha1.ReasonDepotUnavailable, err)
	}
	l.release.Status.Artifact = &v1alpha1.ArtifactStatus{
		Digest: artifact.Digest, Files: artifact.Files, Bytes: artifact.Bytes, Reused: true, PromotedFrom: other.Name + "/" + verdict.Release,
	}
	return advance(v1alpha1.ReasonPromoted, fmt.Sprintf("took over the artifact of Release %s of Service %s: nothing was built", verdict.Release, other.Name))
}
