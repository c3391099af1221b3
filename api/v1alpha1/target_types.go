// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TargetSpec says which host this is and what it should run. The controller writes it; people do not.
type TargetSpec struct {
	// Service is the name of the Service, in the same namespace.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Service string `json:"service"`
	// ServiceUID is the UID of the Service.
	// +required
	ServiceUID UID `json:"serviceUID"`
	// Host to reach.
	// +required
	Host TargetHost `json:"host"`
	// Artifact that the host should run. Without it the host is only looked at.
	// +optional
	Artifact *ReleaseRecord `json:"artifact,omitempty"`
	// Fence grows with every write that changes what the host should run, or that permits one more switch to the same
	// thing. A host refuses a lower one.
	// +optional
	Fence int64 `json:"fence,omitempty"`
	// AsIs: the host serves the artifact already, as far as is known, and nothing is switched. Where it does not any more the
	// delivery fails with ContentChanged, and the host is ordered anew when maxUnavailable has room for it.
	// +optional
	AsIs bool `json:"asIs,omitempty"`
	// Wave that the fence belongs to.
	// +optional
	Wave int64 `json:"wave,omitempty"`
	// Hook that the host runs for the whole Service.
	// +optional
	Hook *HookOrder `json:"hook,omitempty"`
}

// TargetHost is how a host is reached.
type TargetHost struct {
	// ID identifies the host within the Service: a static host's name, or an EC2 instance's id.
	// +required
	// +kubebuilder:validation:MaxLength=253
	ID string `json:"id"`
	// Name of the host, for people.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Address to connect to.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Address string `json:"address"`
	// Port of its SSH server.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`
}

// RunningArtifact is what a host runs, as the host itself said.
type RunningArtifact struct {
	// Digest of the artifact.
	// +optional
	// +kubebuilder:validation:MaxLength=80
	Digest string `json:"digest,omitempty"`
	// Commit it was built from.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Commit string `json:"commit,omitempty"`
	// Release that brought it.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Release string `json:"release,omitempty"`
	// Label says revision and short commit, for printing only.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Label string `json:"label,omitempty"`
	// Since is when it was switched to.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
}

// DeliveryStatus is the last delivery to a host.
type DeliveryStatus struct {
	// Fence of the delivery.
	// +optional
	Fence int64 `json:"fence,omitempty"`
	// Digest that was delivered.
	// +optional
	// +kubebuilder:validation:MaxLength=80
	Digest string `json:"digest,omitempty"`
	// Outcome: Succeeded or Failed.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Outcome string `json:"outcome,omitempty"`
	// Reason of the last failure, in one word.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`
	// Step at which it failed.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Step string `json:"step,omitempty"`
	// Failures in a row at this fence.
	// +optional
	Failures int32 `json:"failures,omitempty"`
	// StartTime of the delivery.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// CompletionTime of the delivery.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
	// BytesReceived is what rsync transferred to the host.
	// +optional
	BytesReceived int64 `json:"bytesReceived,omitempty"`
	// Steps of the delivery, in order.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Steps []DeliveryStep `json:"steps,omitempty"`
}

