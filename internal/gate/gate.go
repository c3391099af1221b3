// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gate says what keeps every rollout of a Service from beginning: its lock, that of its namespace, its windows. It
// is pure.
package gate

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/window"
)

// Hold is one gate that is shut.
type Hold struct {
	Gate v1alpha1.Gate
	// Reason in one word: Locked or WindowClosed. Message says it to people.
	Reason, Message string
	// Until is when it ends by itself; nil if it does not.
	Until *metav1.Time
}

// At lists the gates of a Service that are shut. annotations are those of its namespace.
func At(service *v1alpha1.Service, annotations map[string]string, now time.Time) []Hold {
	var list []Hold
	if l := service.Spec.Lock; l != nil && !over(l, now) {
		list = append(list, locked("the Service", l))
	}
	if reason := annotations[v1alpha1.AnnotationLock]; reason != "" {
		l := &v1alpha1.Lock{Reason: reason, Owner: annotations[v1alpha1.AnnotationLockOwner]}
		if text := annotations[v1alpha1.AnnotationLockUntil]; text != "" {
			if until, err := time.Parse(time.RFC3339, text); err == nil {
				l.Until = &metav1.Time{Time: until}
			} else { // whoever locked meant to
				l.Reason += fmt.Sprintf(" (the annotation %s is no time like 2026-12-31T18:00:00+09:00: %q)", v1alpha1.AnnotationLockUntil, text)
			}
		}
		if !over(l, now) {
			list = append(list, locked("namespace "+service.Namespace, l))
		}
	}
	windows, err := window.Parse(service.Spec.Windows)
	if err != nil {
		return append(list, Hold{Gate: v1alpha1.GateWindow, Reason: v1alpha1.ReasonWindowClosed, Message: "nobody can say when rollouts may begin: " + err.Error()})
	}
	if why, reopens := windows.Closed(now); why != "" {
		h := Hold{Gate: v1alpha1.GateWindow, Reason: v1alpha1.ReasonWindowClosed, Message: why + "; none opens any more"}
		if !reopens.IsZero() {
			h.Until, h.Message = &metav1.Time{Time: reopens}, why+"; it begins at "+reopens.Format("Mon 2006-01-02 15:04 MST")
		}
		list = append(list, h)
	}
	return list
}

func over(l *v1alpha1.Lock, now time.Time) bool { return l.Until != nil && !l.Until.After(now) }

// locked says it of a lock.
func locked(what string, l *v1alpha1.Lock) Hold {
	message := what + " is locked"
	if l.Owner != "" {
		message += " by " + l.Owner
	}
	if l.Until != nil {
		message += " until " + l.Until.UTC().Format("2006-01-02 15:04 MST")
	}
	return Hold{Gate: v1alpha1.GateLock, Reason: v1alpha1.ReasonLocked, Message: message + ": " + l.Reason, Until: l.Until}
}
