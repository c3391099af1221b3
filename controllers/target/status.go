// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/delivery"
	"github.com/slipway-dev/slipway/internal/loadbalancer"
	"github.com/slipway-dev/slipway/internal/rollout"
)

// bounds of the API.
const (
	maxSteps       = 32
	maxStepName    = 32
	maxStepMessage = 1024
	maxLabel       = 256
)

// observe writes what the host said of itself.
func (j *job) observe(status *v1alpha1.TargetStatus, seen *delivery.Observation) {
	j.pin(status, seen.HostKey)
	status.Fence, status.SwitchedFence = seen.Fence, seen.SwitchedFence
	status.Running = nil
	if seen.Digest != "" {
		status.Running = &v1alpha1.RunningArtifact{
			Digest: seen.Digest, Commit: seen.Commit, Release: seen.Release,
			Label: conditions.Shorten(rollout.LabelOf(seen.Revision, seen.Commit), maxLabel),
		}
		if !seen.Since.IsZero() {
			since := metav1.NewTime(seen.Since).Rfc3339Copy()
			status.Running.Since = &since
		}
	}
	status.Owner = nil
	if isForeign(seen.Owner, j.owner) {
		status.Owner = seen.Owner.DeepCopy()
		conditions.True(&status.Conditions, j.generation, v1alpha1.ConditionAdoptionRequired, v1alpha1.ReasonForeignOwner,
			"the path belongs to Service "+string(seen.Owner.ServiceUID)+" of installation "+seen.Owner.OwnerID)
	} else {
		conditions.Remove(&status.Conditions, v1alpha1.ConditionAdoptionRequired)
	}
	conditions.True(&status.Conditions, j.generation, v1alpha1.ConditionReachable, v1alpha1.ReasonSucceeded, "the host answers")
	if seen.Drift != nil {
		conditions.True(&status.Conditions, j.generation, v1alpha1.ConditionDrifted, seen.Drift.Reason, seen.Drift.Message)
	} else {
		conditions.False(&status.Conditions, j.generation, v1alpha1.ConditionDrifted, v1alpha1.ReasonUpToDate, "the files are what was delivered")
	}
}

// availability says whether the host serves a complete artifact, and does so well as far as anybody asks. One whose delivery
// failed after the switch does not: its hook is what makes the new release work.
func (j *job) availability(status *v1alpha1.TargetStatus, seen *delivery.Observation) {
	d := status.Delivery
	healthy := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionHealthy)
	switch {
	case seen.Digest == "":
		conditions.False(&status.Conditions, j.generation, v1alpha1.ConditionAvailable, v1alpha1.ReasonNothingDelivered, "nothing is live on the host")
	case half(d, seen):
		conditions.False(&status.Conditions, j.generation, v1alpha1.ConditionAvailable, v1alpha1.ReasonDeliveryFailed, "switched, but the delivery did not end well")
	case healthy != nil && healthy.Status != metav1.ConditionTrue:
		conditions.Set(&status.Conditions, j.generation, v1alpha1.ConditionAvailable, healthy.Status, healthy.Reason, healthy.Message)
	case loadbalancer.Out(status.LoadBalancer):
		available(status, j.generation)
	default:
		conditions.True(&status.Conditions, j.generation, v1alpha1.ConditionAvailable, v1alpha1.ReasonSucceeded,
			"serves "+rollout.LabelOf(seen.Revision, seen.Commit))
	}
}

// half says whether a host was switched by a delivery that did not end well, or not yet.
func half(d *v1alpha1.DeliveryStatus, seen *delivery.Observation) bool {
	return d != nil && !switchedBefore(d.Step) && d.Outcome != rollout.Succeeded && d.Fence > 0 && seen.SwitchedFence == d.Fence && seen.Digest == d.Digest
}

// fail writes what went wrong.
func (j *job) fail(status *v1alpha1.TargetStatus, failure *delivery.Failure) {
	j.pin(status, failure.HostKey)
	if unreached(failure) {
		conditions.False(&status.Conditions, j.generation, v1alpha1.ConditionReachable, failure.Reason, failure.Message)
		conditions.Unknown(&status.Conditions, j.generation, v1alpha1.ConditionAvailable, failure.Reason, "the host can't be asked")
		if meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionHealthy) != nil {
			conditions.Unknown(&status.Conditions, j.generation, v1alpha1.ConditionHealthy, failure.Reason, "the host can't be asked")
		}
	} else if failure.Step != accessStep {
		conditions.True(&status.Conditions, j.generation, v1alpha1.ConditionReachable, v1alpha1.ReasonSucceeded, "the host answers")
	}
	if failure.Reason == v1alpha1.ReasonFencedOff {
		status.Fence = max(status.Fence, failure.HostFence)
	}
	if failure.Reason == v1alpha1.ReasonContentChanged {
		conditions.True(&status.Conditions, j.generation, v1alpha1.ConditionDrifted, failure.Reason, failure.Message)
	}
	state := conditions.Waiting
	if failure.Terminal {
		state = conditions.Stalled
	}
	conditions.Summarize(&status.Conditions, j.generation, state, failure.Reason, failure.Message)
}

// unreached says whether a failure means that nobody got into the host.
func unreached(failure *delivery.Failure) bool {
	switch failure.Reason {
	case v1alpha1.ReasonUnreachable, v1alpha1.ReasonHostKeyMismatch, v1alpha1.ReasonHostKeyUnknown, v1alpha1.ReasonLoginRefused:
		return true
	}
	return failure.Unknown
}

// delivery is the record of the delivery that is under way, with the failures of the same order before it.
func (j *job) delivery(status *v1alpha1.TargetStatus, began metav1.Time) *v1alpha1.DeliveryStatus {
	d := &v1alpha1.DeliveryStatus{Fence: j.fence, Digest: j.order.Digest, StartTime: &began}
	if last := status.Delivery; last != nil && last.Fence == d.Fence && last.Digest == d.Digest {
		d.Failures, d.Reason = last.Failures, last.Reason
		if last.Outcome == "" && last.Step == "" { // what was staged for it is part of it
			d.Steps, d.BytesReceived = last.Steps, last.BytesReceived
		}
	}
	return d
}

// steps fits the driver's steps into the API's bounds.
func steps(list []v1alpha1.DeliveryStep) []v1alpha1.DeliveryStep {
	list = append([]v1alpha1.DeliveryStep(nil), list[max(0, len(list)-maxSteps):]...)
	for i := range list {
		list[i].Name = conditions.Shorten(list[i].Name, maxStepName)
		list[i].Message = conditions.Shorten(list[i].Message, maxStepMessage)
	}
	return list
}
