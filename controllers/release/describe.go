// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/depot"
)

// describeLimit bounds how long a Release waits for its commit's description.
const describeLimit = 5 * time.Second

// describe notes what the commit is, for people. The Release goes on whatever comes of it.
func (r *Reconciler) describe(ctx context.Context, l *life) {
	status := &l.release.Status
	if status.Described != nil {
		return
	}
	for i := range l.others {
		if other := &l.others[i].Status; other.Commit == status.Commit && other.Described != nil {
			status.Described = other.Described.DeepCopy()
			return
		}
	}
	ctx, cancel := context.WithTimeout(ctx, describeLimit)
	defer cancel()
	commits, err := r.Depot.Commits(ctx, depot.CommitRange{Service: l.storage(), URL: l.service.Spec.Source.Git.URL, To: status.Commit, Limit: 1})
	if err != nil || len(commits) == 0 {
		return
	}
	status.Described = &v1alpha1.CommitStatus{Subject: conditions.Shorten(commits[0].Subject, 256), Author: conditions.Shorten(commits[0].Author, 256)}
	if at := commits[0].Time; !at.IsZero() {
		status.Described.Time = &metav1.Time{Time: at}
	}
}
