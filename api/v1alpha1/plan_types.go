// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// AnnotationDryRun on a new Release asks what it would do. The answer is status.plan; nothing else happens, then or later. "true"
// is the only value that counts.
const AnnotationDryRun = "slipway.dev/dry-run"

// ReleasePlan is what a Release would do if it were made now.
type ReleasePlan struct {
	// Commit that the revision is, and Ref the full name of the reference it was found at.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Commit string `json:"commit,omitempty"`
	// Ref is empty for a commit.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Ref string `json:"ref,omitempty"`
	// Digest of the artifact; empty if it is not built yet.
	// +optional
	// +kubebuilder:validation:MaxLength=80
	Digest string `json:"digest,omitempty"`
	// Build says in a sentence what would be built, or why nothing would.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Build string `json:"build,omitempty"`
	// Files that would change on the hosts, against what is current; absent if that is not known.
	// +optional
	Files *PlannedFiles `json:"files,omitempty"`
	// Batches of hosts in the order in which they would move, each after the one before it has arrived.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Batches []PlannedBatch `json:"batches,omitempty"`
	// Hosts is how many there are, Moving how many would be moved.
	// +optional
	Hosts int32 `json:"hosts,omitempty"`
	// Moving counts those in all batches, also those that are not listed.
	// +optional
	Moving int32 `json:"moving,omitempty"`
	// Staying are hosts that would not be moved, and why; the first few.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Staying []PlannedStay `json:"staying,omitempty"`
	// Guards would hold the Release up, or end it.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=1024
	Guards []string `json:"guards,omitempty"`
	// Warnings are what a person may want to know before.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=512
	Warnings []string `json:"warnings,omitempty"`
}

// PlannedFiles is how an artifact differs from the current one.
type PlannedFiles struct {
	// Added, Changed and Deleted count files and links.
	// +optional
	Added int64 `json:"added,omitempty"`
	// Changed in content, mode or kind.
	// +optional
	Changed int64 `json:"changed,omitempty"`
	// Deleted from what is current.
	// +optional
	Deleted int64 `json:"deleted,omitempty"`
	// Bytes of those added and changed.
	// +optional
	Bytes int64 `json:"bytes,omitempty"`
	// AddedPaths, ChangedPaths and DeletedPaths are the first of them, in the order of their names.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:MaxLength=512
	AddedPaths []string `json:"addedPaths,omitempty"`
	// ChangedPaths are the first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:MaxLength=512
	ChangedPaths []string `json:"changedPaths,omitempty"`
	// DeletedPaths are the first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:MaxLength=512
	DeletedPaths []string `json:"deletedPaths,omitempty"`
}

// PlannedBatch is a set of hosts that would move together, or a pause.
type PlannedBatch struct {
	// Hosts is how many.
	// +optional
	Hosts int32 `json:"hosts,omitempty"`
	// Names of the first of them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	// +kubebuilder:validation:items:MaxLength=253
	Names []string `json:"names,omitempty"`
	// Reason in words, as the planner would give it; of a pause, what is waited for.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
}

// PlannedStay is a host that would not be moved.
type PlannedStay struct {
	// Host is its name.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Host string `json:"host"`
	// Reason in words.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason,omitempty"`
}

// IsDryRun says whether a Release only asks what it would do. That is decided at the first look, and never again.
func (r *Release) IsDryRun() bool {
	return r.Status.Plan != nil || r.Status.StartTime == nil && r.Annotations[AnnotationDryRun] == "true"
}
