// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// NotificationEvent is what a Service's Releases can tell of.
// +kubebuilder:validation:Enum=Started;Succeeded;Failed;RolledBack;Stopped;ApprovalWanted
type NotificationEvent string

const (
	// NotifyStarted says: a Release began.
	NotifyStarted NotificationEvent = "Started"
	// NotifySucceeded says: all hosts run it.
	NotifySucceeded NotificationEvent = "Succeeded"
	// NotifyFailed says: it failed, and hosts were left as they are.
	NotifyFailed NotificationEvent = "Failed"
	// NotifyRolledBack says: it failed, or a person had enough of it, and its hosts were returned.
	NotifyRolledBack NotificationEvent = "RolledBack"
	// NotifyStopped says: it was aborted, deleted, or superseded by a newer one.
	NotifyStopped NotificationEvent = "Stopped"
	// NotifyApprovalWanted says: it waits for people's approval.
	NotifyApprovalWanted NotificationEvent = "ApprovalWanted"
)

// Notification tells a place outside of what becomes of a Service's Releases.
// +kubebuilder:validation:ExactlyOneOf=slack;webhook
type Notification struct {
	// Name of the notification, for its record.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`
	// Events that are told of. Default: all.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=6
	Events []NotificationEvent `json:"events,omitempty"`
	// Slack sends a message to an incoming webhook of Slack, or of what takes the same (Mattermost, Rocket.Chat, Discord's
	// /slack).
	// +optional
	Slack *SlackNotification `json:"slack,omitempty"`
	// Webhook posts JSON, signed.
	// +optional
	Webhook *WebhookNotification `json:"webhook,omitempty"`
	// Template replaces the message's text (slack), or the whole body (webhook), which must be JSON. It is a template of Go's
	// text/template with the fields of docs/notifications.md, conditions, and the functions json and find. What makes nothing
	// but white space is not sent.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Template string `json:"template,omitempty"`
}

// SlackNotification says where to send to.
type SlackNotification struct {
	// URLSecretRef names the key of a Secret that holds the URL.
	// +required
	URLSecretRef SecretKeyReference `json:"urlSecretRef"`
}

// WebhookNotification says where to post to.
type WebhookNotification struct {
	// URLSecretRef names the key of a Secret that holds the URL.
	// +required
	URLSecretRef SecretKeyReference `json:"urlSecretRef"`
	// SigningKeySecretRef names the key of a Secret that the request is signed with. Default: it is not signed.
	// +optional
	SigningKeySecretRef *SecretKeyReference `json:"signingKeySecretRef,omitempty"`
	// AuthorizationSecretRef names the key of a Secret with the value of the header Authorization, such as "Bearer ...".
	// +optional
	AuthorizationSecretRef *SecretKeyReference `json:"authorizationSecretRef,omitempty"`
}

// NotificationState is how far the telling is.
type NotificationState string

const (
	// NotificationPending says: it is yet to be sent, or sent again.
	NotificationPending NotificationState = "Pending"
	// NotificationSent says: the other side took it.
	NotificationSent NotificationState = "Sent"
	// NotificationFailed says: it was given up.
	NotificationFailed NotificationState = "Failed"
	// NotificationSkipped says: its template made nothing.
	NotificationSkipped NotificationState = "Skipped"
)

// NotificationStatus is one thing that a place is told. It is written before anything is sent.
type NotificationStatus struct {
	// Name of the notification.
	// +required
	// +kubebuilder:validation:MaxLength=40
	Name string `json:"name"`
	// Event that is told of, with the gate behind a slash where people are asked to approve.
	// +required
	// +kubebuilder:validation:MaxLength=40
	Event string `json:"event"`
	// State: Pending, Sent, Failed or Skipped.
	// +required
	// +kubebuilder:validation:MaxLength=16
	State NotificationState `json:"state"`
	// Attempts that were made.
	// +optional
	Attempts int32 `json:"attempts,omitempty"`
	// NextTime is when it is tried again.
	// +optional
	NextTime *metav1.Time `json:"nextTime,omitempty"`
	// Time when the event was seen.
	// +required
	Time metav1.Time `json:"time"`
	// Message says why it is not sent yet, or never will be.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Message string `json:"message,omitempty"`
}
