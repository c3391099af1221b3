// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package depot says what the depot does: it keeps Artifacts, mirrors of sources and build logs, and serves them over
// SSH. Package store is its storage, package server its SSH front, package client the way in for the manager, for
// build Pods and for hosts.
package depot

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/artifact"
)

// Errors that callers act on. They survive the way over SSH.
var (
	// ErrNotFound says that the depot does not hold what was asked for.
	ErrNotFound = errors.New("not found in the depot")
	// ErrRefused says that what was asked breaks a rule; trying again is of no use.
	ErrRefused = errors.New("refused by the depot")
	// ErrUnavailable says that the depot does not answer; trying again is.
	ErrUnavailable = errors.New("the depot does not answer")
)

// Artifact describes a published artifact.
type Artifact struct {
	// Digest is "sha256:" and 64 hex digits: the sha256 of the manifest.
	Digest string `json:"digest"`
	// Files and Bytes count regular files.
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
	// Service, BuildKey and Commit say what it was built for and from.
	Service  v1alpha1.UID `json:"service"`
	BuildKey string       `json:"buildKey"`
	Commit   string       `json:"commit"`
	// Published is when.
	Published time.Time `json:"published"`
}

// MirrorRequest asks for a commit to be present in the depot's mirror of a repository.
type MirrorRequest struct {
	Service v1alpha1.UID `json:"service"`
	URL     string       `json:"url"`
	// Commit is 40 (or 64) hex digits.
	Commit string `json:"commit"`
	// Ref is the full name of the reference it was found at, if it was; some servers give commits out by reference only.
	Ref string `json:"ref,omitempty"`
	// Credentials of the repository. They are used for the one fetch and never stored.
	Credentials GitCredentials `json:"credentials,omitzero"`
}

// GitCredentials opens a repository: username and password, or an SSH key with the hosts' known keys.
type GitCredentials struct {
	Username   string `json:"username,omitempty"`
	Password   string `json:"password,omitempty"`
	PrivateKey []byte `json:"privateKey,omitempty"`
	KnownHosts []byte `json:"knownHosts,omitempty"`
}

// BuildGrant is what a build Pod may do at the depot. It is written into the extensions of its certificate.
type BuildGrant struct {
	Service  v1alpha1.UID `json:"service"`
	BuildKey string       `json:"buildKey"`
	Attempt  int32        `json:"attempt"`
	// Mirror is the URL whose mirror holds Commit; Path the subdirectory of the source.
	Mirror string `json:"mirror"`
	Commit string `json:"commit"`
	Path   string `json:"path,omitempty"`
	// Shared are paths that publish leaves out of the manifest.
	Shared []string `json:"shared,omitempty"`
	// Cache are the directories that are kept between builds.
	Cache []string `json:"cache,omitempty"`
	// Previous is the digest of the Service's last artifact: unchanged files keep its mtimes, and a build with less
	// than half of its files is refused with reason ArtifactShrunk unless AllowShrink is set.
	Previous    string `json:"previous,omitempty"`
	AllowShrink bool   `json:"allowShrink,omitempty"`
}

// Promotion makes an artifact of one Service one of another's.
type Promotion struct {
	// From is the Service whose artifact Digest is, by the UID that its artifacts are kept under.
	From   v1alpha1.UID `json:"from"`
	Digest string       `json:"digest"`
	// Grant says what it becomes. BuildKey names the promotion; Mirror, Path and Cache are not used.
	Grant BuildGrant `json:"grant"`
}

// Pair names two artifacts, each with the Service that its artifacts are kept under. An empty From is nothing.
type Pair struct {
	FromService v1alpha1.UID `json:"fromService,omitempty"`
	From        string       `json:"from,omitempty"`
	ToService   v1alpha1.UID `json:"toService"`
	To          string       `json:"to"`
	// Limit is how many paths of each sort are named.
	Limit int `json:"limit"`
}

// References names everything of a Service that retention must keep.
type References struct {
	Service v1alpha1.UID `json:"service"`
	// Digests that are current, previous, rolling, on any host, or those of the last Releases kept.
	Digests []string `json:"digests"`
	// Keep is how many further artifacts stay, the newest first.
	Keep int `json:"keep"`
}

