// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AnnotationPushed of a Service is when a push to its repository was last reported; it only has the repository looked at
// sooner.
const AnnotationPushed = "slipway.dev/pushed"

// ConditionTracking of a Service is True while spec.track is followed, False when that is paused or the repository can't be read.
const ConditionTracking = "Tracking"

// Reasons of the condition Tracking and its Events.
const (
	// ReasonTracking says that the tip of spec.track was seen.
	ReasonTracking = "Tracking"
	// ReasonTrackingPaused says that a Release went wrong, so that no further one is made until a person has acted.
	ReasonTrackingPaused = "TrackingPaused"
)

// TrackSpec has Releases made by the controller itself when a branch moves or a new tag appears. Of the commits that
// arrive while a Release is active, or while a lock or a closed window holds, only the newest is released.
// +kubebuilder:validation:XValidation:rule="has(self.branch) != has(self.tagPattern)",message="give either branch or tagPattern"
// +kubebuilder:validation:XValidation:rule="!has(self.prereleases) || has(self.tagPattern)",message="prereleases goes with tagPattern"
type TrackSpec struct {
	// Branch to follow, such as main.
	// +optional
	Branch Revision `json:"branch,omitempty"`

	// TagPattern has one "*", such as v*. What stands for it must be a version (semver.org); the highest is released.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	// +kubebuilder:validation:Pattern=`^[^\x00-\x20\x7f~^:?*\[\\]*\*[^\x00-\x20\x7f~^:?*\[\\]*$`
	// +kubebuilder:validation:XValidation:rule="!self.contains('..') && !self.contains('@{') && !self.contains('//') && !self.startsWith('-') && !self.startsWith('/')",message="not a pattern of git tags: it may not begin with '-' or '/', nor contain '..', '@{' or '//'"
	TagPattern string `json:"tagPattern,omitempty"`

	// Prereleases counts versions such as 1.5.0-rc.1 too. Default false.
	// +optional
	Prereleases *bool `json:"prereleases,omitempty"`

	// Interval between looks at the repository. Default 1m.
	// +optional
	// +kubebuilder:default="1m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('15s') && duration(self) <= duration('24h')",message="must be between 15s and 24h"
	Interval metav1.Duration `json:"interval,omitzero"`

	// Webhook has a look taken at once when the repository's server reports a push. Default: none.
	// +optional
	Webhook *TrackWebhook `json:"webhook,omitempty"`

	// ResumeAfter names the Release after which tracking paused: it goes on, with another commit than that one's.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	ResumeAfter string `json:"resumeAfter,omitempty"`
}

// WebhookProvider is whose way of signing a webhook is used.
// +kubebuilder:validation:Enum=GitHub;GitLab;Generic
type WebhookProvider string

const (
	// WebhookGitHub checks X-Hub-Signature-256.
	WebhookGitHub WebhookProvider = "GitHub"
	// WebhookGitLab compares X-Gitlab-Token.
	WebhookGitLab WebhookProvider = "GitLab"
	// WebhookGeneric checks X-Slipway-Signature and X-Slipway-Timestamp.
	WebhookGeneric WebhookProvider = "Generic"
)

// TrackWebhook says how a reported push proves who sent it. It is sent to /hooks/<namespace>/<service> of the manager.
type TrackWebhook struct {
	// Provider is whose way of signing is used.
	// +required
	Provider WebhookProvider `json:"provider"`
	// SecretRef names the key of a Secret of this namespace that is shared with the sender: at least 16 bytes.
	// +required
	SecretRef SecretKeyReference `json:"secretRef"`
}

// TrackingStatus is the tip of spec.track that was acted on last.
type TrackingStatus struct {
	// Ref is its full name, such as refs/heads/main.
	// +required
	// +kubebuilder:validation:MaxLength=256
	Ref string `json:"ref"`
	// Commit that it was.
	// +required
	// +kubebuilder:validation:MaxLength=64
	Commit string `json:"commit"`
	// Release that was made for it, or that ran it already; empty until it was made.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Release string `json:"release,omitempty"`
	// Sequence is the last one given to a Release before that: how later ones ended decides whether tracking goes on.
	// +optional
	Sequence int64 `json:"sequence,omitempty"`
}
