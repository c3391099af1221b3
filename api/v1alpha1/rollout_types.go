// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// RolloutSpec says how many hosts may change at once, how many may fail, and what becomes of a Release that fails.
type RolloutSpec struct {
	// MaxUnavailable is how many Targets, or what share of them, may be unavailable at any time, those that are down
	// anyway included. A percentage rounds down, to at least 1. Default 25%.
	// +optional
	// +kubebuilder:default="25%"
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=4
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 && self <= 5000 : self.matches('^([1-9][0-9]?|100)%$')",message="must be a number from 1 to 5000 or a percentage from 1% to 100%"
	MaxUnavailable intstr.IntOrString `json:"maxUnavailable,omitzero"`
	// MaxFailed is how many Targets, or what share of them, a Release may leave behind: those that failed to take it, went
	// bad after their switch, or do not answer. Within it they are named, and caught up once they are well again. Beyond it
	// no further Target is moved: the Release ends as onFailure says, at once if a Target failed, at the progress deadline
	// if Targets only do not answer. A percentage rounds down. Default 0.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=4
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 && self <= 5000 : self.matches('^([0-9]|[1-9][0-9]|100)%$')",message="must be a number from 0 to 5000 or a percentage from 0% to 100%"
	MaxFailed intstr.IntOrString `json:"maxFailed,omitzero"`
	// OnFailure says what becomes of the Targets that were switched when a Release fails: Rollback returns them to the
	// Release that completed last, under the same maxUnavailable; Stop leaves all as they are. Default Rollback.
	// +optional
	// +kubebuilder:default=Rollback
	OnFailure FailurePolicy `json:"onFailure,omitempty"`
	// BakeTime is how long a Target must have been well after its switch before another is moved in its stead, and how long
	// all of them must have been before the Release succeeds. One that goes bad meanwhile counts against maxFailed.
	// Default 0s.
	// +optional
	// +kubebuilder:default="0s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('24h')",message="must be between 0s and 24h"
	BakeTime metav1.Duration `json:"bakeTime,omitzero"`
	// Steps are gone through in order before the rest of the Targets are moved, such as one Target, then a pause of ten
	// minutes, then a quarter of them. Default: none, all Targets as maxUnavailable allows.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Steps []RolloutStep `json:"steps,omitempty"`
	// ProgressDeadline is how long a rollout may go without any Target becoming ready before its Release fails. Pauses do
	// not count. Default 10m.
	// +optional
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('5s') && duration(self) <= duration('24h')",message="must be between 5s and 24h"
	ProgressDeadline metav1.Duration `json:"progressDeadline,omitzero"`
}

// FailurePolicy says what becomes of the switched Targets when a Release fails.
// +kubebuilder:validation:Enum=Rollback;Stop
type FailurePolicy string

const (
	// OnFailureRollback returns them to the Release that completed last.
	OnFailureRollback FailurePolicy = "Rollback"
	// OnFailureStop leaves all as they are.
	OnFailureStop FailurePolicy = "Stop"
)

// RolloutStep is one step of a rollout: so many Targets, or a pause.
// +kubebuilder:validation:XValidation:rule="has(self.targets) != has(self.pause)",message="a step is either targets or pause"
type RolloutStep struct {
	// Targets that are to run the Release when this step is done, those of the steps before included: a number, or a share
	// of all. A percentage rounds up.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=4
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 && self <= 5000 : self.matches('^([1-9][0-9]?|100)%$')",message="must be a number from 1 to 5000 or a percentage from 1% to 100%"
	Targets *intstr.IntOrString `json:"targets,omitempty"`
	// Pause before the next step.
	// +optional
	Pause *RolloutPause `json:"pause,omitempty"`
}

// RolloutPause is a pause between two steps: for a while, or until it is approved that the rollout goes on.
// +kubebuilder:validation:XValidation:rule="has(self.duration) != (has(self.untilApproved) && self.untilApproved)",message="a pause has either a duration or untilApproved: true"
type RolloutPause struct {
	// Duration of the pause, counted from when the step before was done.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('168h')",message="must be between 1s and 168h"
	Duration metav1.Duration `json:"duration,omitzero"`
	// UntilApproved: the rollout goes on when the gate Step-<number of this step, from 1> is in spec.approvals of the Release:
	// by somebody other than who asked for it, or by two people where nobody knows who did.
	// +optional
	UntilApproved bool `json:"untilApproved,omitempty"`
}