// Word is the manager's last word on a Service: all that the depot needs to serve its hosts when they boot, with manager
// and API server down.
type Word struct {
	// Service is the UID; Storage that under which the artifacts are kept (Service.status.storageID).
	Service v1alpha1.UID `json:"service"`
	Storage v1alpha1.UID `json:"storage"`
	// Namespace and Name of the Service; Generation that of the spec below.
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
	Generation int64  `json:"generation"`
	// Owner is the installation, AdoptFrom the Service whose hosts may be taken over.
	Owner     string       `json:"owner"`
	AdoptFrom v1alpha1.UID `json:"adoptFrom,omitempty"`
	// Sources of hosts on EC2, SSHUser, and the policies that speak for the namespace.
	Sources  []v1alpha1.EC2Source        `json:"sources,omitempty"`
	SSHUser  string                      `json:"sshUser"`
	Policies []v1alpha1.TargetPolicySpec `json:"policies,omitempty"`
	// Keys, in authorized_keys format, log in for hosts that can't prove who they are: they read what is current.
	Keys []string `json:"keys,omitempty"`
	// Current is the last Release that completed: what a host of which the manager has not heard yet runs.
	Current *v1alpha1.ReleaseRecord `json:"current,omitempty"`
	// Records are what hosts were ordered to run besides; Deploy has each record's frozen spec by its name.
	Records []v1alpha1.ReleaseRecord       `json:"records,omitempty"`
	Deploy  map[string]v1alpha1.DeploySpec `json:"deploy,omitempty"`
	// Live is the Service's spec as it is now: what hosts go by that have no order yet.
	Live v1alpha1.DeploySpec `json:"live,omitzero"`
	// Keep lists digests that hosts must not prune.
	Keep []string `json:"keep,omitempty"`
	// Hosts that the manager knows, in the order of their ids.
	Hosts []HostWord `json:"hosts,omitempty"`
}

// HostWord is the manager's last word on one host of a Service.
type HostWord struct {
	// ID of the host: that of its instance, or the name that a person gave it.
	ID string `json:"id"`
	// Digest and Frozen name one of the Service's records; both are empty if nothing was ordered yet.
	Digest string `json:"digest,omitempty"`
	Frozen string `json:"frozen,omitempty"`
	// Fence of the order.
	Fence int64 `json:"fence,omitempty"`
	// HostKey is the pinned key: in authorized_keys format, or, where a person named the next one, its fingerprint.
	HostKey string `json:"hostKey,omitempty"`
}

// Binding ties an instance to its own SSH host key.
type Binding struct {
	// Instance is its id, Account and Region where it runs.
	Instance string `json:"instance"`
	Account  string `json:"account"`
	Region   string `json:"region"`
	// HostKey in authorized_keys format.
	HostKey string `json:"hostKey"`
	// Bound is when it was bound first.
	Bound time.Time `json:"bound"`
	// Services are the UIDs of those that it serves, as found when it booted last.
	Services []v1alpha1.UID `json:"services,omitempty"`
	// Boots are its last reports by Service.
	Boots map[v1alpha1.UID]BootReport `json:"boots,omitempty"`
	// Serial grows with each change of any binding.
	Serial int64 `json:"serial"`
}

