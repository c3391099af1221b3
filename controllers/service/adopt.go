// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package service

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/frozen"
)

// foreign is the UID of the earlier Service object whose marker the hosts carry and that this Service may not take over
// yet; empty if there is none.
func foreign(f *facts) v1alpha1.UID {
	for i := range f.targets {
		owner := f.targets[i].Status.Owner
		if owner == nil || owner.ServiceUID == v1alpha1.UID(f.service.UID) {
			continue
		}
		if f.service.Spec.Adopt == nil || f.service.Spec.Adopt.FromUID != owner.ServiceUID {
			return owner.ServiceUID
		}
	}
	return ""
}

// foreignMessage says which hosts carry which marker, and what to do.
func foreignMessage(f *facts, uid v1alpha1.UID) string {
	var hosts []string
	for i := range f.targets {
		if owner := f.targets[i].Status.Owner; owner != nil && owner.ServiceUID == uid {
			hosts = append(hosts, f.targets[i].Spec.Host.Name)
		}
	}
	sort.Strings(hosts)
	shown := strings.Join(hosts[:min(3, len(hosts))], ", ")
	if more := len(hosts) - 3; more > 0 {
		shown += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("%s at %s: delivered by another Service object (UID %s); to take the hosts over as they are, set spec.adopt.fromUID to that UID",
		f.service.Spec.Deploy.Path, shown, uid)
}

// adopt takes over what an earlier Service object delivered, once, after a person's consent: from the depot's own
// pointer it learns what the hosts run, so that they keep it.
func (r *Reconciler) adopt(ctx context.Context, f *facts) (bool, error) {
	service := f.service
	if service.Status.StorageID != "" {
		return false, nil
	}
	if service.Spec.Adopt == nil {
		if foreign(f) == "" && allProbed(f) {
			service.Status.StorageID = v1alpha1.UID(service.UID)
		}
		return false, nil
	}
	pointer, err := r.Depot.GetPointer(ctx, service.Spec.Adopt.FromUID)
	switch {
	case errors.Is(err, depot.ErrNotFound):
		// The hosts may be taken over, but nothing is known of what they run: the next Release brings its own.
		service.Status.StorageID = v1alpha1.UID(service.UID)
		return false, nil
	case err != nil:
		return false, fmt.Errorf("ask the depot what Service %s ran: %w", service.Spec.Adopt.FromUID, err)
	}
	name, err := frozen.Ensure(ctx, r.Client, service, pointer.Frozen, pointer.Current.Sequence)
	if err != nil {
		return false, err
	}
	current := pointer.Current
	current.Frozen, current.UID = name, ""
	service.Status.Current = &current
	service.Status.LastSequence = max(service.Status.LastSequence, current.Sequence)
	service.Status.StorageID = pointer.Storage
	return true, nil
}
