// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ReleaseSpec says which revision of which Service is to run, and why. It is immutable but for paused, abort,
// rollBack, and approvals and an override that are added.
// +kubebuilder:validation:XValidation:rule="self.service == oldSelf.service",message="a Release is a record and can't be changed: create a new Release for the other Service"
// +kubebuilder:validation:XValidation:rule="self.revision == oldSelf.revision",message="a Release is a record and can't be changed: create a new Release for the other revision"
// +kubebuilder:validation:XValidation:rule="has(self.reason) == has(oldSelf.reason) && (!has(self.reason) || self.reason == oldSelf.reason)",message="a Release is a record: its reason can't be changed"
// +kubebuilder:validation:XValidation:rule="has(self.rebuild) == has(oldSelf.rebuild) && (!has(self.rebuild) || self.rebuild == oldSelf.rebuild)",message="a Release is a record: create a new Release with the new value of rebuild"
// +kubebuilder:validation:XValidation:rule="has(self.requestedBy) == has(oldSelf.requestedBy) && (!has(self.requestedBy) || self.requestedBy == oldSelf.requestedBy)",message="a Release is a record: requestedBy can't be changed"
// +kubebuilder:validation:XValidation:rule="(has(self.allowShrink) && self.allowShrink) == (has(oldSelf.allowShrink) && oldSelf.allowShrink)",message="a Release is a record: create a new Release to allow a shrunken artifact"
// +kubebuilder:validation:XValidation:rule="!has(self.requires) || self.requires.service != self.service",message="a Service can't be required by its own Release: name the one that is released first"
// +kubebuilder:validation:XValidation:rule="has(self.requires) == has(oldSelf.requires) && (!has(self.requires) || self.requires == oldSelf.requires)",message="a Release is a record: create a new Release with the other requirement"
// +kubebuilder:validation:XValidation:rule="has(self.skipHooks) == has(oldSelf.skipHooks) && (!has(self.skipHooks) || self.skipHooks == oldSelf.skipHooks)",message="a Release is a record: create a new Release that skips other hooks"
// +kubebuilder:validation:XValidation:rule="!(has(oldSelf.abort) && oldSelf.abort) || (has(self.abort) && self.abort)",message="an aborted Release stays aborted: create a new Release"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.override) || (has(self.override) && self.override == oldSelf.override)",message="an override is on record and can't be changed or taken back: create a new Release"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.approvals) || (has(self.approvals) && oldSelf.approvals.all(a, self.approvals.exists(b, b == a)))",message="an approval is on record and can't be changed or taken back: abort the Release instead"
// +kubebuilder:validation:XValidation:rule="!(has(oldSelf.rollBack) && oldSelf.rollBack) || (has(self.rollBack) && self.rollBack)",message="a Release that is rolled back stays so: create a new Release"
type ReleaseSpec struct {
	// Service is the name of the Service, in the same namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=52
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Service string `json:"service"`
	// Revision is the branch, tag or commit to release.
	// +required
	Revision Revision `json:"revision"`
	// Reason says why, for the record.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
	// RequestedBy names who asked for it. The cluster sets it where it can, and else checks it.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	RequestedBy string `json:"requestedBy,omitempty"`
	// Rebuild, when it differs from that of earlier Releases, has the commit built anew instead of taking the artifact
	// that the depot already holds. Any text serves, such as today's date.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9._:-]*$`
	Rebuild string `json:"rebuild,omitempty"`
	// AllowShrink accepts in advance an artifact with less than half the files of the Service's last one, which waits for an
	// approval without it: an empty or broken build must not delete a site. It takes the verb override.
	// +optional
	AllowShrink bool `json:"allowShrink,omitempty"`
	// Requires has the Release take over the artifact that another Service released from the same commit, instead of building
	// one: what was tried there is what is released here.
	// +optional
	Requires *Requirement `json:"requires,omitempty"`
	// SkipHooks lists hooks that are not to run for this Release, such as one that a person has run by hand.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=2
	SkipHooks []ReleaseHookName `json:"skipHooks,omitempty"`
	// Override lets the Release through a lock or a closed window.
	// +optional
	Override *Override `json:"override,omitempty"`
	// Approvals let the Release go on at gates, such as a pause until it is approved. They are only ever added to.
	// +optional
	// +listType=map
	// +listMapKey=gate
	// +listMapKey=by
	// +kubebuilder:validation:MaxItems=16
	Approvals []Approval `json:"approvals,omitempty"`
	// Paused: Targets in flight finish, no more are started.
	// +optional
	Paused bool `json:"paused,omitempty"`
	// Abort: stop here for good. Targets that were switched stay on the new artifact, the others on the old one.
	// +optional
	Abort bool `json:"abort,omitempty"`
	// RollBack: stop, and return the Targets that were switched to the Release that completed last, also while paused and
	// whatever rollout.onFailure says. Without such a Release, and before any Target is moved, it is an abort; on a finished
	// Release it does nothing: release an earlier revision instead.
	// +optional
	RollBack bool `json:"rollBack,omitempty"`
}

