// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ServiceSpec declares where a Service's source is, how it is built, on which hosts it runs and how it is rolled out.
// Source, build, deploy and rollout are frozen into each Release when it is resolved; the rest acts at once.
// +kubebuilder:validation:XValidation:rule="!(has(self.revision) && has(self.track))",message="give either revision or track: a Service can't both stay at a revision and follow a branch or tags"
type ServiceSpec struct {
	// Revision is the branch, tag or commit that should run. Each changed value makes one Release. Without it, Releases
	// are made by people alone.
	// +optional
	Revision Revision `json:"revision,omitempty"`

	// Track follows a branch, or the newest tag, and makes a Release of each changed tip. Default: none.
	// +optional
	Track *TrackSpec `json:"track,omitempty"`

	// Source says where the code is.
	// +required
	Source SourceSpec `json:"source"`

	// Build says how the code becomes an artifact.
	// +required
	Build BuildSpec `json:"build"`

	// Targets are the sources of hosts. One host named by two sources is one Target.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	Targets []TargetSource `json:"targets,omitempty"`

	// SSH says how the hosts are reached.
	// +required
	SSH SSHSpec `json:"ssh"`

	// Deploy says where on a host the artifact goes and how it is switched to.
	// +required
	Deploy DeploySpec `json:"deploy"`

	// Boot says how hosts get their release by themselves when they start.
	// +optional
	Boot *BootSpec `json:"boot,omitempty"`

	// Rollout says how many hosts may change at once, and for how long one rollout may make no progress.
	// +optional
	// +kubebuilder:default={}
	Rollout RolloutSpec `json:"rollout,omitzero"`

	// Lock keeps every rollout from beginning. Default: none.
	// +optional
	Lock *Lock `json:"lock,omitempty"`

	// Windows say when rollouts may begin. Default: at any time.
	// +optional
	Windows *Windows `json:"windows,omitempty"`

	// Notifications tell places outside of what becomes of the Service's Releases.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Notifications []Notification `json:"notifications,omitempty"`

	// RevisionHistoryLimit is how many finished Releases made by the controller are kept. People's own Releases are
	// never deleted by it. Default 10.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	RevisionHistoryLimit *int32 `json:"revisionHistoryLimit,omitempty"`

	// Adopt lets this Service take over hosts that an earlier Service object delivered to, after a restore or a move to
	// another cluster.
	// +optional
	Adopt *AdoptSpec `json:"adopt,omitempty"`
}

// Revision is what a person names: a branch, a tag or a commit. It follows git's own rules for reference names
// (git-check-ref-format): no control byte, space or any of ~^:?*[\, no leading dash, no "..", no "@{".
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=200
// +kubebuilder:validation:XValidation:rule="self.matches('^[^\\\\x00-\\\\x20\\\\x7f~^:?*\\\\[\\\\\\\\/.-][^\\\\x00-\\\\x20\\\\x7f~^:?*\\\\[\\\\\\\\]*$')",message="not a git revision: it may not begin with '-', '.' or '/', nor hold spaces, control characters or any of ~^:?*[\\"
// +kubebuilder:validation:XValidation:rule="!self.contains('..') && !self.contains('@{') && !self.contains('//') && !self.endsWith('/') && !self.endsWith('.lock')",message="not a git revision: it may not contain '..', '@{' or '//', nor end with '/' or '.lock'"
type Revision string

// SourceSpec says where a Service's code is.
type SourceSpec struct {
	// Git is a git repository.
	// +required
	Git GitSource `json:"git"`

	// Path is the subdirectory of the repository to build, relative and below its root. Default: the root.
	// +optional
	// +kubebuilder:default="."
	Path RelativePath `json:"path,omitempty"`
}

// RelativePath is a path below some root: relative, without "..", control bytes or a leading dash.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=512
// +kubebuilder:validation:Pattern=`^[^/\x00-\x1f\x7f-][^\x00-\x1f\x7f]*$`
// +kubebuilder:validation:XValidation:rule="!self.split('/').exists(s, s == '..')",message="must stay below its root: '..' is not allowed"
type RelativePath string

