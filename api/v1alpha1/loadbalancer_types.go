// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Reasons of a Target that is taken out of its load balancer, or brought back.
const (
	// ReasonDraining says that the host is being taken out of its load balancer.
	ReasonDraining = "Draining"
	// ReasonDrained says that the host is out of its load balancer: it gets no requests.
	ReasonDrained = "Drained"
	// ReasonRegistering says that the host is being brought back into its load balancer.
	ReasonRegistering = "Registering"
	// ReasonDrainFailed says that the host could not be taken out of its load balancer. Nothing was switched.
	ReasonDrainFailed = "DrainFailed"
	// ReasonReturnFailed says that the host could not be brought back into its load balancer, or is not healthy there.
	ReasonReturnFailed = "ReturnFailed"
)

// Steps of a delivery to a host that is behind a load balancer.
const (
	// StepDrain is the step before all others.
	StepDrain = "Drain"
	// StepReturn is the last step, after the health check.
	StepReturn = "Return"
)

// LoadBalancer says how a host is taken out of its load balancer before it is switched, and brought back when it is healthy.
// +kubebuilder:validation:ExactlyOneOf=targetGroups;commands
type LoadBalancer struct {
	// TargetGroups of Elastic Load Balancing (Application, Network or Gateway Load Balancer). A host that is not registered
	// in a group when a delivery begins is left as it is there.
	// +optional
	// +listType=map
	// +listMapKey=arn
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	TargetGroups []TargetGroup `json:"targetGroups,omitempty"`
	// Commands take a host out of nginx, HAProxy or any other load balancer, and bring it back.
	// +optional
	Commands *LoadBalancerCommands `json:"commands,omitempty"`
	// DrainTimeout is how long a host may take to drain. It should be above the target group's deregistration delay. Commands
	// have limits of their own. Default 5m.
	// +optional
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s') && duration(self) <= duration('1h')",message="must be between 10s and 1h"
	DrainTimeout metav1.Duration `json:"drainTimeout,omitzero"`
	// HealthyTimeout is how long a host may take until the target group calls it healthy. Default 5m.
	// +optional
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s') && duration(self) <= duration('1h')",message="must be between 10s and 1h"
	HealthyTimeout metav1.Duration `json:"healthyTimeout,omitzero"`
}

// TargetGroupARN names a target group and its region.
// +kubebuilder:validation:MaxLength=256
// +kubebuilder:validation:XValidation:rule="self.matches('^arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:targetgroup/[A-Za-z0-9-]{1,32}/[0-9a-f]{16}$')",message="must be the ARN of a target group, such as arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:targetgroup/web/0123456789abcdef"
type TargetGroupARN string

// TargetGroup is a target group in which hosts are registered. Of its target types, instance and ip are known.
type TargetGroup struct {
	// ARN of the target group. A TargetPolicy of the namespace must permit it in targetGroupARNs.
	// +required
	ARN TargetGroupARN `json:"arn"`
	// Port that hosts are registered with. Default: the target group's own.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`
}

// LoadBalancerCommands run on the host itself, through the connection that deliveries use, as ssh.user in the directory of the
// release that is live. They may be repeated: each must end well too if what it does is done already.
type LoadBalancerCommands struct {
	// Drain takes the host out, and ends with 0 when it gets no more requests.
	// +required
	Drain HostHook `json:"drain"`
	// Undrain brings the host back, and ends with 0 when it does get requests.
	// +required
	Undrain HostHook `json:"undrain"`
}

// LoadBalancerState is how a host stands in its load balancer, as far as Slipway has changed that.
// +kubebuilder:validation:Enum=InService;Draining;Drained;Registering
type LoadBalancerState string

const (
	// InService says that Slipway has brought the host back.
	InService LoadBalancerState = "InService"
	// Draining says that Slipway is about to take the host out, or has begun to.
	Draining LoadBalancerState = "Draining"
	// Drained says that Slipway has taken the host out.
	Drained LoadBalancerState = "Drained"
	// Registering says that Slipway is about to bring the host back, or has begun to.
	Registering LoadBalancerState = "Registering"
)

// LoadBalancerStatus is what Slipway did with a host in its load balancer. It is written before it is done.
type LoadBalancerStatus struct {
	// State is InService, Draining, Drained or Registering.
	// +required
	State LoadBalancerState `json:"state"`
	// Since is when that began.
	// +required
	Since metav1.Time `json:"since"`
	// Message for people.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// By is the Release for which the host was taken out.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	By string `json:"by,omitempty"`
	// Fence of the delivery for which the host was taken out last.
	// +optional
	Fence int64 `json:"fence,omitempty"`
	// Frozen is the name of the ControllerRevision that says how the host was taken out.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Frozen string `json:"frozen,omitempty"`
	// Members are the registrations that Slipway took out, and no others are brought back.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	Members []LoadBalancerMember `json:"members,omitempty"`
}

// LoadBalancerMember is a host's registration in a target group.
type LoadBalancerMember struct {
	// TargetGroupARN of the group.
	// +required
	// +kubebuilder:validation:MaxLength=256
	TargetGroupARN string `json:"targetGroupARN"`
	// ID is the instance's id, or the address in groups of target type ip.
	// +required
	// +kubebuilder:validation:MaxLength=64
	ID string `json:"id"`
	// Port it is registered with.
	// +required
	Port int32 `json:"port"`
}
