// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// FrozenSpec is the part of a Service that a Release freezes. It is kept in a ControllerRevision owned by the Service.
type FrozenSpec struct {
	// Source as it was when the Release was resolved.
	Source SourceSpec `json:"source"`
	// Build as it was when the Release was resolved.
	Build BuildSpec `json:"build"`
	// Deploy as it was when the Release was resolved.
	Deploy DeploySpec `json:"deploy"`
	// Rollout as it was when the Release was resolved.
	Rollout RolloutSpec `json:"rollout"`
}

// ReleaseRecord names a Release together with all that is needed to deliver its artifact without it.
type ReleaseRecord struct {
	// Release is the name of the Release.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Release string `json:"release"`
	// UID of the Release.
	// +optional
	UID UID `json:"uid,omitempty"`
	// Sequence of the Release within its Service.
	// +optional
	Sequence int64 `json:"sequence,omitempty"`
	// Revision a person asked for.
	// +optional
	// +kubebuilder:validation:MaxLength=200
	Revision string `json:"revision,omitempty"`
	// Commit it resolved to.
	// +required
	// +kubebuilder:validation:MaxLength=64
	Commit string `json:"commit"`
	// Digest of the artifact.
	// +required
	// +kubebuilder:validation:MaxLength=80
	Digest string `json:"digest"`
	// Frozen is the name of the ControllerRevision with the FrozenSpec.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Frozen string `json:"frozen"`
	// Since is when the record was written.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
}

// BootStatus says where the user-data is.
type BootStatus struct {
	// ConfigMapRef names the ConfigMap of this namespace; its key "user-data" is a boothook of cloud-init.
	// +optional
	ConfigMapRef *LocalReference `json:"configMapRef,omitempty"`
	// Message says why there is none, or why it is not up to date.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`
}

// ReleaseOutcome records how a Release ended.
type ReleaseOutcome struct {
	// Release is the name of the Release.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Release string `json:"release"`
	// UID of the Release.
	// +required
	UID UID `json:"uid"`
	// Sequence of the Release within its Service.
	// +optional
	Sequence int64 `json:"sequence,omitempty"`
	// Commit it resolved to.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Commit string `json:"commit,omitempty"`
	// Digest of its artifact.
	// +optional
	// +kubebuilder:validation:MaxLength=80
	Digest string `json:"digest,omitempty"`
	// Outcome is Succeeded, Failed, Aborted, Superseded, RolledBack or Deleted.
	// +required
	// +kubebuilder:validation:MaxLength=64
	Outcome string `json:"outcome"`
	// Reason in one word, as on the Release's condition Succeeded.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`
	// Message for people.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`
	// Time when it ended.
	// +optional
	Time *metav1.Time `json:"time,omitempty"`
}

// RequestedRevision is the value of spec.revision that was acted on last.
type RequestedRevision struct {
	// Revision is the value.
	// +optional
	// +kubebuilder:validation:MaxLength=200
	Revision string `json:"revision,omitempty"`
	// Serial numbers the Releases made for spec.revision; the Release is named <service>-<serial>.
	// +optional
	Serial int64 `json:"serial,omitempty"`
	// Release is the name of the Release that was made for it; empty until it was made.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Release string `json:"release,omitempty"`
}

// Wave is a set of Targets that move together. It is written before any member is.
type Wave struct {
	// Number of the wave; it only grows.
	// +required
	Number int64 `json:"number"`
	// Hash of the members: their names and what each should run.
	// +required
	// +kubebuilder:validation:MaxLength=80
	Hash string `json:"hash"`
	// Members of the wave, by the name of their Targets.
	// +required
	// +listType=map
	// +listMapKey=target
	// +kubebuilder:validation:MaxItems=500
	Members []WaveMember `json:"members"`
	// Records are what the members should run; a member names one by its digest and frozen spec.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=4
	Records []ReleaseRecord `json:"records,omitempty"`
	// Reason says in words why these Targets move now.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
}

// WaveMember is one Target of a wave.
type WaveMember struct {
	// Target is the name of the Target.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Target string `json:"target"`
	// UID of the Target: one that is made anew under the name is no member.
	// +optional
	UID UID `json:"uid,omitempty"`
	// Record is the index into the wave's records.
	// +required
	Record int32 `json:"record"`
	// Fence that the Target gets.
	// +required
	Fence int64 `json:"fence"`
	// AsIs: the host serves the artifact already, and nothing is switched.
	// +optional
	AsIs bool `json:"asIs,omitempty"`
}