// GitSource is a git repository.
type GitSource struct {
	// URL of the repository: https://host/path or ssh://user@host/path. Credentials go into secretRef, never into the
	// URL. file:// is for demonstrations and works only where the operator allows it (--allow-file-sources).
	// +required
	// +kubebuilder:validation:MinLength=8
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^(https|ssh|file)://[^\\\\x00-\\\\x20\\\\x7f-][^\\\\x00-\\\\x20\\\\x7f]*$')",message="must be https://host/path or ssh://user@host/path, without spaces and control characters"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^https://[^/]*@') && !self.matches('^ssh://[^/@]*:[^/@]*@')",message="put credentials into a Secret and name it in secretRef, not into the URL"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^ssh://([^/@]*@)?-')",message="a host name may not begin with '-'"
	URL string `json:"url"`

	// SecretRef names a Secret of this namespace with the repository's credentials: for https the keys "username" and
	// "password" (type kubernetes.io/basic-auth), for ssh the keys "ssh-privatekey" and "known_hosts".
	// +optional
	SecretRef *LocalReference `json:"secretRef,omitempty"`
}

// LocalReference names an object in the same namespace.
type LocalReference struct {
	// Name of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name"`
}

// BuildSpec says how a commit becomes an artifact.
type BuildSpec struct {
	// Image is the language image the script runs in, such as php:8.3-cli.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^[a-z0-9][a-zA-Z0-9._/:@-]*$`
	Image string `json:"image"`

	// Script runs with "sh -eu" at the root of the source. Without it the source is released as it is.
	// +optional
	// +kubebuilder:validation:MaxLength=32768
	Script string `json:"script,omitempty"`

	// Env are the script's environment variables.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Env []EnvVar `json:"env,omitempty"`

	// Resources of the build container.
	// +optional
	Resources BuildResources `json:"resources,omitzero"`

	// Timeout of the whole build, from the first container's start to the artifact's publication. Default 15m.
	// +optional
	// +kubebuilder:default="15m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s') && duration(self) <= duration('6h')",message="must be between 10s and 6h"
	Timeout metav1.Duration `json:"timeout,omitzero"`

	// Cache lists directories below the source's root that are kept between builds of this Service.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	Cache []RelativePath `json:"cache,omitempty"`

	// Output says what of the build directory becomes the artifact.
	// +optional
	// +kubebuilder:default={}
	Output BuildOutput `json:"output,omitzero"`
}

// BuildResources limits the build container.
type BuildResources struct {
	// Limits, such as cpu: "2" and memory: 2Gi.
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	Limits corev1.ResourceList `json:"limits,omitempty"`
	// Requests; default: the limits.
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	Requests corev1.ResourceList `json:"requests,omitempty"`
}

// EnvVar is an environment variable of a build: a value, or a key of a Secret in the same namespace.
// +kubebuilder:validation:XValidation:rule="!(has(self.value) && has(self.secretKeyRef))",message="give either value or secretKeyRef, not both"
type EnvVar struct {
	// Name of the variable. Names that change how programs are loaded or found (PATH, LD_*, GIT_*, RSYNC_*, BASH_ENV,
	// ENV, IFS) are refused.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][A-Za-z0-9_]*$`
	// +kubebuilder:validation:XValidation:rule="!(self in ['PATH', 'BASH_ENV', 'ENV', 'IFS']) && !self.startsWith('LD_') && !self.startsWith('GIT_') && !self.startsWith('RSYNC_')",message="this variable changes how programs are loaded or found and cannot be set here"
	Name string `json:"name"`
	// Value of the variable.
	// +optional
	// +kubebuilder:validation:MaxLength=8192
	Value *string `json:"value,omitempty"`
	// SecretKeyRef takes the value from a Secret. It is redacted in the build's log.
	// +optional
	SecretKeyRef *SecretKeyReference `json:"secretKeyRef,omitempty"`
}

// SecretKeyReference names a key of a Secret in the same namespace.
type SecretKeyReference struct {
	LocalReference `json:",inline"`
	// Key within the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	Key string `json:"key"`
}

// BuildOutput says what of the build directory becomes the artifact.
type BuildOutput struct {
	// Path of the directory that becomes the artifact's top, relative to the source's root. Default: the root itself.
	// +optional
	// +kubebuilder:default="."
	Path RelativePath `json:"path,omitempty"`
	// Exclude lists paths, relative to path, that are left out: a file, or a directory with a trailing slash. "*" matches
	// within one name; a pattern without an inner slash matches at any depth. Default: .git/.
	// +optional
	// +listType=set
	// +kubebuilder:default={".git/"}
	// +kubebuilder:validation:MaxItems=128
	Exclude []Pattern `json:"exclude,omitempty"`
}

