// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package delivery brings one host to one artifact with one POSIX sh script that runs on the host: transfer, verify,
// switch. The same script looks at a host without changing anything (Probe).
package delivery

import (
	"context"
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot"
)

// Host is how a host is reached and how it proves itself.
type Host struct {
	// Namespace of the Service: connections are shared only within equal (namespace, user, key, host key).
	Namespace string
	// Name and Address are looked up in KnownHosts; Address and Port are dialled.
	Name    string
	Address string
	Port    int
	User    string
	// PrivateKey in PEM.
	PrivateKey []byte
	// Policy says how HostKey and KnownHosts are used.
	Policy v1alpha1.HostKeyPolicy
	// KnownHosts in OpenSSH's format (policies Known and CA).
	KnownHosts []byte
	// HostKey is the pinned key in authorized_keys format, or the fingerprint of one that is expected (policies Bound and
	// FirstUse). With FirstUse it is empty before the first connection.
	HostKey string
}

// Owner says who delivers, for the marker on the host.
type Owner struct {
	// ID of the Slipway installation.
	ID string
	// Service is the UID of the Service; AdoptFrom that of an earlier one whose hosts may be taken over.
	Service   v1alpha1.UID
	AdoptFrom v1alpha1.UID
}

// Order says what one host should run.
type Order struct {
	Owner  Owner
	Deploy v1alpha1.DeploySpec
	Fence  int64
	// ServiceName is the Service's name, for hooks.
	ServiceName string
	// Digest, Commit, Revision and Release of the artifact. Commit, Revision and Release are for hooks and reports.
	Digest   string
	Commit   string
	Revision string
	Release  string
	// Keep lists digests that prune must leave on the host.
	Keep []string
	// Depot is where the host pulls from. With a zero Endpoint only what the host already holds is used.
	Depot depot.Endpoint
	// PullKey signs a pull certificate for the host: minutes, one Service's artifact. See Credential.
	PullKey Credential
	// Repair says that what is live was changed on the host. Every delivery goes by the content of what is there, and
	// makes a new directory if the live one differs; a repair takes nothing from it by size and time either.
	Repair bool
	// AsIs says that the host serves the artifact already: if it does not, the delivery fails with ContentChanged and switches
	// nothing.
	AsIs bool
	// Boot says that the host is starting: hooks are told, because what they would reload may not run yet.
	Boot bool
}

// Credential mints what a host shows to the depot: a PEM private key and its certificate in authorized_keys format.
type Credential func(service v1alpha1.UID, digest string, valid time.Duration) (privateKey, certificate []byte, err error)

// Observation is what a host said of itself. Nothing on the host was changed.
type Observation struct {
	// HostKey is the key the host proved itself with, in authorized_keys format.
	HostKey string
	// Owner as the host's marker has it; nil if there is no marker.
	Owner *v1alpha1.PathOwner
	// Fence the host has seen; SwitchedFence the one it last switched under.
	Fence         int64
	SwitchedFence int64
	// Digest, Commit and Release that are live; empty if nothing is.
	Digest   string
	Commit   string
	Revision string
	Release  string
	// Since is when it was switched to.
	Since time.Time
	// Drift is nil if what is live is what was delivered.
	Drift *Drift
	// Held lists the digests the host holds complete.
	Held []string
}

// Drift says how a host differs from what was delivered.
type Drift struct {
	// Reason is v1alpha1.ReasonContentChanged or ReasonLinkMoved.
	Reason string
	// Message names the first few paths.
	Message string
}

// Result is what a delivery did.
type Result struct {
	// Observation after the delivery.
	Observation Observation
	// Steps in order, with times.
	Steps []v1alpha1.DeliveryStep
	// BytesReceived by rsync.
	BytesReceived int64
	// PruneError says why old releases could not be removed; the delivery is a success all the same.
	PruneError string
}

// Failure is the error of a delivery or a probe that reached a verdict. Any other error is unexpected.
type Failure struct {
	// Step is the step that failed, such as Connect, Fence, Preflight, Pull, Verify, BeforeSwitch, Switch, AfterSwitch.
	Step string
	// Reason is one of the documented reasons of a Target.
	Reason string
	// Message says what, where and what next.
	Message string
	// Switched is true if the host said that the new artifact is live all the same (afterSwitch failed), or partly so (a
	// sync of layout InPlace that failed half-way).
	Switched bool
	// Unknown is true if the host reported no end, as after a lost connection: it may have switched or may do so yet, so
	// it must be probed before anything is concluded. Switched is false then.
	Unknown bool
	// HostFence is the host's fence when Reason is FencedOff.
	HostFence int64
	// Terminal is true if trying again cannot help before somebody changes something.
	Terminal bool
	// Steps and HostKey as far as they were reached.
	Steps   []v1alpha1.DeliveryStep
	HostKey string
}

func (f *Failure) Error() string { return f.Step + ": " + f.Message }

// Driver reaches hosts. It is safe for concurrent use and keeps one connection per host.
type Driver interface {
	// Probe looks at a host and changes nothing.
	Probe(ctx context.Context, host Host, owner Owner, deploy v1alpha1.DeploySpec) (Observation, error)
	// Deliver brings a host to an artifact. It may be repeated at any time with the same order. progress, if not nil,
	// is told of each step as it begins.
	Deliver(ctx context.Context, host Host, order Order, progress func(step string)) (Result, error)
}

// Stager prepares deliveries.
type Stager interface {
	// Stage has the artifact of an order complete on a host and switches nothing: the delivery that follows pulls no more.
	// Observation is what is live all the same.
	Stage(ctx context.Context, host Host, order Order, progress func(step string)) (Result, error)
}