// BootReport is how a host fared at boot.
type BootReport struct {
	Time time.Time `json:"time"`
	// Digest that it runs, if it got so far.
	Digest string `json:"digest,omitempty"`
	// Reason and Message of a failure; empty if all is well.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}

// Pointer is the depot's own durable copy of a Service's status.current.
type Pointer struct {
	Service v1alpha1.UID `json:"service"`
	// Storage is the UID under which the Service's artifacts are kept (Service.status.storageID).
	Storage v1alpha1.UID           `json:"storage"`
	Current v1alpha1.ReleaseRecord `json:"current"`
	Frozen  v1alpha1.FrozenSpec    `json:"frozen"`
}

// Commit is one commit of a repository, as git has it.
type Commit struct {
	// ID is 40 (or 64) hex digits.
	ID string `json:"id"`
	// Subject is the first line of its message, Author the name of who wrote it: text of people, bounded, without control
	// characters.
	Subject string `json:"subject"`
	Author  string `json:"author"`
	// Time when it was committed.
	Time time.Time `json:"time"`
}

// CommitRange asks a mirror for commits: To and what leads to it, the newest first, without what leads to From too.
type CommitRange struct {
	Service v1alpha1.UID `json:"service"`
	URL     string       `json:"url"`
	// From is empty for none. One that the mirror does not hold is an ErrNotFound, as To is.
	From string `json:"from,omitempty"`
	To   string `json:"to"`
	// Limit is how many are returned at most.
	Limit int `json:"limit"`
}

// Ref is a branch or a tag of a repository, as it was when the mirror was last brought up to date.
type Ref struct {
	// Name in full, such as refs/heads/main.
	Name string `json:"name"`
	// Commit that it leads to.
	Commit Commit `json:"commit"`
}

// RefsRequest asks a mirror for the references whose name contains Search, those changed last first.
type RefsRequest struct {
	Service v1alpha1.UID `json:"service"`
	URL     string       `json:"url"`
	Search  string       `json:"search,omitempty"`
	// Limit is how many are returned at most.
	Limit int `json:"limit"`
}

// LogRange asks for a build's log from an offset on.
type LogRange struct {
	Service v1alpha1.UID `json:"service"`
	Job     string       `json:"job"`
	Offset  int64        `json:"offset"`
	// Now: do not wait for more.
	Now bool `json:"now,omitempty"`
}

// LogChunk is a part of a log.
type LogChunk struct {
	// Data is bounded. Where the log has a gap before it, it begins with a line that says so.
	Data []byte `json:"data,omitempty"`
	// Next is the offset after it. So each line of Data ends at Next less what follows the line.
	Next int64 `json:"next"`
	// Before is how many lines the log has before what follows the gap; 0 without one.
	Before int64 `json:"before,omitempty"`
	// More says that there is more already, Grows that the build still writes.
	More  bool `json:"more,omitempty"`
	Grows bool `json:"grows,omitempty"`
}

// Reader is what the Console may do at the depot.
type Reader interface {
	// Log returns a part of a build's log, or ErrNotFound. If a log that grows has nothing new it waits for more, for some
	// seconds at most.
	Log(ctx context.Context, r LogRange) (LogChunk, error)
	// Commits of a mirror, or ErrNotFound.
	Commits(ctx context.Context, r CommitRange) ([]Commit, error)
	// Refs of a mirror; none if there is no mirror yet.
	Refs(ctx context.Context, r RefsRequest) ([]Ref, error)
	// Compare says what separates two artifacts, or returns ErrNotFound.
	Compare(ctx context.Context, p Pair) (artifact.Difference, error)
}

// Manager is what the manager may do at the depot.
type Manager interface {
	Reader
	// Mirror makes a commit present in the mirror of its repository.
	Mirror(ctx context.Context, r MirrorRequest) error
	// FindBuild returns the artifact of a build key of a Service, or ErrNotFound.
	FindBuild(ctx context.Context, service v1alpha1.UID, buildKey string) (Artifact, error)
	// FindArtifact returns an artifact of a Service, or ErrNotFound.
	FindArtifact(ctx context.Context, service v1alpha1.UID, digest string) (Artifact, error)
	// Promote makes an artifact of one Service one of another's, or returns ErrNotFound. The digest is the same.
	Promote(ctx context.Context, p Promotion) (Artifact, error)
	// WriteLog replaces the log of a build by what r gives, as it comes: readers see it grow. Head and tail are kept,
	// what is between them beyond the depot's bound is dropped and counted in a line of its own.
	WriteLog(ctx context.Context, service v1alpha1.UID, job string, r io.Reader) error
	// ReadLog copies the log of a build to w, or returns ErrNotFound.
	ReadLog(ctx context.Context, service v1alpha1.UID, job string, w io.Writer) error
	// SetWord records the manager's last word on a Service. What is older than what the depot knows is left out of it.
	SetWord(ctx context.Context, w Word) error
	// DropWord forgets a Service: its hosts are told nothing when they boot.
	DropWord(ctx context.Context, service v1alpha1.UID) error
	// Bindings returns those with a higher serial than after, the lowest first. If there are none it waits for one, for half
	// a minute at most.
	Bindings(ctx context.Context, after int64) ([]Binding, error)
	// SetPointer records status.current, GetPointer returns it or ErrNotFound.
	SetPointer(ctx context.Context, p Pointer) error
	GetPointer(ctx context.Context, service v1alpha1.UID) (Pointer, error)
	// Retain removes the artifacts of a Service that are not referenced, and returns their digests.
	Retain(ctx context.Context, r References) (removed []string, err error)
}

// Endpoint says where hosts and builds reach the depot and how it proves itself.
type Endpoint struct {
	// Host and Port as advertised.
	Host string
	Port int
	// HostCAs are the public keys, in authorized_keys format, that sign the depot's host key: the one in use and, while
	// a rotation is under way, the next.
	HostCAs []string
}
