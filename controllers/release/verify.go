// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// verifyLimit is how long the Targets have to be all seen well at once after the rollout.
const verifyLimit = 10 * time.Minute

// verify looks once more at all Targets: a host that went bad right after its switch must not count as released.
func (r *Reconciler) verify(_ context.Context, l *life) outcome {
	l.count()
	status := &l.release.Status
	if len(l.targets) > 0 && int(status.Targets.Updated) == len(l.targets) {
		return advance(v1alpha1.ReasonSucceeded, fmt.Sprintf("all %d Targets were seen well", status.Targets.Total))
	}
	if l.release.Spec.Paused {
		return wait(time.Minute, v1alpha1.ReasonPaused, "paused").within(0)
	}
	if l.progressed { // hosts that appeared meanwhile are on their way
		now := metav1.NewTime(r.Clock.Now())
		status.ProgressTime, status.WaitingSince = &now, nil
	}
	return wait(5*time.Second, v1alpha1.ReasonTargetsNotReady, l.progressMessage()).within(verifyLimit)
}