// DeliveryStep is one step of a delivery.
type DeliveryStep struct {
	// Name of the step, such as Pull.
	// +required
	// +kubebuilder:validation:MaxLength=32
	Name string `json:"name"`
	// Milliseconds it took.
	// +optional
	Milliseconds int64 `json:"milliseconds,omitempty"`
	// Message for people.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// TargetStatus is what the controller knows of a host.
type TargetStatus struct {
	// ObservedGeneration is the generation that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Instance is the EC2 instance that the host is, as EC2 described it last.
	// +optional
	Instance *InstanceStatus `json:"instance,omitempty"`
	// Conditions: Ready, Reconciling, Stalled, Reachable, Available, Healthy, Drifted, Pruned.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Fence that the host has seen, as it said itself.
	// +optional
	Fence int64 `json:"fence,omitempty"`
	// SwitchedFence is the fence under which the host last switched, as it said itself.
	// +optional
	SwitchedFence int64 `json:"switchedFence,omitempty"`
	// Running is what the host runs.
	// +optional
	Running *RunningArtifact `json:"running,omitempty"`
	// Owner is the owner of the host's path when it is another than this Service.
	// +optional
	Owner *PathOwner `json:"owner,omitempty"`
	// Delivery is the last delivery.
	// +optional
	Delivery *DeliveryStatus `json:"delivery,omitempty"`
	// LoadBalancer is what Slipway did with the host in its load balancer; absent if it never took it out.
	// +optional
	LoadBalancer *LoadBalancerStatus `json:"loadBalancer,omitempty"`
	// Hook is how the last hook fared that the host ran for the whole Service.
	// +optional
	Hook *TargetHookStatus `json:"hook,omitempty"`
	// Boot is how the host fared when it started last, if it got its release by itself.
	// +optional
	Boot *BootResult `json:"boot,omitempty"`
	// Repin is a person's consent to another host key, as it was acted on last.
	// +optional
	Repin *RepinStatus `json:"repin,omitempty"`
	// HostKey is the pinned key of the host in authorized_keys format (policies Bound and FirstUse). After a person named
	// another one it is that one's fingerprint, until the host has shown it.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	HostKey string `json:"hostKey,omitempty"`
}

// InstanceStatus is an EC2 instance as EC2 and Auto Scaling described it last.
type InstanceStatus struct {
	// ID of the instance.
	// +required
	// +kubebuilder:validation:MaxLength=64
	ID string `json:"id"`
	// Account that owns it, 12 digits.
	// +optional
	// +kubebuilder:validation:MaxLength=12
	Account string `json:"account,omitempty"`
	// Zone it runs in.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Zone string `json:"zone,omitempty"`
	// Type of the instance, such as t4g.small.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Type string `json:"type,omitempty"`
	// AutoScalingGroup it belongs to.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	AutoScalingGroup string `json:"autoScalingGroup,omitempty"`
	// LifecycleState within the group, such as InService.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	LifecycleState string `json:"lifecycleState,omitempty"`
	// LaunchTime is when it was started last.
	// +optional
	LaunchTime *metav1.Time `json:"launchTime,omitempty"`
}

// PathOwner is who a path on a host belongs to, as the host's marker says.
type PathOwner struct {
	// OwnerID of the Slipway installation.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	OwnerID string `json:"ownerID,omitempty"`
	// ServiceUID of the Service.
	// +optional
	ServiceUID UID `json:"serviceUID,omitempty"`
}

// Target is one host of one Service: what it should run, what it runs, and whether it is healthy.
// +genclient
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:selectablefield:JSONPath=`.spec.service`
// +kubebuilder:resource:shortName=sltgt,categories=slipway
// +kubebuilder:printcolumn:name="Service",type=string,JSONPath=`.spec.service`
// +kubebuilder:printcolumn:name="Host",type=string,JSONPath=`.spec.host.name`
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.spec.host.address`
// +kubebuilder:printcolumn:name="Desired",type=string,JSONPath=`.spec.artifact.revision`
// +kubebuilder:printcolumn:name="Running",type=string,JSONPath=`.status.running.label`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type Target struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Spec says what the host should run.
	// +required
	Spec TargetSpec `json:"spec"`
	// Status is what the host runs.
	// +optional
	Status TargetStatus `json:"status,omitzero"`
}

// TargetList is a list of Targets.
// +kubebuilder:object:root=true
type TargetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Target `json:"items"`
}

// BootResult is how a host fared when it started.
type BootResult struct {
	// Time of its report.
	// +required
	Time metav1.Time `json:"time"`
	// Digest that it runs, if it got so far.
	// +optional
	// +kubebuilder:validation:MaxLength=80
	Digest string `json:"digest,omitempty"`
	// Reason in one word if it failed.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`
	// Message for people.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// RepinStatus records that a person consented to another host key.
type RepinStatus struct {
	// Request is the value of the annotation slipway.dev/repin that was acted on.
	// +required
	// +kubebuilder:validation:MaxLength=512
	Request string `json:"request"`
	// Before is the fingerprint of the key that was pinned until then.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Before string `json:"before,omitempty"`
	// Time when it was acted on.
	// +required
	Time metav1.Time `json:"time"`
}
