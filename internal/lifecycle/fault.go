// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
)

// own are the reasons of failures that may be one host's own. What concerns the depot, the manager, credentials, policies or
// who the host is, is not among them: a replacement would fare no better.
var own = map[string]bool{
	v1alpha1.ReasonUnreachable: true, v1alpha1.ReasonLoginRefused: true, v1alpha1.ReasonDeliveryFailed: true, v1alpha1.ReasonHookFailed: true,
	v1alpha1.ReasonPathRefused: true, v1alpha1.ReasonExistingContent: true, v1alpha1.ReasonDiskFull: true, v1alpha1.ReasonVerifyFailed: true,
	v1alpha1.ReasonTimedOut: true,
}

const (
	// tries is how often a delivery must have failed before it is held against the host.
	tries = 3
	// silence is how long a host must not have answered.
	silence = 5 * time.Minute
)

// Stands says how a Service stands on the instance that target is. siblings are all Targets of the Service.
func Stands(target *v1alpha1.Target, siblings []v1alpha1.Target, now time.Time) Service {
	reason := ailment(target)
	s := Service{Name: target.Namespace + "/" + target.Spec.Service, Ready: ready(target), Reason: reason}
	if s.Ready || target.Spec.Artifact == nil {
		return s
	}
	s.Fault = fault(target, reason, now)
	for i := range siblings {
		if other := &siblings[i]; other.Name == target.Name {
			continue
		} else if ready(other) && other.Spec.Artifact.Digest == target.Spec.Artifact.Digest {
			s.Well++
		} else if ailment(other) == reason {
			s.Alike++
		}
	}
	return s
}

// ready says whether a Target runs what it is ordered to run, for the order that it has now.
func ready(target *v1alpha1.Target) bool {
	return target.Spec.Artifact != nil && target.Status.ObservedGeneration == target.Generation &&
		conditions.IsTrue(target.Status.Conditions, v1alpha1.ConditionReady)
}

// ailment is why a Target is not ready. While a delivery is tried again, that is why the one before failed.
func ailment(target *v1alpha1.Target) string {
	c := conditions.Get(target.Status.Conditions, v1alpha1.ConditionReady)
	if d := target.Status.Delivery; d != nil && d.Failures > 0 && d.Reason != "" && c.Reason == v1alpha1.ReasonDelivering {
		return d.Reason
	}
	if c.Reason == "" {
		return v1alpha1.ReasonProbing
	}
	return c.Reason
}

// fault says whether an ailment is the host's own, and stays. What became of an earlier order is not held against it.
func fault(target *v1alpha1.Target, reason string, now time.Time) bool {
	if !own[reason] || target.Status.ObservedGeneration != target.Generation {
		return false
	}
	if reached := conditions.Get(target.Status.Conditions, v1alpha1.ConditionReachable); reached.Status == "False" {
		return now.Sub(reached.LastTransitionTime.Time) >= silence
	}
	d := target.Status.Delivery
	return d != nil && d.Fence == target.Spec.Fence && d.Digest == target.Spec.Artifact.Digest &&
		(d.Failures >= tries ||
			d.Failures > 0 && conditions.IsTrue(target.Status.Conditions, v1alpha1.ConditionStalled))
}
