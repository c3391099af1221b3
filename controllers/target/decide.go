// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"fmt"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/delivery"
	"github.com/slipway-dev/slipway/internal/health"
	"github.com/slipway-dev/slipway/internal/loadbalancer"
	"github.com/slipway-dev/slipway/internal/rollout"
)

// action is what to do with a host next.
type action int

const (
	// rest: nothing before something changes or the next look is due.
	rest action = iota
	// look at the host, changing nothing.
	look
	// deliver what is ordered.
	deliver
)

// facts are all that a decision depends on.
type facts struct {
	order *v1alpha1.ReleaseRecord
	fence int64
	// withdrawn: the Release that gave the order has ended, and no other leads the Service, or it was rolled back. What was
	// not delivered then never is.
	withdrawn bool
	// status as it was reported last.
	status *v1alpha1.TargetStatus
	owner  delivery.Owner
	drift  v1alpha1.DriftPolicy
	// known: the host was seen since this process began, and its last delivery, if any, came to a verdict.
	known bool
	// seen is what the host said just now; nil if it was not looked at.
	seen *delivery.Observation
	// health of what is live; nil if it was not asked for.
	health *health.State
}

func (j *job) facts(seen *delivery.Observation) facts {
	f := facts{
		order: j.order, fence: j.fence, withdrawn: j.withdrawn, status: &j.target.Status, owner: j.owner, drift: j.deploy.Drift,
		known: j.last.known, seen: seen,
	}
	if j.health != nil {
		f.health = &j.health.state
	}
	return f
}

// verdict is a decision, and how the Target is called while it stands.
type verdict struct {
	action  action
	state   conditions.State
	reason  string
	message string
	// repair: the live release was changed, so that the same artifact needs a fresh directory.
	repair bool
}

// decide says what to do with a host. The checks stand in order; the first that holds decides.
func decide(f facts) verdict {
	switch {
	case f.seen == nil && f.mayDeliverUnseen():
		return f.deliver()
	case f.seen == nil:
		return verdict{action: look, state: conditions.InProgress, reason: v1alpha1.ReasonProbing, message: "looking at the host"}
	case f.foreign():
		return f.foreignVerdict()
	case f.order == nil, f.withdrawn && !f.complete() && !f.handedOver():
		return f.unordered()
	case f.seen.Fence > f.fence:
		return fencedOff(f.seen.Fence, f.fence)
	case !f.complete() && !f.handedOver():
		return f.deliver()
	case !f.complete():
		return f.ailing()
	case f.seen.Digest == "":
		return waiting(v1alpha1.ReasonContentChanged, "nothing is live on the host any more; it is delivered anew in its turn")
	case f.seen.Drift != nil && f.drift == v1alpha1.DriftReport:
		return verdict{action: rest, state: conditions.Stalled, reason: f.seen.Drift.Reason,
			message: f.seen.Drift.Message + "; deploy.drift is Report: release again to deliver anew"}
	case f.seen.Drift != nil:
		return waiting(f.seen.Drift.Reason, f.seen.Drift.Message+"; it is repaired in its turn")
	case f.seen.Digest != f.order.Digest:
		return waiting(v1alpha1.ReasonLinkMoved, fmt.Sprintf("the host runs %s instead of %s; it is repaired in its turn",
			shortDigest(f.seen.Digest), shortDigest(f.order.Digest)))
	case f.health != nil && f.health.Verdict != health.Healthy:
		return f.ailing()
	}
	return verdict{action: rest, state: conditions.Current, reason: v1alpha1.ReasonUpToDate, message: "runs " + rollout.Label(f.order)}
}

// mayDeliverUnseen says whether what is known of the host is good enough to deliver without looking first.
func (f facts) mayDeliverUnseen() bool {
	return f.known && f.order != nil && !f.withdrawn && !f.complete() && !f.onRecord() && f.status.Owner == nil && f.status.Fence <= f.fence &&
		conditions.IsTrue(f.status.Conditions, v1alpha1.ConditionReachable)
}

// complete says whether the order was carried out, as far as the last report goes.
func (f facts) complete() bool {
	d := f.status.Delivery
	return d != nil && d.Fence == f.fence && d.Digest == f.order.Digest && d.Outcome == rollout.Succeeded
}

// onRecord says whether the order was carried out but for the host's health and its return into its load balancer, as far as the last report goes.
func (f facts) onRecord() bool {
	d := f.status.Delivery
	return d != nil && d.Fence == f.fence && d.Digest == f.order.Digest && switchedBefore(d.Step)
}

