// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TargetPolicySpec says which hosts the Services of some namespaces may reach, and how. A host is reached when one policy
// permits all of it: its address or instance, the SSH user and the path. What a list leaves out is refused.
type TargetPolicySpec struct {
	// Namespaces that the policy speaks for, by name. A trailing * stands for any end of a name.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^([a-z0-9]([-a-z0-9]*)?)?\*?$`
	Namespaces []string `json:"namespaces"`
	// EC2 lists the instances that may be reached. Without it none may.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	EC2 []EC2Permission `json:"ec2,omitempty"`
	// Addresses that may be reached: IP addresses, networks such as 10.0.0.0/16, DNS names, domains such as .example.com,
	// or * for every address. Hosts that a person wrote down need one of them. So do instances, if the list is not empty.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^(\*|[a-zA-Z0-9.:][-a-zA-Z0-9.:]*(/[0-9]{1,3})?)$`
	Addresses []string `json:"addresses,omitempty"`
	// SSHUsers that ssh.user may be; * is every user but root.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=32
	// +kubebuilder:validation:items:Pattern=`^(\*|[a-z_][a-z0-9_-]*)$`
	SSHUsers []string `json:"sshUsers"`
	// PathPrefixes are the directories that deploy.path and deploy.stateDir must be, or lie in; / is every path.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=512
	// +kubebuilder:validation:items:Pattern=`^/([A-Za-z0-9._+@-]+(/[A-Za-z0-9._+@-]+)*)?$`
	PathPrefixes []string `json:"pathPrefixes"`
	// TargetGroupARNs are the load balancer target groups that Services may name; a trailing * stands for any end of a name, and
	// * alone for every target group. Without it none may be named.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.all(x, x.matches('^([*]|arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:targetgroup/([A-Za-z0-9-]+/[0-9a-f]{16}|[A-Za-z0-9-]*(/[0-9a-f]*)?[*]))$'))",message="must be the ARN of a target group, such as arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:targetgroup/web/0123456789abcdef; * may stand for the end of the name, or for every target group"
	TargetGroupARNs []string `json:"targetGroupARNs,omitempty"`
}

// SpeaksFor says whether the policy speaks for a namespace.
func (s *TargetPolicySpec) SpeaksFor(namespace string) bool {
	return slices.ContainsFunc(s.Namespaces, func(pattern string) bool {
		start, open := strings.CutSuffix(pattern, "*")
		return pattern == namespace || open && strings.HasPrefix(namespace, start)
	})
}

// EC2Permission permits instances.
// +kubebuilder:validation:XValidation:rule="has(self.tags) != (has(self.allInstances) && self.allInstances)",message="demand tags, or say allInstances: true"
type EC2Permission struct {
	// Regions they may be in; * is every region.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=32
	// +kubebuilder:validation:items:Pattern=`^(\*|[a-z]{2,4}(-[a-z]+)+-[0-9]+)$`
	Regions []string `json:"regions"`
	// RoleARNs that may be assumed to look for them; a trailing * stands for any end of a role's path and name, and * alone for
	// every role. Without it only the manager's own identity may look.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=640
	// +kubebuilder:validation:XValidation:rule="self.all(x, x.matches('^([*]|arn:aws[a-z-]*:iam::[0-9]{12}:role/[!-)+-~]*[*]?)$'))",message="must be the ARN of a role, such as arn:aws:iam::123456789012:role/slipway-web; * may stand for the end of its name, or for every role, and never for an account"
	RoleARNs []string `json:"roleARNs,omitempty"`
	// Accounts that the instances must belong to, 12 digits each; roles of other accounts are not assumed either. Without it:
	// the accounts of the identities that may look. EC2 shows an identity its own account's instances and no others, and the
	// ARN of a role names its account, so that RoleARNs are bound enough, unless they hold *.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=12
	// +kubebuilder:validation:XValidation:rule="self.all(x, x.matches('^[0-9]{12}$'))",message="an account of AWS is 12 digits, without dashes and in quotes"
	Accounts []string `json:"accounts,omitempty"`
	// Tags that an instance must bear whatever the Service asks for.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=10
	// +kubebuilder:validation:XValidation:rule="self.all(key, size(key) >= 1 && size(key) <= 128)",message="a tag's key has 1 to 128 characters"
	Tags map[string]TagValue `json:"tags,omitempty"`
	// AllInstances demands no tags.
	// +optional
	AllInstances bool `json:"allInstances,omitempty"`
	// AutoScalingGroups it must belong to, by name; a trailing * stands for any end of a name. Without it any, or none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=255
	AutoScalingGroups []string `json:"autoScalingGroups,omitempty"`
}

// TargetPolicy bounds what the Services of some namespaces may reach. Administrators write it. A namespace that no policy
// speaks for may reach hosts that a person wrote down, and no instance of EC2.
// +genclient
// +genclient:nonNamespaced
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=sltp,categories=slipway
// +kubebuilder:printcolumn:name="Namespaces",type=string,JSONPath=`.spec.namespaces`
// +kubebuilder:printcolumn:name="Users",type=string,JSONPath=`.spec.sshUsers`
// +kubebuilder:printcolumn:name="Paths",type=string,JSONPath=`.spec.pathPrefixes`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type TargetPolicy struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Spec says what may be reached.
	// +required
	Spec TargetPolicySpec `json:"spec"`
}

// TargetPolicyList is a list of TargetPolicies.
// +kubebuilder:object:root=true
type TargetPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []TargetPolicy `json:"items"`
}
