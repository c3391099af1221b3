// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package frozen keeps the part of a Service that a Release freezes in a ControllerRevision, named by its content.
package frozen

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// version names the encoding. A later one must still decode this one.
const version = "slipway.dev/frozen-v1"

// envelope is what a ControllerRevision holds.
type envelope struct {
	Version string              `json:"version"`
	Spec    v1alpha1.FrozenSpec `json:"spec"`
}

// Spec is the part of a Service that is frozen.
func Spec(service *v1alpha1.Service) v1alpha1.FrozenSpec {
	return v1alpha1.FrozenSpec{
		Source: service.Spec.Source, Build: service.Spec.Build, Deploy: service.Spec.Deploy, Rollout: service.Spec.Rollout,
	}
}

// Name of the ControllerRevision of a spec: the Service's name and a hash of the content.
func Name(service string, spec v1alpha1.FrozenSpec) string {
	sum := sha256.Sum256(encode(spec))
	return service + "-" + hex.EncodeToString(sum[:5])
}

// encode is canonical: Go writes struct fields in order and map keys sorted.
func encode(spec v1alpha1.FrozenSpec) []byte {
	data, err := json.Marshal(envelope{Version: version, Spec: spec})
	if err != nil {
		panic(fmt.Sprintf("frozen: a spec that came from JSON does not go back: %v", err))
	}
	return data
}

// Decode reads what a ControllerRevision holds.
func Decode(revision *appsv1.ControllerRevision) (v1alpha1.FrozenSpec, error) {
	var e envelope
	if err := json.Unmarshal(revision.Data.Raw, &e); err != nil {
		return v1alpha1.FrozenSpec{}, fmt.Errorf("decode frozen spec %s: %w", revision.Name, err)
	}
	if e.Version != version {
		return v1alpha1.FrozenSpec{}, fmt.Errorf("frozen spec %s has version %q, which this Slipway does not know", revision.Name, e.Version)
	}
	return e.Spec, nil
}

// Get reads a frozen spec by the name of its ControllerRevision.
func Get(ctx context.Context, reader client.Reader, namespace, name string) (v1alpha1.FrozenSpec, error) {
	var revision appsv1.ControllerRevision
	if err := reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &revision); err != nil {
		return v1alpha1.FrozenSpec{}, fmt.Errorf("read frozen spec: %w", err)
	}
	return Decode(&revision)
}

// Ensure makes the ControllerRevision of a spec, owned by the Service, and returns its name. One that is there is used
// if it belongs to the same Service and holds the same.
func Ensure(ctx context.Context, c client.Client, service *v1alpha1.Service, spec v1alpha1.FrozenSpec, number int64) (string, error) {
	revision := &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: service.Namespace, Name: Name(service.Name, spec),
			Labels: map[string]string{v1alpha1.LabelService: service.Name, v1alpha1.LabelManagedBy: v1alpha1.ManagedBy},
			OwnerReferences: []metav1.OwnerReference{
				*metav1.NewControllerRef(service, v1alpha1.GroupVersion.WithKind("Service")),
			},
		},
		Data:     runtime.RawExtension{Raw: encode(spec)},
		Revision: number,
	}
	err := c.Create(ctx, revision, client.FieldOwner("slipway-release"))
	if err == nil {
		return revision.Name, nil
	}
	if !apierrors.IsAlreadyExists(err) {
		return "", fmt.Errorf("keep the frozen spec: %w", err)
	}
	var existing appsv1.ControllerRevision
	if err := c.Get(ctx, client.ObjectKeyFromObject(revision), &existing); err != nil {
		return "", fmt.Errorf("read the frozen spec that is there: %w", err)
	}
	if !metav1.IsControlledBy(&existing, service) {
		return "", fmt.Errorf("ControllerRevision %s belongs to another object; it goes with that object, then this one is tried again", existing.Name)
	}
	spec2, err := Decode(&existing)
	if err != nil {
		return "", err
	}
	if !bytes.Equal(encode(spec2), encode(spec)) {
		return "", fmt.Errorf("ControllerRevision %s holds another spec under the same hash", existing.Name)
	}
	return existing.Name, nil
}
