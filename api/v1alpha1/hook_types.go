// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Hooks are commands of the Service's owner. They run as ssh.user in the new release's directory. They may write to shared
// paths; what they change in the release itself is drift. What they leave running is ended: start daemons through the
// host's service manager. Their environment has SLIPWAY_SERVICE, _RELEASE, _REVISION, _COMMIT, _PREVIOUS_COMMIT, _DIGEST,
// _PATH (deploy.path) and _RELEASE_PATH.
type Hooks struct {
	// BeforeRollout runs once per Release, on one host that has the new release but does not serve it, before any host is
	// switched: migrations. If it fails, no host is switched.
	// +optional
	BeforeRollout *ReleaseHook `json:"beforeRollout,omitempty"`
	// BeforeSwitch runs on each host when the new release is complete but not yet live. If it fails, nothing is switched.
	// +optional
	BeforeSwitch *HostHook `json:"beforeSwitch,omitempty"`
	// AfterSwitch runs on each host when the new release is live. If it fails the host counts as failed.
	// +optional
	AfterSwitch *HostHook `json:"afterSwitch,omitempty"`
	// AfterRollout runs once per Release, on one host, when all of them serve it and are well. If it fails the Release has
	// failed.
	// +optional
	AfterRollout *ReleaseHook `json:"afterRollout,omitempty"`
}

// ReleaseHook is one command that runs once per Release. It is started at most once without a person: if nobody can tell
// how it ended, the Release stops. It never runs for hosts that appear, repairs and rollbacks, nor for a Release of an
// artifact that another Release completed before.
// +kubebuilder:validation:ExactlyOneOf=command;script
type ReleaseHook struct {
	// Command is an argv; no shell reads it.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:items:Pattern=`^[^\x00-\x1f\x7f]+$`
	Command []string `json:"command,omitempty"`
	// Script is run with "sh -eu".
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	Script string `json:"script,omitempty"`
	// Timeout after which the hook and all it started are killed. Default 10m.
	// +optional
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('6h')",message="must be between 1s and 6h"
	Timeout metav1.Duration `json:"timeout,omitzero"`
	// Irreversible says that the releases before do not work any more once the hook has begun, as when a migration drops a
	// column. No Release is rolled back across it by itself, and a person who goes back says so by an approval of the gate
	// Irreversible.
	// +optional
	Irreversible bool `json:"irreversible,omitempty"`
}

// HostHook is one command on a host.
// +kubebuilder:validation:ExactlyOneOf=command;script
type HostHook struct {
	// Command is an argv; no shell reads it.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:items:Pattern=`^[^\x00-\x1f\x7f]+$`
	Command []string `json:"command,omitempty"`
	// Script is run with "sh -eu".
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	Script string `json:"script,omitempty"`
	// Timeout after which the hook and all it started are killed. Default 60s.
	// +optional
	// +kubebuilder:default="60s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('1h')",message="must be between 1s and 1h"
	Timeout metav1.Duration `json:"timeout,omitzero"`
}

// ReleaseHookName names a hook that runs once per Release.
// +kubebuilder:validation:Enum=BeforeRollout;AfterRollout
type ReleaseHookName string

const (
	// HookBeforeRollout is deploy.hooks.beforeRollout.
	HookBeforeRollout ReleaseHookName = "BeforeRollout"
	// HookAfterRollout is deploy.hooks.afterRollout.
	HookAfterRollout ReleaseHookName = "AfterRollout"
)

// Of finds a hook that runs once per Release; nil if there is none.
func (h *Hooks) Of(name ReleaseHookName) *ReleaseHook {
	if name == HookAfterRollout {
		return h.AfterRollout
	}
	return h.BeforeRollout
}

// HookState is how far a hook is that runs once per Release.
type HookState string

const (
	// HookPending says: a host was chosen, and as far as anybody knows the hook has not begun.
	HookPending HookState = "Pending"
	// HookRunning says: the host has claimed the hook and begun it.
	HookRunning HookState = "Running"
	// HookSucceeded says: it ended with exit code 0.
	HookSucceeded HookState = "Succeeded"
	// HookFailed says: it ended otherwise, or could not be begun.
	HookFailed HookState = "Failed"
	// HookUnknown says: it may have run, and nobody can tell how it ended.
	HookUnknown HookState = "Unknown"
	// HookCanceled says: it was not begun, and will not be.
	HookCanceled HookState = "Canceled"
	// HookSkipped says: it was not to run.
	HookSkipped HookState = "Skipped"
)

// Over says whether nothing comes after a state.
func (s HookState) Over() bool { return s != "" && s != HookPending && s != HookRunning }

// HookResult is how a hook fared.
type HookResult struct {
	// State: Pending, Running, Succeeded, Failed, Unknown, Canceled or Skipped.
	// +required
	// +kubebuilder:validation:MaxLength=16
	State HookState `json:"state"`
	// Message for people.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// Output is the end of what the hook printed.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Output string `json:"output,omitempty"`
	// StartTime is when the hook was ordered.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// CompletionTime is when it was over.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
}

// ReleaseHookStatus is a hook of a Release. It is written before the hook is ordered.
type ReleaseHookStatus struct {
	// Name of the hook.
	// +required
	Name ReleaseHookName `json:"name"`
	// Target is the name of the Target that runs it.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Target string `json:"target,omitempty"`
	// Host is the name of that host.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Host       string `json:"host,omitempty"`
	HookResult `json:",inline"`
}

// Hook finds a hook's status; nil if it was not come to.
func (s *ReleaseStatus) Hook(name ReleaseHookName) *ReleaseHookStatus {
	for i := range s.Hooks {
		if s.Hooks[i].Name == name {
			return &s.Hooks[i]
		}
	}
	return nil
}

// HookOrder tells a host to run a hook of a Release.
type HookOrder struct {
	// Name of the hook.
	// +required
	Name ReleaseHookName `json:"name"`
	// Release whose hook it is.
	// +required
	Release ReleaseRecord `json:"release"`
	// PreviousCommit is that of the Release which was current before.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	PreviousCommit string `json:"previousCommit,omitempty"`
}

// TargetHookStatus is how a hook fared that the host was told to run.
type TargetHookStatus struct {
	// Name of the hook.
	// +required
	Name ReleaseHookName `json:"name"`
	// Release is the UID of the Release whose hook it is.
	// +required
	Release    UID `json:"release"`
	HookResult `json:",inline"`
}

// Answers says whether a status is that of an order.
func (s *TargetHookStatus) Answers(order *HookOrder) bool {
	return s != nil && order != nil && s.Name == order.Name && s.Release == order.Release.UID
}

// IrreversibleRecord says that a hook was ordered after which the releases before do not work any more.
type IrreversibleRecord struct {
	// Hook that it is.
	// +required
	Hook ReleaseHookName `json:"hook"`
	// Release is the name of its Release.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Release string `json:"release"`
	// Sequence of that Release: what was released before it is behind the hook.
	// +required
	Sequence int64 `json:"sequence"`
	// Digest of its artifact.
	// +optional
	// +kubebuilder:validation:MaxLength=80
	Digest string `json:"digest,omitempty"`
	// Time when the hook was ordered.
	// +required
	Time metav1.Time `json:"time"`
}