// Pattern selects paths. It is always handed on as data: it can neither clear nor precede a protect rule.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=256
// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f-][^\x00-\x1f\x7f]*$`
// +kubebuilder:validation:XValidation:rule="!self.split('/').exists(s, s == '..')",message="'..' is not allowed in a pattern"
type Pattern string

// SSHSpec says how hosts are reached.
type SSHSpec struct {
	// User that owns deploy.path on the hosts and runs the delivery.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[a-z_][a-z0-9_-]*$`
	User string `json:"user"`
	// Port of the hosts' SSH servers. Default 22.
	// +optional
	// +kubebuilder:default=22
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`
	// KeySecretRef names a Secret (type kubernetes.io/ssh-auth, key "ssh-privatekey") of this namespace.
	// +required
	KeySecretRef LocalReference `json:"keySecretRef"`
	// HostKeys says how a host proves itself. Host keys are always checked.
	// +required
	HostKeys HostKeys `json:"hostKeys"`
}

// BootSpec says how hosts get their release by themselves when they start. EC2 instances need nothing of it.
type BootSpec struct {
	// KeySecretRef names a Secret (type kubernetes.io/ssh-auth) of this namespace. Hosts without an EC2 instance identity
	// that hold its private key as /etc/slipway/key may read the release at boot, and do nothing else with it. The public
	// half, in the key "ssh-publickey", is enough; without it that of "ssh-privatekey" is taken.
	// +optional
	KeySecretRef *LocalReference `json:"keySecretRef,omitempty"`
}

// HostKeyPolicy says how a host's key is trusted.
// +kubebuilder:validation:Enum=Known;CA;Bound;FirstUse
type HostKeyPolicy string

const (
	// HostKeysKnown trusts the keys listed in a known_hosts file.
	HostKeysKnown HostKeyPolicy = "Known"
	// HostKeysCA trusts host certificates signed by a @cert-authority of a known_hosts file.
	HostKeysCA HostKeyPolicy = "CA"
	// HostKeysBound trusts the key that an EC2 instance bound to itself at the depot when it booted with the user-data of
	// status.boot. Nothing is trusted before.
	HostKeysBound HostKeyPolicy = "Bound"
	// HostKeysFirstUse pins the key seen at the first connection; a changed key is refused from then on.
	HostKeysFirstUse HostKeyPolicy = "FirstUse"
)

// HostKeys says how a host proves itself.
// +kubebuilder:validation:XValidation:rule="self.policy in ['FirstUse', 'Bound'] || has(self.configMapRef)",message="policy Known and policy CA need configMapRef: a ConfigMap with the key known_hosts"
type HostKeys struct {
	// Policy is Known (listed keys), CA (certificates of a listed authority), Bound (instances that booted with the user-data
	// of status.boot have proved their keys) or FirstUse (pin what is seen first).
	// Default Known.
	// +optional
	// +kubebuilder:default=Known
	Policy HostKeyPolicy `json:"policy,omitempty"`
	// ConfigMapRef names a ConfigMap of this namespace whose key "known_hosts" is in OpenSSH's format. A line may name a
	// host by its name or by its address.
	// +optional
	ConfigMapRef *LocalReference `json:"configMapRef,omitempty"`
}

// AdoptSpec names the Service object that delivered to the hosts before.
type AdoptSpec struct {
	// FromUID is the UID of the earlier Service object, as the message of the condition AdoptionRequired gives it.
	// +required
	FromUID UID `json:"fromUID"`
}

// Service is a deployable application: where its source is, how it is built, on which hosts it runs and how it is
// rolled out.
// +genclient
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=slsvc,categories=slipway
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Running",type=string,JSONPath=`.status.running`
// +kubebuilder:printcolumn:name="Targets",type=string,JSONPath=`.status.targetsReady`
// +kubebuilder:printcolumn:name="Release",type=string,JSONPath=`.status.current.release`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 52",message="a Service's name has at most 52 characters"
type Service struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Spec declares the Service.
	// +required
	Spec ServiceSpec `json:"spec"`
	// Status is what the controller knows of it.
	// +optional
	Status ServiceStatus `json:"status,omitzero"`
}

// ServiceList is a list of Services.
// +kubebuilder:object:root=true
type ServiceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Service `json:"items"`
}
