// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package audit finds out what people did to a Service and its Releases that its record does not have yet. It is pure.
package audit

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
)

// Limit is how many entries a Service keeps.
const Limit = 50

// Add puts entries into a record, which has the newest first, and lets go of the oldest.
func Add(record, entries []v1alpha1.AuditEntry) []v1alpha1.AuditEntry {
	added := slices.Clone(entries)
	slices.Reverse(added)
	added = append(added, record...)
	return added[:min(len(added), Limit)]
}

// OfRelease lists, the oldest first, what was done to a Release that has not ended.
func OfRelease(record []v1alpha1.AuditEntry, release *v1alpha1.Release, now time.Time) []v1alpha1.AuditEntry {
	spec, by := &release.Spec, release.Annotations[v1alpha1.AnnotationChangedBy]
	var due []v1alpha1.AuditEntry
	add := func(action v1alpha1.AuditAction, by, what, reason string) {
		due = append(due, v1alpha1.AuditEntry{
			Time: metav1.NewTime(now), Action: action, By: by, Release: release.Name, UID: v1alpha1.UID(release.UID),
			What: conditions.Shorten(what, 256), Reason: conditions.Shorten(plain(reason), 512),
		})
	}
	mine := func(match func(v1alpha1.AuditEntry) bool) bool {
		return slices.ContainsFunc(record, func(e v1alpha1.AuditEntry) bool { return e.UID == v1alpha1.UID(release.UID) && match(e) })
	}
	did := func(action v1alpha1.AuditAction) bool {
		return mine(func(e v1alpha1.AuditEntry) bool { return e.Action == action })
	}
	if !did(v1alpha1.AuditRequested) {
		add(v1alpha1.AuditRequested, spec.RequestedBy, string(spec.Revision), spec.Reason)
	}
	if o := spec.Override; o != nil && !did(v1alpha1.AuditOverridden) {
		gates := make([]string, len(o.Gates))
		for i, gate := range o.Gates {
			gates[i] = string(gate)
		}
		add(v1alpha1.AuditOverridden, o.By, strings.Join(gates, ", "), o.Reason)
	}
	for _, a := range spec.Approvals {
		if !mine(func(e v1alpha1.AuditEntry) bool {
			return e.Action == v1alpha1.AuditApproved && e.What == a.Gate && e.By == a.By
		}) {
			add(v1alpha1.AuditApproved, a.By, a.Gate, a.Reason)
		}
	}
	last := slices.IndexFunc(record, func(e v1alpha1.AuditEntry) bool {
		return e.UID == v1alpha1.UID(release.UID) && (e.Action == v1alpha1.AuditPaused || e.Action == v1alpha1.AuditResumed)
	})
	switch paused := last >= 0 && record[last].Action == v1alpha1.AuditPaused; {
	case spec.Paused && !paused:
		add(v1alpha1.AuditPaused, by, "", "")
	case !spec.Paused && paused:
		add(v1alpha1.AuditResumed, by, "", "")
	}
	if spec.RollBack && !did(v1alpha1.AuditRolledBack) {
		add(v1alpha1.AuditRolledBack, by, "", "")
	}
	if spec.Abort && !did(v1alpha1.AuditAborted) {
		add(v1alpha1.AuditAborted, by, "", "")
	}
	if !release.DeletionTimestamp.IsZero() && !did(v1alpha1.AuditDeleted) {
		add(v1alpha1.AuditDeleted, "", "", "")
	}
	return due
}

// OfService lists what was done to a Service itself.
func OfService(record []v1alpha1.AuditEntry, service *v1alpha1.Service, now time.Time) []v1alpha1.AuditEntry {
	by := service.Annotations[v1alpha1.AnnotationChangedBy]
	var due []v1alpha1.AuditEntry
	latest := func(actions ...v1alpha1.AuditAction) *v1alpha1.AuditEntry {
		i := slices.IndexFunc(record, func(e v1alpha1.AuditEntry) bool { return e.UID == "" && slices.Contains(actions, e.Action) })
		if i < 0 {
			return nil
		}
		return &record[i]
	}
	last := latest(v1alpha1.AuditLocked, v1alpha1.AuditUnlocked)
	locked := last != nil && last.Action == v1alpha1.AuditLocked
	switch lock := service.Spec.Lock; {
	case lock != nil && (!locked || last.Reason != conditions.Shorten(plain(lock.Reason), 512) || last.What != until(lock)):
		due = append(due, v1alpha1.AuditEntry{
			Time: metav1.NewTime(now), Action: v1alpha1.AuditLocked, By: by, What: until(lock), Reason: conditions.Shorten(plain(lock.Reason), 512),
		})
	case lock == nil && locked:
		due = append(due, v1alpha1.AuditEntry{Time: metav1.NewTime(now), Action: v1alpha1.AuditUnlocked, By: by})
	}
	if adopt := service.Spec.Adopt; adopt != nil && adopt.FromUID != "" {
		if last := latest(v1alpha1.AuditAdopted); last == nil || last.What != string(adopt.FromUID) {
			due = append(due, v1alpha1.AuditEntry{Time: metav1.NewTime(now), Action: v1alpha1.AuditAdopted, By: by, What: string(adopt.FromUID)})
		}
	}
	return due
}

// until says how long a lock holds.
func until(lock *v1alpha1.Lock) string {
	if lock.Until == nil {
		return ""
	}
	return "until " + lock.Until.UTC().Format(time.RFC3339)
}

// plain makes one line of a reason that a person gave.
func plain(text string) string { return strings.Join(strings.Fields(text), " ") }

// Sentence says an entry in words.
func Sentence(e *v1alpha1.AuditEntry) string {
	who := e.By
	if who == "" {
		who = "somebody whose name is not known"
	}
	verb := map[v1alpha1.AuditAction]string{
		v1alpha1.AuditRequested: "asked for", v1alpha1.AuditApproved: "approved", v1alpha1.AuditOverridden: "let through", v1alpha1.AuditPaused: "paused",
		v1alpha1.AuditResumed: "resumed", v1alpha1.AuditAborted: "aborted", v1alpha1.AuditRolledBack: "rolled back", v1alpha1.AuditDeleted: "deleted",
		v1alpha1.AuditLocked: "locked", v1alpha1.AuditUnlocked: "unlocked", v1alpha1.AuditAdopted: "consented to take over the hosts of",
	}[e.Action]
	text := who + " " + verb
	switch {
	case e.Action == v1alpha1.AuditAdopted:
		return text + " Service object " + e.What
	case e.Release != "":
		text += " Release " + e.Release
	default:
		text += " the Service"
	}
	if e.What != "" {
		text += " (" + e.What + ")"
	}
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}
