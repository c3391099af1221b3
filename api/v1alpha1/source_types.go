// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// TargetSource is one source of hosts: hosts that a person wrote down, or EC2.
// +kubebuilder:validation:XValidation:rule="has(self.hosts) != has(self.ec2)",message="a source has either hosts or ec2: write two sources for both"
type TargetSource struct {
	// Hosts lists hosts by name and address.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=500
	Hosts []StaticHost `json:"hosts,omitempty"`
	// EC2 finds running instances by their tags or by their Auto Scaling group.
	// +optional
	EC2 *EC2Source `json:"ec2,omitempty"`
}

// StaticHost is a host that a person wrote down.
type StaticHost struct {
	// Name of the host, for people and for its known_hosts entries.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name"`
	// Address to connect to: an IP address or a DNS name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9]([-a-zA-Z0-9.:]*[a-zA-Z0-9])?$|^::1$`
	Address string `json:"address"`
	// Port of the host's SSH server. Default: ssh.port.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port *int32 `json:"port,omitempty"`
}

// EC2Source finds the running instances of one region that bear all tags and belong to the Auto Scaling group.
// +kubebuilder:validation:XValidation:rule="has(self.tags) || has(self.autoScalingGroup)",message="name tags, an autoScalingGroup, or both: a source that selects nothing in particular would select every instance"
// +kubebuilder:validation:XValidation:rule="(self.address == 'Tag') == has(self.addressTag)",message="addressTag goes with address: Tag, and only with it"
// +kubebuilder:validation:XValidation:rule="!has(self.externalID) || has(self.roleARN)",message="externalID goes with roleARN"
// +kubebuilder:validation:XValidation:rule="(!has(self.launchHook) && !has(self.terminateHook)) || has(self.autoScalingGroup)",message="launchHook and terminateHook are hooks of autoScalingGroup: name the group"
type EC2Source struct {
	// Region, such as ap-northeast-1.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[a-z]{2,4}(-[a-z]+)+-[0-9]+$`
	Region string `json:"region"`
	// Tags that an instance must bear, all of them, with exactly these values.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=10
	// +kubebuilder:validation:XValidation:rule="self.all(key, size(key) >= 1 && size(key) <= 128)",message="a tag's key has 1 to 128 characters"
	Tags map[string]TagValue `json:"tags,omitempty"`
	// AutoScalingGroup that an instance must belong to, by the group's name.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
	AutoScalingGroup string `json:"autoScalingGroup,omitempty"`
	// LaunchHook is the name of the group's lifecycle hook for launching instances that Slipway completes: with CONTINUE once
	// the instance runs what it should. Default: none.
	// +optional
	LaunchHook LifecycleHookName `json:"launchHook,omitempty"`
	// TerminateHook is the name of the group's lifecycle hook for terminating instances that Slipway completes once the
	// instance's Targets are gone. Default: none.
	// +optional
	TerminateHook LifecycleHookName `json:"terminateHook,omitempty"`
	// Address to connect to: PrivateIP, PublicIP, PrivateDNS, or Tag for the value of addressTag. Default PrivateIP.
	// +optional
	// +kubebuilder:default=PrivateIP
	Address AddressKind `json:"address,omitempty"`
	// AddressTag is the key of the tag that holds the address, with address: Tag.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	AddressTag string `json:"addressTag,omitempty"`
	// RoleARN of the IAM role to assume for looking. Default: the manager's own identity.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[!-~]+$`
	RoleARN string `json:"roleARN,omitempty"`
	// ExternalID that the role's trust policy asks for.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=1224
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9+=,.@:/_-]+$`
	ExternalID string `json:"externalID,omitempty"`
}

// LifecycleHookName is the name of a lifecycle hook of an Auto Scaling group.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=255
// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_/-]+$`
type LifecycleHookName string

// TagValue is the value of an instance's tag.
// +kubebuilder:validation:MaxLength=256
type TagValue string

// AddressKind says which of an instance's addresses is connected to.
// +kubebuilder:validation:Enum=PrivateIP;PublicIP;PrivateDNS;Tag
type AddressKind string

const (
	// AddressPrivateIP is the primary private IPv4 address.
	AddressPrivateIP AddressKind = "PrivateIP"
	// AddressPublicIP is the public IPv4 address.
	AddressPublicIP AddressKind = "PublicIP"
	// AddressPrivateDNS is the private DNS name.
	AddressPrivateDNS AddressKind = "PrivateDNS"
	// AddressTag is the value of the tag that addressTag names.
	AddressTag AddressKind = "Tag"
)
