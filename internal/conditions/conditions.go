// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package conditions marks and reads conditions, and writes an object's status once.
package conditions

import (
	"context"
	"strings"
	"unicode"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// maxMessage bounds a condition's message: details belong to logs.
const maxMessage = 1024

// Set sets a condition. A changed status moves its transition time.
func Set(conditions *[]metav1.Condition, generation int64, kind string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: Shorten(message, maxMessage), ObservedGeneration: generation,
	})
}

// True sets a condition to True.
func True(conditions *[]metav1.Condition, generation int64, kind, reason, message string) {
	Set(conditions, generation, kind, metav1.ConditionTrue, reason, message)
}

// False sets a condition to False.
func False(conditions *[]metav1.Condition, generation int64, kind, reason, message string) {
	Set(conditions, generation, kind, metav1.ConditionFalse, reason, message)
}

// Unknown sets a condition to Unknown.
func Unknown(conditions *[]metav1.Condition, generation int64, kind, reason, message string) {
	Set(conditions, generation, kind, metav1.ConditionUnknown, reason, message)
}

// Remove removes a condition.
func Remove(conditions *[]metav1.Condition, kind string) {
	meta.RemoveStatusCondition(conditions, kind)
}

// IsTrue says whether a condition is there and True.
func IsTrue(conditions []metav1.Condition, kind string) bool {
	return meta.IsStatusConditionTrue(conditions, kind)
}

// Get returns a condition, or an empty one of status Unknown.
func Get(conditions []metav1.Condition, kind string) metav1.Condition {
	if c := meta.FindStatusCondition(conditions, kind); c != nil {
		return *c
	}
	return metav1.Condition{Type: kind, Status: metav1.ConditionUnknown}
}

// State is the kstatus summary of an object: exactly one of them is written by Summarize.
type State int

const (
	// InProgress says that the controller works on it.
	InProgress State = iota
	// Current says that the object is what its spec asks for.
	Current
	// Waiting says that it is not what its spec asks for, and that the controller tries again by itself.
	Waiting
	// Stalled says that nothing more will happen without a person.
	Stalled
)

// Summarize writes Ready, Reconciling and Stalled so that kstatus reads them as state.
func Summarize(conditions *[]metav1.Condition, generation int64, state State, reason, message string) {
	ready := metav1.ConditionFalse
	switch state {
	case Current:
		ready = metav1.ConditionTrue
	case InProgress:
		ready = metav1.ConditionUnknown
	}
	Set(conditions, generation, v1alpha1.ConditionReady, ready, reason, message)
	if state == InProgress || state == Waiting {
		True(conditions, generation, v1alpha1.ConditionReconciling, reason, message)
	} else {
		Remove(conditions, v1alpha1.ConditionReconciling)
	}
	if state == Stalled {
		True(conditions, generation, v1alpha1.ConditionStalled, reason, message)
	} else {
		Remove(conditions, v1alpha1.ConditionStalled)
	}
}

// PatchStatus writes the status of object in one patch that fails with a conflict if somebody else wrote since before
// was read. It writes nothing if nothing changed. before is a deep copy taken when the object was read.
func PatchStatus[T client.Object](ctx context.Context, c client.Client, before, object T, fieldOwner string) error {
	if equality.Semantic.DeepEqual(before, object) {
		return nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	return c.Status().Patch(ctx, object, patch, client.FieldOwner(fieldOwner))
}

// Shorten cuts a text to at most limit bytes, at a rune's edge, and makes it valid UTF-8.
func Shorten(text string, limit int) string {
	text = strings.ToValidUTF8(text, "�")
	if len(text) <= limit {
		return text
	}
	cut := limit - len("…")
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// OneLine makes one line of plain text of what people wrote: without what steers a terminal, a chat or the direction of text.
func OneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "�"))
	return strings.Join(strings.Fields(text), " ")
}
