// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
	// ServeUnits are the systemd units of the host that serve the release, such as nginx.service. A host that boots starts
	// them when it runs the right release, or after two minutes without one.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=100
	// +kubebuilder:validation:items:Pattern=`^[a-zA-Z0-9:_.@-]+\.(service|socket|target)$`
	ServeUnits []string `json:"serveUnits,omitempty"`
	// Hooks run on each host around the switch, or once per Release.
	// +optional
	Hooks Hooks `json:"hooks,omitzero"`
	// HealthCheck says how it is found out whether the release works on a host. A delivery that is not healthy in the end
	// has failed. Default: a host is well when it runs what was delivered.
	// +optional
	HealthCheck *HealthCheck `json:"healthCheck,omitempty"`
	// LoadBalancer says how a host is taken out of its load balancer before it is switched, and brought back afterwards.
	// Default: it stays in.
	// +optional
	LoadBalancer *LoadBalancer `json:"loadBalancer,omitempty"`
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