// Requirement is what another Service must have done before.
type Requirement struct {
	// Service is the name of the other Service, in the same namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=52
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Service string `json:"service"`
	// Bake is how long the other Service must have run it. Default: it is enough that its Release has succeeded.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('720h')",message="must be between 0s and 720h"
	Bake metav1.Duration `json:"bake,omitzero"`
	// Timeout is how long the Release waits for that. Default 24h.
	// +optional
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('720h')",message="must be between 1m and 720h"
	Timeout metav1.Duration `json:"timeout,omitzero"`
}

// ArtifactStatus describes the artifact of a Release.
type ArtifactStatus struct {
	// Digest of the artifact: "sha256:" and 64 hex digits.
	// +required
	// +kubebuilder:validation:MaxLength=80
	Digest string `json:"digest"`
	// Files is the number of files in it.
	// +optional
	Files int64 `json:"files,omitempty"`
	// Bytes is the sum of the files' sizes.
	// +optional
	Bytes int64 `json:"bytes,omitempty"`
	// Reused is true if the depot already held the artifact, so that nothing was built.
	// +optional
	Reused bool `json:"reused,omitempty"`
	// PromotedFrom names the Service and its Release, with a slash in between, whose artifact was taken over.
	// +optional
	// +kubebuilder:validation:MaxLength=320
	PromotedFrom string `json:"promotedFrom,omitempty"`
}

// CommitStatus describes a commit, as git has it.
type CommitStatus struct {
	// Subject is the first line of its message.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Subject string `json:"subject,omitempty"`
	// Author is the name of who wrote it.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Author string `json:"author,omitempty"`
	// Time when it was committed.
	// +optional
	Time *metav1.Time `json:"time,omitempty"`
}

// BuildStatus describes the build of a Release.
type BuildStatus struct {
	// Key of the build: a hash of the commit and of everything that shapes the result.
	// +required
	// +kubebuilder:validation:MaxLength=80
	Key string `json:"key"`
	// Image is the image reference that is run, pinned where it could be.
	// +optional
	// +kubebuilder:validation:MaxLength=640
	Image string `json:"image,omitempty"`
	// Attempt numbers the builds of one key, from 1.
	// +optional
	Attempt int32 `json:"attempt,omitempty"`
	// Job is the name of the build's Job, in the same namespace.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Job string `json:"job,omitempty"`
	// JobUID is the UID of the build's Job.
	// +optional
	JobUID UID `json:"jobUID,omitempty"`
	// Shrunk says why the depot did not take what this attempt built: it waits until people have approved that.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Shrunk string `json:"shrunk,omitempty"`
	// StartTime is when the Job was made.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// CompletionTime is when the build ended.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
}

