// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AnnotationChangedBy of a Service or a Release names who changed its spec last. The cluster sets it where it can, and else
// checks it.
const AnnotationChangedBy = "slipway.dev/changed-by"

// AuditAction is what a person did.
// +kubebuilder:validation:MaxLength=32
type AuditAction string

const (
	// AuditRequested says: asked for a Release.
	AuditRequested AuditAction = "Requested"
	// AuditApproved says: approved that a Release goes on at a gate.
	AuditApproved AuditAction = "Approved"
	// AuditOverridden says: let a Release through a lock or a closed window.
	AuditOverridden AuditAction = "Overridden"
	// AuditPaused says: set spec.paused of a Release.
	AuditPaused AuditAction = "Paused"
	// AuditResumed says: took spec.paused of a Release back.
	AuditResumed AuditAction = "Resumed"
	// AuditAborted says: set spec.abort of a Release.
	AuditAborted AuditAction = "Aborted"
	// AuditRolledBack says: set spec.rollBack of a Release.
	AuditRolledBack AuditAction = "RolledBack"
	// AuditDeleted says: deleted a Release that had not ended.
	AuditDeleted AuditAction = "Deleted"
	// AuditLocked says: set or changed spec.lock of the Service.
	AuditLocked AuditAction = "Locked"
	// AuditUnlocked says: removed spec.lock of the Service.
	AuditUnlocked AuditAction = "Unlocked"
	// AuditAdopted says: consented that the hosts of another Service object are taken over.
	AuditAdopted AuditAction = "Adopted"
)

// AuditEntry says who did what to a Service or one of its Releases, as the controller saw it.
type AuditEntry struct {
	// Time when the controller saw it.
	// +required
	Time metav1.Time `json:"time"`
	// Action: Requested, Approved, Overridden, Paused, Resumed, Aborted, RolledBack, Deleted, Locked, Unlocked or Adopted.
	// +required
	Action AuditAction `json:"action"`
	// By is the name of the user; empty if nobody knows.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	By string `json:"by,omitempty"`
	// Release that it was done to, by name and UID; empty if it was done to the Service.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Release string `json:"release,omitempty"`
	// UID of the Release.
	// +optional
	UID UID `json:"uid,omitempty"`
	// What it was done to more exactly: the revision, the gate, the UID that is taken over.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	What string `json:"what,omitempty"`
	// Reason that was given.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Reason string `json:"reason,omitempty"`
}
