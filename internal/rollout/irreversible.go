// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// GoesBack says whether a Release of an artifact returns to one that completed before what is current now.
func GoesBack(status *v1alpha1.ServiceStatus, digest string) bool {
	if status.Current == nil || status.Current.Digest == digest {
		return false
	}
	if status.Previous != nil && status.Previous.Digest == digest {
		return true
	}
	return slices.ContainsFunc(status.History, func(o v1alpha1.ReleaseOutcome) bool { return o.Outcome == Succeeded && o.Digest == digest })
}

// Bars says whether hosts do not return to a record by themselves, as a hook was begun since after which it does not work.
func Bars(hook *v1alpha1.IrreversibleRecord, to *v1alpha1.ReleaseRecord) bool {
	return hook != nil && to != nil && to.Sequence < hook.Sequence && to.Digest != hook.Digest
}

// GoesBehind says which irreversible hook a Release of an artifact would go back behind; nil if none.
func GoesBehind(status *v1alpha1.ServiceStatus, digest string) *v1alpha1.IrreversibleRecord {
	hook := status.Irreversible
	if hook == nil || digest == hook.Digest {
		return nil
	}
	if current := status.Current; current != nil && current.Digest == digest && current.Sequence > hook.Sequence {
		return nil // a person went back behind it before
	}
	before := func(r *v1alpha1.ReleaseRecord) bool {
		return r != nil && r.Digest == digest && r.Sequence < hook.Sequence
	}
	if before(status.Current) || before(status.Previous) ||
		slices.ContainsFunc(status.History, func(o v1alpha1.ReleaseOutcome) bool { return o.Digest == digest && o.Sequence < hook.Sequence }) {
		return hook
	}
	return nil
}

// Confirmed lists the people who approved at a gate, whoever asked for the Release. Programs do not count.
func (a Approvals) Confirmed(gate string) (people []string) {
	for i := range a.Given {
		if by := a.Given[i].By; a.Given[i].Gate == gate && !strings.HasPrefix(by, serviceAccount) && !slices.Contains(people, by) {
			people = append(people, by)
		}
	}
	return people
}