// switchedBefore says whether nothing is switched at a step of a delivery any more, nor run on the host.
func switchedBefore(step string) bool {
	return step == v1alpha1.StepHealth || step == v1alpha1.StepReturn
}

// handedOver says the same as far as the host goes: what was ordered is live. Nothing is pulled or switched again then.
func (f facts) handedOver() bool {
	return f.onRecord() && f.seen != nil && f.seen.Digest == f.order.Digest && f.seen.SwitchedFence == f.fence
}

// ailing speaks of a host that runs what it should and is not healthy, or not yet.
func (f facts) ailing() verdict {
	runs := rollout.Label(f.order)
	if d := f.status.Delivery; d != nil && d.Step == v1alpha1.StepReturn && loadbalancer.Out(f.status.LoadBalancer) {
		said := f.status.LoadBalancer.Message
		if d.Outcome == rollout.Failed {
			v := waiting(d.Reason, "runs "+runs+", and is not back in its load balancer: "+said)
			if d.Reason == v1alpha1.ReasonNotPermitted {
				v.state = conditions.Stalled
			}
			return v
		}
		return verdict{action: rest, state: conditions.InProgress, reason: v1alpha1.ReasonRegistering,
			message: "runs " + runs + ", and comes back into its load balancer: " + said}
	}
	if f.health == nil || f.health.Verdict == health.Open {
		v := verdict{action: rest, state: conditions.InProgress, reason: v1alpha1.ReasonCheckingHealth, message: "runs " + runs + ", and its health is looked at"}
		if f.health != nil && f.health.Said != "" {
			v.message += ": " + f.health.Said
		}
		return v
	}
	v := waiting(f.health.Reason(), "runs "+runs+", which is not healthy: "+f.health.Said)
	if f.health.Refused {
		v.state = conditions.Stalled
	}
	return v
}

// foreign says whether the host's path belongs to somebody else, consent or not.
func (f facts) foreign() bool {
	return isForeign(f.seen.Owner, f.owner) && (f.owner.AdoptFrom == "" || f.seen.Owner.ServiceUID != f.owner.AdoptFrom)
}

// isForeign says whether an owner is another than this Service of this installation.
func isForeign(found *v1alpha1.PathOwner, own delivery.Owner) bool {
	return found != nil && (found.ServiceUID != own.Service || found.OwnerID != own.ID)
}

func (f facts) foreignVerdict() verdict {
	return verdict{action: rest, state: conditions.Stalled, reason: v1alpha1.ReasonForeignOwner, message: fmt.Sprintf(
		"the path belongs to Service %s of installation %s; nothing on the host is changed. To take it over, set spec.adopt.fromUID of the Service to %s",
		f.seen.Owner.ServiceUID, f.seen.Owner.OwnerID, f.seen.Owner.ServiceUID)}
}

// unordered speaks of a host that is not told to run anything: not yet, or not any more.
func (f facts) unordered() verdict {
	if f.order != nil {
		return waiting(v1alpha1.ReasonNothingDelivered, "Release "+f.order.Release+" ended before the host was done; nothing is delivered before the next one")
	}
	if f.seen.Digest != "" {
		return waiting(v1alpha1.ReasonWaitingForWave, "runs "+rollout.LabelOf(f.seen.Revision, f.seen.Commit)+" and waits for its turn")
	}
	return waiting(v1alpha1.ReasonNothingDelivered, "nothing was delivered to the host yet")
}

func (f facts) deliver() verdict {
	drifted := conditions.IsTrue(f.status.Conditions, v1alpha1.ConditionDrifted)
	running := ""
	if f.status.Running != nil {
		running = f.status.Running.Digest
	}
	if f.seen != nil {
		drifted, running = f.seen.Drift != nil, f.seen.Digest
	}
	return verdict{
		action: deliver, state: conditions.InProgress, reason: v1alpha1.ReasonDelivering,
		message: "delivering " + rollout.Label(f.order), repair: drifted && running == f.order.Digest,
	}
}

func waiting(reason, message string) verdict {
	return verdict{action: rest, state: conditions.Waiting, reason: reason, message: message}
}

func fencedOff(host, own int64) verdict {
	return waiting(v1alpha1.ReasonFencedOff, fmt.Sprintf("the host has seen fence %d and refuses %d; it gets a higher one in its turn", host, own))
}

// shortDigest is enough of a digest for people.
func shortDigest(digest string) string {
	const shown = len("sha256:") + 8
	return digest[:min(shown, len(digest))]
}