// TargetCounts counts a Service's or a Release's Targets.
type TargetCounts struct {
	// Total is the number of Targets.
	// +optional
	Total int32 `json:"total,omitempty"`
	// Ready is how many run what they should run.
	// +optional
	Ready int32 `json:"ready,omitempty"`
	// Updated is how many run this Release's artifact.
	// +optional
	Updated int32 `json:"updated,omitempty"`
	// Unavailable is how many are down, unreachable or failed.
	// +optional
	Unavailable int32 `json:"unavailable,omitempty"`
	// Drifted is how many differ from what was delivered.
	// +optional
	Drifted int32 `json:"drifted,omitempty"`
}

// AbandonedInstance is an instance that Auto Scaling was told to replace.
type AbandonedInstance struct {
	// Instance is its id.
	// +required
	// +kubebuilder:validation:MaxLength=32
	Instance string `json:"instance"`
	// AutoScalingGroup that it belonged to.
	// +required
	// +kubebuilder:validation:MaxLength=255
	AutoScalingGroup string `json:"autoScalingGroup"`
	// Reason in one word.
	// +required
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason"`
	// Time when that was decided.
	// +required
	Time metav1.Time `json:"time"`
}

// ServiceStatus is what the controller knows of a Service.
type ServiceStatus struct {
	// ObservedGeneration is the generation that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Ready, Reconciling, Stalled, Discovered, ReleaseNeeded, Diverged, AdoptionRequired, DriftStorm, Tracking.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// State in one word, for printing only.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	State string `json:"state,omitempty"`
	// LastSequence is the sequence number that was given to a Release last.
	// +optional
	LastSequence int64 `json:"lastSequence,omitempty"`
	// Requested is the value of spec.revision that was acted on last.
	// +optional
	Requested *RequestedRevision `json:"requested,omitempty"`
	// Tracking is the tip of spec.track that was acted on last.
	// +optional
	Tracking *TrackingStatus `json:"tracking,omitempty"`
	// Current is the last Release that completed: what a host that appears now gets.
	// +optional
	Current *ReleaseRecord `json:"current,omitempty"`
	// Previous is the Release that was current before.
	// +optional
	Previous *ReleaseRecord `json:"previous,omitempty"`
	// Rolling is the Release that holds the rollout slot.
	// +optional
	Rolling *ReleaseRecord `json:"rolling,omitempty"`
	// Stopping says why the Release in the rollout slot starts no more waves and will leave the slot once the Targets in
	// flight have settled: Superseded, Aborted, Deleted, TooManyFailed or ProgressDeadlineExceeded.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Stopping string `json:"stopping,omitempty"`
	// RollingBack is true while the Targets that were switched to the Release in the rollout slot return to the current one.
	// +optional
	RollingBack bool `json:"rollingBack,omitempty"`
	// Irreversible is the last hook after which the releases before do not work any more.
	// +optional
	Irreversible *IrreversibleRecord `json:"irreversible,omitempty"`
	// StorageID is the UID under which the depot keeps this Service's artifacts: its own, or after an adoption that of
	// the first Service object of the line.
	// +optional
	StorageID UID `json:"storageID,omitempty"`
	// History records how the last Releases ended, the newest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	History []ReleaseOutcome `json:"history,omitempty"`
	// Audit records who did what to the Service and its Releases, the newest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	Audit []AuditEntry `json:"audit,omitempty"`
	// Abandoned are the instances that this Service had Auto Scaling replace within the last hour, as they could not take
	// its release.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Abandoned []AbandonedInstance `json:"abandoned,omitempty"`
	// Boot says where the user-data is with which hosts get their release by themselves.
	// +optional
	Boot *BootStatus `json:"boot,omitempty"`
	// Wave is the last wave of Targets.
	// +optional
	Wave *Wave `json:"wave,omitempty"`
	// Targets counts the Targets.
	// +optional
	Targets TargetCounts `json:"targets,omitzero"`
	// TargetsReady is "ready/total", for printing only.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	TargetsReady string `json:"targetsReady,omitempty"`
	// Running says which revision and commit run, for printing only.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Running string `json:"running,omitempty"`
}
