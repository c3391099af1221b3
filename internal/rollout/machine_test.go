// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// visit is the target controller on one host: it looks, or delivers what is ordered, and reports. It says whether a
// delivery goes on.
func (w *world) visit(target *v1alpha1.Target, m *machine) bool {
	m.switching = false
	before, generation := Observe(target), target.Status.ObservedGeneration
	busy := w.work(target, m)
	target.Status.ObservedGeneration = target.Generation
	after := Observe(target)
	busy = busy || m.up && after.inFlight()
	if generation != target.Generation || busy || before != after {
		w.touch(target)
	}
	return busy
}

func (w *world) work(target *v1alpha1.Target, m *machine) bool {
	order := target.Spec.Artifact
	d := target.Status.Delivery
	complete := order != nil && d != nil && d.Fence == target.Spec.Fence && d.Digest == order.Digest && d.Outcome == Succeeded
	if !m.up {
		m.progress = 0
		condition(target, v1alpha1.ConditionReachable, false, w.now, v1alpha1.ReasonUnreachable)
		condition(target, v1alpha1.ConditionAvailable, false, w.now, v1alpha1.ReasonUnreachable)
		condition(target, v1alpha1.ConditionReady, false, w.now, v1alpha1.ReasonUnreachable)
		if order != nil && !complete {
			w.attempt(target, Failed)
		}
		return false
	}
	condition(target, v1alpha1.ConditionReachable, true, w.now, v1alpha1.ReasonSucceeded)
	if order == nil || complete || m.owner != nil && m.owner.ServiceUID != w.adopt {
		w.look(target, m, complete)
		return false
	}
	return w.deliver(target, m)
}

// look reports what the host runs.
func (w *world) look(target *v1alpha1.Target, m *machine, complete bool) {
	status := &target.Status
	status.Running, status.Fence, status.SwitchedFence, status.Owner = nil, m.fence, m.switched, m.owner
	if m.running != "" {
		status.Running = &v1alpha1.RunningArtifact{Digest: m.running}
	}
	condition(target, v1alpha1.ConditionAvailable, m.running != "" && !m.broken, w.now, v1alpha1.ReasonSucceeded)
	condition(target, v1alpha1.ConditionDrifted, m.drifted, w.now, v1alpha1.ReasonContentChanged)
	well := complete && !m.drifted && m.running == target.Spec.Artifact.Digest
	condition(target, v1alpha1.ConditionReady, well, w.now, v1alpha1.ReasonUpToDate)
}

// deliver carries the order out, a tick at a time.
func (w *world) deliver(target *v1alpha1.Target, m *machine) bool {
	order, fence := target.Spec.Artifact, target.Spec.Fence
	if m.fence > fence || m.fence == fence && m.ordered != order.Digest {
		w.look(target, m, false)
		w.attempt(target, Failed)
		condition(target, v1alpha1.ConditionReady, false, w.now, v1alpha1.ReasonFencedOff)
		return false
	}
	m.fence, m.ordered, m.owner = fence, order.Digest, nil
	if target.Spec.AsIs && (m.running != order.Digest || m.drifted || m.broken) {
		w.look(target, m, false)
		w.attempt(target, Failed)
		target.Status.Delivery.Reason = v1alpha1.ReasonContentChanged
		condition(target, v1alpha1.ConditionDrifted, true, w.now, v1alpha1.ReasonContentChanged)
		return false
	}
	condition(target, v1alpha1.ConditionReady, false, w.now, v1alpha1.ReasonDelivering)
	if m.progress++; m.progress < 2 {
		return true
	}
	m.progress = 0
	fault := ""
	if m.fault != nil {
		fault = m.fault(order.Digest)
	}
	if fault == "pull" {
		w.look(target, m, false)
		w.attempt(target, Failed)
		return false
	}
	if last := target.Status.Delivery; fault == "health" && last != nil && last.Fence == fence && last.Reason == v1alpha1.ReasonUnhealthy {
		w.look(target, m, false) // asked again, but nothing is pulled or switched for that
		return false
	}
	if m.refuses != nil && m.refuses() {
		w.look(target, m, false)
		w.attempt(target, Failed)
		return false
	}
	if m.running == order.Digest && !m.drifted && !m.broken { // live and well: nothing is switched and no hook runs
		m.switched = fence
		w.attempt(target, Succeeded)
		w.look(target, m, true)
		return false
	}
	m.switching = m.running != "" && !m.broken // a host that served nothing loses nothing
	m.running, m.switched, m.drifted, m.broken = order.Digest, fence, false, fault == "hook" || fault == "health"
	if m.broken {
		w.look(target, m, false)
		w.attempt(target, Failed)
		if fault == "health" {
			target.Status.Delivery.Reason = v1alpha1.ReasonUnhealthy
		}
		return false
	}
	w.attempt(target, Succeeded)
	w.look(target, m, true)
	return false
}

// attempt records how a delivery ended.
func (w *world) attempt(target *v1alpha1.Target, outcome string) {
	d := &v1alpha1.DeliveryStatus{Fence: target.Spec.Fence, Digest: target.Spec.Artifact.Digest, Outcome: outcome}
	if last := target.Status.Delivery; outcome == Failed {
		d.Failures = 1
		if last != nil && last.Fence == d.Fence && last.Digest == d.Digest {
			d.Failures = min(last.Failures+1, 9)
		}
	}
	if outcome == Succeeded {
		now := metav1.NewTime(w.now)
		d.CompletionTime = &now
	}
	target.Status.Delivery = d
}
