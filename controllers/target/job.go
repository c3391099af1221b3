// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/delivery"
	"github.com/slipway-dev/slipway/internal/frozen"
	"github.com/slipway-dev/slipway/internal/rollout"
)

// defaultInterval and defaultTimeout stand in where a spec has none.
const (
	defaultInterval = 5 * time.Minute
	defaultTimeout  = 10 * time.Minute
)

// job is one reconcile of one host: what was read, and what the steps found out.
type job struct {
	target  *v1alpha1.Target
	service *v1alpha1.Service
	// generation and order that this job acts on. The target may be read anew while the job runs; these stay.
	generation int64
	order      *v1alpha1.ReleaseRecord
	fence      int64
	asIs       bool
	withdrawn  bool
	// deploy as the ordered artifact's Release froze it; the Service's own before the first order.
	deploy v1alpha1.DeploySpec
	host   delivery.Host
	owner  delivery.Owner
	// authorities that the server of an HTTPS health check is verified by, in PEM; nil stands for the system's.
	authorities []byte
	// health of what is live, once it was asked for.
	health *watch
	// boots grows with each boot of the host.
	boots int64
	// fingerprint of all that, when it changes, makes waiting pointless.
	fingerprint string
	// last is what is remembered of the host since this process began.
	last lesson
}

// gather reads what a job needs, or returns nil if the Target is on its way out.
func (r *Reconciler) gather(ctx context.Context, target *v1alpha1.Target) (*job, error) {
	if !target.DeletionTimestamp.IsZero() {
		return nil, nil
	}
	var service v1alpha1.Service
	err := r.Client.Get(ctx, types.NamespacedName{Namespace: target.Namespace, Name: target.Spec.Service}, &service)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Service %s: %w", target.Spec.Service, err)
	}
	if string(service.UID) != string(target.Spec.ServiceUID) || !service.DeletionTimestamp.IsZero() {
		return nil, nil
	}
	j := &job{
		target: target, service: &service,
		generation: target.Generation, order: target.Spec.Artifact.DeepCopy(), fence: target.Spec.Fence, asIs: target.Spec.AsIs,
		withdrawn: idle(&service) || rollout.Withdrawn(&service, target.Spec.Artifact),
		deploy:    service.Spec.Deploy,
		owner:     delivery.Owner{ID: r.OwnerID, Service: target.Spec.ServiceUID},
	}
	if service.Spec.Adopt != nil {
		j.owner.AdoptFrom = service.Spec.Adopt.FromUID
	}
	if j.order != nil {
		spec, err := frozen.Get(ctx, r.Client, target.Namespace, j.order.Frozen)
		if err != nil {
			return nil, fmt.Errorf("read how Release %s is deployed: %w", j.order.Release, err)
		}
		j.deploy = spec.Deploy
	}
	if binding, bound := r.binding(target); bound {
		j.boots = binding.Serial
	}
	j.fingerprint = j.print()
	return j, nil
}

// idle says whether nothing leads a Service: no Release of it has completed, and none is rolled out.
func idle(service *v1alpha1.Service) bool {
	return service.Status.Current == nil && service.Status.Rolling == nil
}

// print is equal for jobs of which the second has no reason not to wait for its time.
func (j *job) print() string {
	data, err := json.Marshal(struct {
		UID        types.UID
		Generation int64
		Withdrawn  bool
		SSH        v1alpha1.SSHSpec
		Adopt      *v1alpha1.AdoptSpec
		Deploy     v1alpha1.DeploySpec
		Repin      string
		Retry      string
		Boot       int64
	}{j.target.UID, j.generation, j.withdrawn, j.service.Spec.SSH, j.service.Spec.Adopt, j.deploy,
		j.target.Annotations[v1alpha1.AnnotationRepin], j.target.Annotations[v1alpha1.AnnotationRetry], j.boots})
	if err != nil {
		return ""
	}
	return string(data)
}

// storage is the UID under which the depot keeps the Service's artifacts.
func (j *job) storage() v1alpha1.UID {
	if j.service.Status.StorageID != "" {
		return j.service.Status.StorageID
	}
	return v1alpha1.UID(j.service.UID)
}

// interval between looks at a host that is well.
func (j *job) interval() time.Duration {
	if d := j.deploy.DriftInterval.Duration; d > 0 {
		return d
	}
	return defaultInterval
}

// timeout of one delivery.
func (j *job) timeout() time.Duration {
	if d := j.deploy.Timeout.Duration; d > 0 {
		return d
	}
	return defaultTimeout
}
