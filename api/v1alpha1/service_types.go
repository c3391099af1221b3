// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// ServiceSpec declares where a Service's source is, how it is built, on which hosts it runs and how it is rolled out.
// Source, build, deploy and rollout are frozen into each Release when it is resolved; the rest acts at once.
type ServiceSpec struct {
	// Revision is the branch, tag or commit that should run. Each changed value makes one Release. Without it, Releases
	// are made by people alone.
	// +optional
	Revision Revision `json:"revision,omitempty"`

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

	// Rollout says how many hosts may change at once, and for how long one rollout may make no progress.
	// +optional
	// +kubebuilder:default={}
	Rollout RolloutSpec `json:"rollout,omitzero"`

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

// TargetSource is one source of hosts.
type TargetSource struct {
	// Hosts lists hosts by name and address.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=500
	Hosts []StaticHost `json:"hosts"`
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

// HostKeyPolicy says how a host's key is trusted.
// +kubebuilder:validation:Enum=Known;CA;FirstUse
type HostKeyPolicy string

const (
	// HostKeysKnown trusts the keys listed in a known_hosts file.
	HostKeysKnown HostKeyPolicy = "Known"
	// HostKeysCA trusts host certificates signed by a @cert-authority of a known_hosts file.
	HostKeysCA HostKeyPolicy = "CA"
	// HostKeysFirstUse pins the key seen at the first connection; a changed key is refused from then on.
	HostKeysFirstUse HostKeyPolicy = "FirstUse"
)

// HostKeys says how a host proves itself.
// +kubebuilder:validation:XValidation:rule="self.policy == 'FirstUse' || has(self.configMapRef)",message="policy Known and policy CA need configMapRef: a ConfigMap with the key known_hosts"
type HostKeys struct {
	// Policy is Known (listed keys), CA (certificates of a listed authority) or FirstUse (pin what is seen first).
	// Default Known.
	// +optional
	// +kubebuilder:default=Known
	Policy HostKeyPolicy `json:"policy,omitempty"`
	// ConfigMapRef names a ConfigMap of this namespace whose key "known_hosts" is in OpenSSH's format. A line may name a
	// host by its name or by its address.
	// +optional
	ConfigMapRef *LocalReference `json:"configMapRef,omitempty"`
}

// Layout says how an artifact becomes live on a host.
// +kubebuilder:validation:Enum=Atomic;InPlace
type Layout string

const (
	// LayoutAtomic keeps releases/<digest> and flips the symbolic link "current".
	LayoutAtomic Layout = "Atomic"
	// LayoutInPlace syncs the verified, staged tree into deploy.path itself: while it does, old and new files are mixed.
	LayoutInPlace Layout = "InPlace"
)

// DriftPolicy says what happens to a host whose files are not what was delivered.
// +kubebuilder:validation:Enum=Repair;Report
type DriftPolicy string

const (
	// DriftRepair delivers the same artifact again into a fresh directory and switches to it.
	DriftRepair DriftPolicy = "Repair"
	// DriftReport only says so.
	DriftReport DriftPolicy = "Report"
)

// AbsolutePath is an absolute path at least two levels deep, without "..", "." or empty segments and control bytes.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=255
// +kubebuilder:validation:XValidation:rule="self.matches('^(/[^/\\\\x00-\\\\x1f\\\\x7f]+){2,}$') && !self.split('/').exists(s, s == '..' || s == '.')",message="must be absolute and at least two levels deep, such as /var/www/blog, without '.' and '..', empty segments and control characters"
type AbsolutePath string

// DeploySpec says where on a host the artifact goes and how it is switched to.
// +kubebuilder:validation:XValidation:rule="self.layout != 'InPlace' || has(self.stateDir)",message="layout InPlace needs stateDir, a directory outside of path"
// +kubebuilder:validation:XValidation:rule="!has(self.stateDir) || self.layout == 'Atomic' || !(self.stateDir + '/').startsWith(self.path + '/') && !(self.path + '/').startsWith(self.stateDir + '/')",message="stateDir and path may not lie within each other"
type DeploySpec struct {
	// Path on the host. Atomic: the directory that holds releases/ and the link current (the web server's root is
	// path/current). InPlace: the document root itself. It can't be changed once set: make a new Service instead.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="deploy.path can't be changed: create another Service for the new path, then delete this one"
	Path AbsolutePath `json:"path"`
	// Layout is Atomic or InPlace. Default Atomic.
	// +optional
	// +kubebuilder:default=Atomic
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="deploy.layout can't be changed: create another Service"
	Layout Layout `json:"layout,omitempty"`
	// StateDir holds Slipway's own files on the host. Default for Atomic: path. Required for InPlace, outside of path.
	// +optional
	StateDir AbsolutePath `json:"stateDir,omitempty"`
	// Shared lists what outlives every release: it is never shipped and never deleted.
	// +optional
	// +listType=map
	// +listMapKey=path
	// +kubebuilder:validation:MaxItems=64
	Shared []SharedPath `json:"shared,omitempty"`
	// KeepReleases is how many releases stay on a host besides those that are current, previous or still needed.
	// Default 5.
	// +optional
	// +kubebuilder:default=5
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=50
	KeepReleases int32 `json:"keepReleases,omitempty"`
	// WebUser is the user that the web server runs as: releases are checked to be readable by it. Default: not checked.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[a-z_][a-z0-9_-]*$`
	WebUser string `json:"webUser,omitempty"`
	// Adopt gives consent to take over a path that holds files which Slipway did not put there.
	// +optional
	Adopt *AdoptDocroot `json:"adopt,omitempty"`
	// Drift says what happens to a host whose files are not what was delivered: Repair or Report. Default Repair.
	// +optional
	// +kubebuilder:default=Repair
	Drift DriftPolicy `json:"drift,omitempty"`
	// DriftInterval is how often each host is looked at. Default 5m.
	// +optional
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('5s') && duration(self) <= duration('24h')",message="must be between 5s and 24h"
	DriftInterval metav1.Duration `json:"driftInterval,omitzero"`
	// Timeout of one delivery to one host, hooks included. Default 10m.
	// +optional
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s') && duration(self) <= duration('6h')",message="must be between 10s and 6h"
	Timeout metav1.Duration `json:"timeout,omitzero"`
	// Hooks run on each host around the switch.
	// +optional
	Hooks HostHooks `json:"hooks,omitzero"`
}

// SharedType says what a shared path is.
// +kubebuilder:validation:Enum=Dir;File
type SharedType string

const (
	// SharedDir is a directory; it is made if it is not there.
	SharedDir SharedType = "Dir"
	// SharedFile is a file; it is linked whether or not it is there yet.
	SharedFile SharedType = "File"
)

// SharedPath outlives every release: it lies outside of them and is linked into each.
type SharedPath struct {
	// Path below the artifact's top.
	// +required
	// +kubebuilder:validation:XValidation:rule="self != '.'",message="name a path below the artifact's top"
	Path RelativePath `json:"path"`
	// Type is Dir or File. Default Dir.
	// +optional
	// +kubebuilder:default=Dir
	Type SharedType `json:"type,omitempty"`
	// Source is where the shared thing lies on the host, such as an NFS mount. Default: shared/<path> below
	// deploy.path (Atomic); for InPlace it stays where it is.
	// +optional
	Source AbsolutePath `json:"source,omitempty"`
}

// AdoptDocroot gives consent to take over files that are there already.
type AdoptDocroot struct {
	// Existing true: a non-empty deploy.path without Slipway's marker is taken over; its content stays as
	// releases/pre-slipway and is the first thing to roll back to.
	// +required
	Existing bool `json:"existing"`
}

// HostHooks run on each host around the switch, as ssh.user, in the new release's directory.
type HostHooks struct {
	// BeforeSwitch runs when the new release is complete but not yet live. If it fails, nothing is switched.
	// +optional
	BeforeSwitch *HostHook `json:"beforeSwitch,omitempty"`
	// AfterSwitch runs when the new release is live. If it fails the host counts as failed.
	// +optional
	AfterSwitch *HostHook `json:"afterSwitch,omitempty"`
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

// RolloutSpec says how many hosts may change at once.
type RolloutSpec struct {
	// MaxUnavailable is how many Targets, or what share of them, may be unavailable at any time, those that are down
	// anyway included. A percentage rounds down, to at least 1. Default 25%.
	// +optional
	// +kubebuilder:default="25%"
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=4
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 && self <= 5000 : self.matches('^([1-9][0-9]?|100)%$')",message="must be a number from 1 to 5000 or a percentage from 1% to 100%"
	MaxUnavailable intstr.IntOrString `json:"maxUnavailable,omitzero"`
	// ProgressDeadline is how long a rollout may go without any Target becoming ready before its Release fails.
	// Default 10m.
	// +optional
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('5s') && duration(self) <= duration('24h')",message="must be between 5s and 24h"
	ProgressDeadline metav1.Duration `json:"progressDeadline,omitzero"`
}

// AdoptSpec names the Service object that delivered to the hosts before.
type AdoptSpec struct {
	// FromUID is the UID of the earlier Service object, as the message of the condition AdoptionRequired gives it.
	// +required
	FromUID UID `json:"fromUID"`
}

// FrozenSpec is the part of a Service that a Release freezes. It is kept in a ControllerRevision owned by the Service.
type FrozenSpec struct {
	// Source as it was when the Release was resolved.
	Source SourceSpec `json:"source"`
	// Build as it was when the Release was resolved.
	Build BuildSpec `json:"build"`
	// Deploy as it was when the Release was resolved.
	Deploy DeploySpec `json:"deploy"`
	// Rollout as it was when the Release was resolved.
	Rollout RolloutSpec `json:"rollout"`
}

// ReleaseRecord names a Release together with all that is needed to deliver its artifact without it.
type ReleaseRecord struct {
	// Release is the name of the Release.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Release string `json:"release"`
	// UID of the Release.
	// +optional
	UID UID `json:"uid,omitempty"`
	// Sequence of the Release within its Service.
	// +optional
	Sequence int64 `json:"sequence,omitempty"`
	// Revision a person asked for.
	// +optional
	// +kubebuilder:validation:MaxLength=200
	Revision string `json:"revision,omitempty"`
	// Commit it resolved to.
	// +required
	// +kubebuilder:validation:MaxLength=64
	Commit string `json:"commit"`
	// Digest of the artifact.
	// +required
	// +kubebuilder:validation:MaxLength=80
	Digest string `json:"digest"`
	// Frozen is the name of the ControllerRevision with the FrozenSpec.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Frozen string `json:"frozen"`
	// Since is when the record was written.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
}

// ReleaseOutcome records how a Release ended.
type ReleaseOutcome struct {
	// Release is the name of the Release.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Release string `json:"release"`
	// UID of the Release.
	// +required
	UID UID `json:"uid"`
	// Sequence of the Release within its Service.
	// +optional
	Sequence int64 `json:"sequence,omitempty"`
	// Commit it resolved to.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Commit string `json:"commit,omitempty"`
	// Digest of its artifact.
	// +optional
	// +kubebuilder:validation:MaxLength=80
	Digest string `json:"digest,omitempty"`
	// Outcome is Succeeded, Failed, Aborted, Superseded, RolledBack or Deleted.
	// +required
	// +kubebuilder:validation:MaxLength=64
	Outcome string `json:"outcome"`
	// Reason in one word, as on the Release's condition Succeeded.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`
	// Message for people.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`
	// Time when it ended.
	// +optional
	Time *metav1.Time `json:"time,omitempty"`
}

// RequestedRevision is the value of spec.revision that was acted on last.
type RequestedRevision struct {
	// Revision is the value.
	// +optional
	// +kubebuilder:validation:MaxLength=200
	Revision string `json:"revision,omitempty"`
	// Serial numbers the Releases made for spec.revision; the Release is named <service>-<serial>.
	// +optional
	Serial int64 `json:"serial,omitempty"`
	// Release is the name of the Release that was made for it; empty until it was made.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Release string `json:"release,omitempty"`
}

// Wave is a set of Targets that move together. It is written before any member is.
type Wave struct {
	// Number of the wave; it only grows.
	// +required
	Number int64 `json:"number"`
	// Hash of the members: their names and what each should run.
	// +required
	// +kubebuilder:validation:MaxLength=80
	Hash string `json:"hash"`
	// Members of the wave, by the name of their Targets.
	// +required
	// +listType=map
	// +listMapKey=target
	// +kubebuilder:validation:MaxItems=500
	Members []WaveMember `json:"members"`
	// Records are what the members should run; a member names one by its digest and frozen spec.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=4
	Records []ReleaseRecord `json:"records,omitempty"`
	// Reason says in words why these Targets move now.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
}

// WaveMember is one Target of a wave.
type WaveMember struct {
	// Target is the name of the Target.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Target string `json:"target"`
	// Record is the index into the wave's records.
	// +required
	Record int32 `json:"record"`
	// Fence that the Target gets.
	// +required
	Fence int64 `json:"fence"`
}

// TargetCounts counts a Service's or a Release's Targets.
type TargetCounts struct {
	// Total is the number of Targets.
	// +optional
	Total int32 `json:"total,omitempty"`
	// Ready is how many run what they should run.
	// +optional
	Ready int32 `json:"ready,omitempty"`
	// Updated is how many run this Release's artifact.
	// +optional
	Updated int32 `json:"updated,omitempty"`
	// Unavailable is how many are down, unreachable or failed.
	// +optional
	Unavailable int32 `json:"unavailable,omitempty"`
	// Drifted is how many differ from what was delivered.
	// +optional
	Drifted int32 `json:"drifted,omitempty"`
}

// ServiceStatus is what the controller knows of a Service.
type ServiceStatus struct {
	// ObservedGeneration is the generation that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Ready, Reconciling, Stalled, ReleaseNeeded, Diverged, AdoptionRequired, DriftStorm.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// State in one word, for printing only.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	State string `json:"state,omitempty"`
	// LastSequence is the sequence number that was given to a Release last.
	// +optional
	LastSequence int64 `json:"lastSequence,omitempty"`
	// Requested is the value of spec.revision that was acted on last.
	// +optional
	Requested *RequestedRevision `json:"requested,omitempty"`
	// Current is the last Release that completed: what a host that appears now gets.
	// +optional
	Current *ReleaseRecord `json:"current,omitempty"`
	// Previous is the Release that was current before.
	// +optional
	Previous *ReleaseRecord `json:"previous,omitempty"`
	// Rolling is the Release that holds the rollout slot.
	// +optional
	Rolling *ReleaseRecord `json:"rolling,omitempty"`
	// Stopping says why the Release in the rollout slot starts no more waves and will leave the slot once the Targets in
	// flight have settled: Superseded, Aborted, Deleted or ProgressDeadlineExceeded.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Stopping string `json:"stopping,omitempty"`
	// StorageID is the UID under which the depot keeps this Service's artifacts: its own, or after an adoption that of
	// the first Service object of the line.
	// +optional
	StorageID UID `json:"storageID,omitempty"`
	// History records how the last Releases ended, the newest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	History []ReleaseOutcome `json:"history,omitempty"`
	// Wave is the last wave of Targets.
	// +optional
	Wave *Wave `json:"wave,omitempty"`
	// Targets counts the Targets.
	// +optional
	Targets TargetCounts `json:"targets,omitzero"`
	// TargetsReady is "ready/total", for printing only.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	TargetsReady string `json:"targetsReady,omitempty"`
	// Running says which revision and commit run, for printing only.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Running string `json:"running,omitempty"`
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
