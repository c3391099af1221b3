// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package service

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	applymeta "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/boot"
	"github.com/slipway-dev/slipway/internal/conditions"
)

const (
	// userDataKey of the ConfigMap.
	userDataKey = "user-data"
	// silenceTimeout bounds the call that tells the depot of a Service that is gone.
	silenceTimeout = 5 * time.Second
	maxBootMessage = 512
)

// userData keeps the ConfigMap with which the Service's hosts get their release by themselves, and says in status where it
// is. What hinders it holds up nothing else.
func (r *Reconciler) userData(ctx context.Context, service *v1alpha1.Service) {
	if service.Spec.Boot == nil && !slices.ContainsFunc(service.Spec.Targets, func(s v1alpha1.TargetSource) bool { return s.EC2 != nil }) {
		service.Status.Boot = nil
		return
	}
	status := &v1alpha1.BootStatus{}
	if service.Status.Boot != nil {
		status.ConfigMapRef = service.Status.Boot.ConfigMapRef
	}
	service.Status.Boot = status
	name, err := r.writeUserData(ctx, service)
	if err != nil {
		status.Message = conditions.Shorten(err.Error(), maxBootMessage)
		return
	}
	status.ConfigMapRef = &v1alpha1.LocalReference{Name: name}
}

func (r *Reconciler) writeUserData(ctx context.Context, service *v1alpha1.Service) (string, error) {
	name := service.Name + "-boot"
	endpoint, err := r.Endpoint()
	if err != nil {
		return "", err
	}
	text, err := boot.UserData(endpoint)
	if err != nil {
		return "", err
	}
	if written, known := r.booted.Load(service.UID); known && written == text {
		return name, nil
	}
	var found corev1.ConfigMap
	err = r.Reader.Get(ctx, client.ObjectKey{Namespace: service.Namespace, Name: name}, &found)
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return "", fmt.Errorf("read ConfigMap %s: %w", name, err)
	case !metav1.IsControlledBy(&found, service):
		return "", fmt.Errorf("the ConfigMap %s is not this Service's: rename it, so that the user-data can be written there", name)
	}
	err = r.Client.Apply(ctx, applycore.ConfigMap(name, service.Namespace).
		WithLabels(map[string]string{v1alpha1.LabelService: service.Name, v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}).
		WithOwnerReferences(applymeta.OwnerReference().WithAPIVersion(v1alpha1.GroupVersion.String()).WithKind("Service").
			WithName(service.Name).WithUID(service.UID).WithController(true).WithBlockOwnerDeletion(true)).
		WithData(map[string]string{userDataKey: text}), client.FieldOwner(FieldOwner), client.ForceOwnership)
	if err != nil {
		return "", fmt.Errorf("write ConfigMap %s: %w", name, err)
	}
	r.booted.Store(service.UID, text)
	return name, nil
}

// silence has the depot forget a Service that is deleted. Should that fail, its hosts go on with what they run.
func (r *Reconciler) silence(ctx context.Context, service *v1alpha1.Service) {
	r.booted.Delete(service.UID)
	ctx, cancel := context.WithTimeout(ctx, silenceTimeout)
	defer cancel()
	if err := r.Depot.DropWord(ctx, v1alpha1.UID(service.UID)); err != nil {
		log.FromContext(ctx).Info("the depot was not told that the Service is gone: its hosts keep to what they run when they boot", "error", err.Error())
	}
}