// TargetFailure says what went wrong on one Target.
type TargetFailure struct {
	// Target is the name of the Target.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Target string `json:"target"`
	// Host is the name of the host.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Host string `json:"host"`
	// Reason in one word.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`
	// Message for people.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// StepStatus is where in its steps a rollout is.
type StepStatus struct {
	// Index of the step, from 0. As many as there are steps means that all were gone through.
	// +required
	Index int32 `json:"index"`
	// Since is when the step began.
	// +required
	Since metav1.Time `json:"since"`
	// Message says in words what the step does or waits for.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Message string `json:"message,omitempty"`
}

// RollbackStatus describes an automatic rollback.
type RollbackStatus struct {
	// To is the name of the Release that the Targets return to.
	// +required
	// +kubebuilder:validation:MaxLength=253
	To string `json:"to"`
	// Reason in one word: TooManyFailed, ProgressDeadlineExceeded or RollbackRequested.
	// +required
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason"`
	// Message says what went wrong, as it was when the rollback began.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// Targets is how many were on their way to the Release, or ran it, when the rollback began.
	// +optional
	Targets int32 `json:"targets,omitempty"`
	// StartTime of the rollback.
	// +required
	StartTime metav1.Time `json:"startTime"`
}

// ReleaseStatus is what the controller knows of a Release.
type ReleaseStatus struct {
	// ObservedGeneration is the generation that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Ready, Reconciling, Stalled, Resolved, Built, Published, RolledOut, Verified, Finished, Succeeded.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Phase in one word, for printing only.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Phase string `json:"phase,omitempty"`
	// ServiceUID is the UID of the Service that this Release is bound to; it runs against no other.
	// +optional
	ServiceUID UID `json:"serviceUID,omitempty"`
	// Sequence orders the Releases of one Service.
	// +optional
	Sequence int64 `json:"sequence,omitempty"`
	// Commit that the revision resolved to.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Commit string `json:"commit,omitempty"`
	// Ref is the full name of the reference that the revision was found at, such as refs/tags/v1.4.2; empty for a commit.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Ref string `json:"ref,omitempty"`
	// ShortCommit is the first eight digits of the commit, for printing only.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	ShortCommit string `json:"shortCommit,omitempty"`
	// Described says what the commit is, once the depot has its source.
	// +optional
	Described *CommitStatus `json:"described,omitempty"`
	// Frozen is the name of the ControllerRevision that holds the Service as this Release froze it.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Frozen string `json:"frozen,omitempty"`
	// Build describes the build.
	// +optional
	Build *BuildStatus `json:"build,omitempty"`
	// Artifact describes the artifact.
	// +optional
	Artifact *ArtifactStatus `json:"artifact,omitempty"`
	// Targets counts the Targets.
	// +optional
	Targets TargetCounts `json:"targets,omitzero"`
	// TargetsUpdated is "updated/total", for printing only.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	TargetsUpdated string `json:"targetsUpdated,omitempty"`
	// Failures are the first Targets that went wrong; the rest is on the Targets themselves.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	Failures []TargetFailure `json:"failures,omitempty"`
	// Rollback says why the Targets that were switched return to the Release before; nil while they do not.
	// +optional
	Rollback *RollbackStatus `json:"rollback,omitempty"`
	// Step of rollout.steps that the rollout is at.
	// +optional
	Step *StepStatus `json:"step,omitempty"`
	// Hooks of the Release that were come to: BeforeRollout, AfterRollout.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=2
	Hooks []ReleaseHookStatus `json:"hooks,omitempty"`
	// Plan is what the Release would do, if it only asks for that (annotation slipway.dev/dry-run).
	// +optional
	Plan *ReleasePlan `json:"plan,omitempty"`
	// Notifications are what places outside are told of the Release.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +listMapKey=event
	// +kubebuilder:validation:MaxItems=50
	Notifications []NotificationStatus `json:"notifications,omitempty"`
	// StartTime is when the Release was first seen.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// WaitingSince is when the Release began to wait for what its condition Ready names; such a wait has a deadline.
	// +optional
	WaitingSince *metav1.Time `json:"waitingSince,omitempty"`
	// HeldUntil is when the lock or the closed window that holds the Release up ends by itself.
	// +optional
	HeldUntil *metav1.Time `json:"heldUntil,omitempty"`
	// ProgressTime is when a Target last became ready in this rollout.
	// +optional
	ProgressTime *metav1.Time `json:"progressTime,omitempty"`
	// CompletionTime is when the Release ended.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
}

// Release is one attempt to bring a Service to one revision: the record of who released what, when and why.
// +genclient
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:selectablefield:JSONPath=`.spec.service`
// +kubebuilder:resource:shortName=slrel,categories=slipway
// +kubebuilder:printcolumn:name="Service",type=string,JSONPath=`.spec.service`
// +kubebuilder:printcolumn:name="Revision",type=string,JSONPath=`.spec.revision`
// +kubebuilder:printcolumn:name="Commit",type=string,JSONPath=`.status.shortCommit`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Targets",type=string,JSONPath=`.status.targetsUpdated`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type Release struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Spec says what to release.
	// +required
	Spec ReleaseSpec `json:"spec"`
	// Status is what the controller knows of it.
	// +optional
	Status ReleaseStatus `json:"status,omitzero"`
}

// ReleaseList is a list of Releases.
// +kubebuilder:object:root=true
type ReleaseList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Release `json:"items"`
}
