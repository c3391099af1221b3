// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Labels and annotations that Slipway writes.
const (
	// LabelService carries the name of the Service on Targets, Releases, Jobs and Pods.
	LabelService = "slipway.dev/service"
	// LabelRelease carries the name of the Release on Jobs and Pods.
	LabelRelease = "slipway.dev/release"
	// LabelManagedBy is the recommended label for the tool that made an object; Slipway's value is ManagedBy. Releases
	// that carry it were made for spec.revision and are pruned by revisionHistoryLimit.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	// ManagedBy is the value of LabelManagedBy.
	ManagedBy = "slipway"
	// LabelBuildNode marks Nodes that run build Pods, and is the Pods' node selector where builds have Nodes of their own.
	LabelBuildNode = "slipway.dev/build-node"
	// TaintBuildNode keeps other Pods off a Node that runs build Pods only.
	TaintBuildNode = "slipway.dev/build-only"
	// AnnotationRepin on a Target is a person's consent to another host key: "USER FINGERPRINT [REASON]", where USER is who
	// writes it and FINGERPRINT that of the new key, as ssh-keygen -lf prints it.
	AnnotationRepin = "slipway.dev/repin"
	// AnnotationRetry on a Target has its host tried again at once, and not only when it has rested after its last failure,
	// whenever its value changes. Any text serves, such as the time.
	AnnotationRetry = "slipway.dev/retry"
	// AnnotationImage carries the image as the Service names it on a Job whose containers run it by digest.
	AnnotationImage = "slipway.dev/image"
)

// Finalizer keeps an active Release, or a Service with hosts, until the controller has let go of it.
const Finalizer = "slipway.dev/finalizer"

// UID is the UID of an object, as metadata.uid has it.
// +kubebuilder:validation:MaxLength=64
type UID string
