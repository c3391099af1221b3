// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Annotations of a Namespace that lock all of its Services: the reason, which makes the lock, and optionally who locked, and
// until when, as in 2026-12-31T18:00:00+09:00.
const (
	AnnotationLock      = "slipway.dev/lock"
	AnnotationLockOwner = "slipway.dev/lock-owner"
	AnnotationLockUntil = "slipway.dev/lock-until"
)

// Lock keeps every rollout of a Service from beginning, whoever asks for it. One that has begun goes on, automatic rollbacks
// included: half a release is no safe state.
type Lock struct {
	// Reason for people.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Reason string `json:"reason"`
	// Owner is whom to ask.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Owner string `json:"owner,omitempty"`
	// Until is when the lock ends by itself. Default: when somebody takes it away.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`
}

// Windows say when rollouts of a Service may begin: while a window of allow is open, or at any time if there is none, and no
// window of deny is. A rollout that has begun goes on when its window closes.
// +kubebuilder:validation:XValidation:rule="has(self.allow) || has(self.deny)",message="name windows to allow or to deny"
type Windows struct {
	// TimeZone of the schedules, by its IANA name, such as Asia/Tokyo. Default UTC.
	// +optional
	// +kubebuilder:default=UTC
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$`
	TimeZone string `json:"timeZone,omitempty"`
	// Allow: rollouts begin only while one of these is open.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Allow []Window `json:"allow,omitempty"`
	// Deny: no rollout begins while one of these is open, whatever allow says.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Deny []Window `json:"deny,omitempty"`
}

// Window is open for a while from each time of a schedule on.
type Window struct {
	// Schedule has cron's five fields: minute, hour, day of the month, month, day of the week; such as "0 10 * * MON-FRI".
	// +required
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-5]?[0-9*][0-9*,/-]* [0-9*][0-9*,/-]* [0-9*?][0-9*?,/-]* [0-9A-Za-z*][0-9A-Za-z*,/-]* [0-9A-Za-z*?][0-9A-Za-z*?,/-]*$')",message="must be cron's five fields (minute, hour, day of the month, month, day of the week), such as '0 10 * * MON-FRI'"
	Schedule string `json:"schedule"`
	// Duration for which it is open.
	// +required
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('744h')",message="must be between 1m and 744h"
	Duration metav1.Duration `json:"duration"`
	// Reason for people: why nothing is released then.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason,omitempty"`
}

// Gate is what can hold a Release up.
// +kubebuilder:validation:Enum=Lock;Window
type Gate string

const (
	// GateLock is a lock of the Service or its namespace.
	GateLock Gate = "Lock"
	// GateWindow are the Service's windows.
	GateWindow Gate = "Window"
)

// GateIrreversible is the gate of a Release that goes back behind an irreversible hook: one person confirms it, who may be
// the one that asked for it.
const GateIrreversible = "Irreversible"

const (
	// GateShrunkenArtifact is the gate of an artifact with less than half the files of the last one.
	GateShrunkenArtifact = "ShrunkenArtifact"
	// GateAdoption is the gate of a Release that looks like an old record which was applied again.
	GateAdoption = "Adoption"
)

// Override lets a Release through gates that hold it. It can be given later, and not be taken back.
type Override struct {
	// By is who says so: the name of the user who writes this. The cluster checks it, and that he has the verb override.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	By string `json:"by"`
	// Reason for the record.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Reason string `json:"reason"`
	// Gates that the Release goes through.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	Gates []Gate `json:"gates"`
}

// AnnotationRequestedBy of a Service names who set its spec.revision. The cluster sets it where it can, and else checks it.
const AnnotationRequestedBy = "slipway.dev/requested-by"

// RequestedByManager is in spec.requestedBy of Releases that were made for a Service of which nobody knows who changed it.
const RequestedByManager = "system:serviceaccount:slipway-system:slipway-manager"

// Approval lets a Release go on at a gate. It can't be taken back: abort the Release instead.
type Approval struct {
	// Gate that is approved: "Step-2" is the pause that is the second step of spec.rollout.steps, "Irreversible" a way back
	// behind a hook that is marked so, "ShrunkenArtifact" one with less than half the files of the last, "Adoption" a Release
	// that looks like an old record which was applied again.
	// +required
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^(Step-[1-9][0-9]?|Irreversible|ShrunkenArtifact|Adoption)$`
	Gate string `json:"gate"`
	// By is who approves: the name of the user who writes this. The cluster checks it, and that he has the verb approve.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	By string `json:"by"`
	// Reason for the record.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Reason string `json:"reason,omitempty"`
}
