// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// Succeeded and Failed are the values of a Target's status.delivery.outcome.
const (
	Succeeded = "Succeeded"
	Failed    = "Failed"
)

// Host is what the planner knows of one Target.
type Host struct {
	// Target is the name of the Target, UID its UID, Name that of the host.
	Target string
	UID    v1alpha1.UID
	Name   string
	// Zone it runs in; empty if that is not known.
	Zone string

	// Desired is what the Target is ordered to run; nil before its first order.
	Desired *v1alpha1.ReleaseRecord
	// Fence of that order.
	Fence int64

	// HostFence and SwitchedFence are what the host said it has seen and last switched under.
	HostFence     int64
	SwitchedFence int64
	// Running is the digest that is live on the host; empty if none is, or if that is not known.
	Running string
	// Complete: the delivery of this order ended well.
	Complete bool
	// CompletedAt is when it ended.
	CompletedAt time.Time
	// Failures in a row of this order, and the reason of the last.
	Failures int32
	Failure  string
	// Stalled: nothing more happens on the host before somebody changes something.
	Stalled bool
	// AsIs: this order switches nothing; see TargetSpec.
	AsIs bool
	// FencedOff: the host refused this order for its fence.
	FencedOff bool

	// Reachable: it answered when it was last looked at. Available: it serves a complete artifact. Ready: it runs what
	// it is ordered to run.
	Reachable bool
	Available bool
	Ready     bool
	// UnreachableSince is when it was first found not to answer; zero while it does, or if nobody has asked yet.
	UnreachableSince time.Time
	// Trouble is what the Target's condition Ready says while it is not Ready.
	Trouble string
	// Drifted: what is live is not what was delivered. DriftedSince is when that was found.
	Drifted      bool
	DriftedSince time.Time
	// Owner of the host's path if it is another than this Service.
	Owner *v1alpha1.PathOwner
}

// Observe reads a Target.
func Observe(target *v1alpha1.Target) Host {
	status := &target.Status
	host := Host{
		Target: target.Name, UID: v1alpha1.UID(target.UID), Name: target.Spec.Host.Name,
		Desired: target.Spec.Artifact, Fence: target.Spec.Fence, AsIs: target.Spec.AsIs,
		HostFence: status.Fence, SwitchedFence: status.SwitchedFence,
		Reachable: meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionReachable),
		Available: meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionAvailable),
		Owner:     status.Owner,
	}
	if status.Running != nil {
		host.Running = status.Running.Digest
	}
	if status.Instance != nil {
		host.Zone = status.Instance.Zone
	}
	if reached := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReachable); reached != nil && reached.Status == metav1.ConditionFalse {
		host.UnreachableSince = reached.LastTransitionTime.Time
	}
	if drifted := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionDrifted); drifted != nil && drifted.Status == metav1.ConditionTrue {
		host.Drifted, host.DriftedSince = true, drifted.LastTransitionTime.Time
	}
	if d := status.Delivery; d != nil && host.Desired != nil && d.Fence == host.Fence && d.Digest == host.Desired.Digest {
		host.Complete = d.Outcome == Succeeded
		host.Failures, host.Failure = d.Failures, d.Reason
		if host.Complete && d.CompletionTime != nil {
			host.CompletedAt = d.CompletionTime.Time
		}
	}
	observed := status.ObservedGeneration == target.Generation
	if ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady); ready != nil && observed {
		host.Ready = ready.Status == metav1.ConditionTrue
		host.FencedOff = ready.Reason == v1alpha1.ReasonFencedOff
		host.Stalled = meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionStalled)
		if !host.Ready {
			host.Trouble = ready.Message
		}
	}
	return host
}

// inFlight says whether the host holds a permit that it has not used up: it may switch at any moment.
func (h *Host) inFlight() bool { return h.Desired != nil && !h.Complete }

// busy says whether a delivery to the host is under way or about to be: it takes a place among those at once.
func (h *Host) busy() bool { return h.inFlight() && h.Reachable && h.Failures == 0 }

// unavailable says whether a host counts against maxUnavailable.
func unavailable(h *Host) bool {
	return !h.Reachable || !h.Available || h.inFlight() && !h.AsIs
}

// changesNothing says whether an order leaves a host as it is: it serves the current Release well, from its own boot or
// from before its record was lost, and gets that. Such an order is given as is: if the host has changed meanwhile, nothing
// is switched under it.
func (s Slot) changesNothing(h *Host, order *v1alpha1.ReleaseRecord) bool {
	return s.Current != nil && Same(order, s.Current) && h.Running == s.Current.Digest &&
		h.Reachable && h.Available && !h.Drifted && h.Owner == nil
}

// refused says whether the host will never take the order it has, for its fence.
func (h *Host) refused() bool {
	return h.inFlight() && (h.HostFence > h.Fence || h.FencedOff && h.HostFence >= h.Fence)
}

// stirred says whether the host was changed before it got an order that was to leave it as it is.
func (h *Host) stirred() bool {
	return h.inFlight() && h.AsIs && h.Failure == v1alpha1.ReasonContentChanged
}

// lost says whether the order was carried out and the host no longer runs what was delivered.
func (h *Host) lost() bool {
	return h.Complete && h.Reachable && (h.Drifted || h.Running != h.Desired.Digest)
}

// promoted says whether the host got to what it was ordered to run.
func (h *Host) promoted() bool {
	return h.Complete || h.Running == h.Desired.Digest || h.Fence > 0 && h.SwitchedFence >= h.Fence
}

// runs says whether the host runs a record, by order and well.
func (h *Host) runs(record *v1alpha1.ReleaseRecord) bool {
	return record != nil && h.Desired != nil && Same(h.Desired, record) && h.Complete && h.Ready && h.Running == record.Digest
}

// nextFence is above all that the Target was ordered and all that the host has seen.
func (h *Host) nextFence() int64 { return max(h.Fence, h.HostFence) + 1 }
