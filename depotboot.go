// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"log/slog"
	"maps"
	"path/filepath"

	"k8s.io/utils/clock"

	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/depot/hosts"
	"github.com/slipway-dev/slipway/internal/depot/store"
	"github.com/slipway-dev/slipway/internal/identity"
	"github.com/slipway-dev/slipway/internal/sshca"
)

// bootDesk answers hosts that boot. Its authority is the depot's own, kept beside its data: what it signs reads one artifact,
// and is worth nothing else.
func bootDesk(
	artifacts *store.Store, instances hosts.Cloud, o depotOptions, endpoint func() depot.Endpoint, log *slog.Logger,
) (*hosts.Desk, *sshca.Authority, error) {
	authority, err := sshca.Keep(filepath.Join(o.data, "hostkey", "boot_ca"), clock.RealClock{})
	if err != nil {
		return nil, nil, err
	}
	certificates := identity.AWS()
	if o.identityCertificates != "" {
		further, err := identity.Load(o.identityCertificates)
		if err != nil {
			return nil, nil, err
		}
		maps.Copy(certificates, further)
	}
	return hosts.New(hosts.Options{
		Store: artifacts, Cloud: instances, Certificates: certificates, PullKey: authority.Pull, Endpoint: endpoint,
		Clock: clock.RealClock{}, Logger: log.With("desk", "boot"),
	}), authority, nil
}
