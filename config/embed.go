// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package config holds the manifests that standalone and the tests apply: the very files that kustomize reads.
package config

import "embed"

// Manifests are the definitions of the kinds, the system namespace, the roles and the admission policies.
//
//go:embed crd/bases/*.yaml namespace/namespace.yaml rbac/*_role.yaml rbac/user_roles.yaml rbac/service_accounts.yaml policy/approval.yaml policy/override.yaml policy/repin.yaml policy/requester.yaml requester/requester.yaml console/console_role.yaml operators/operators.yaml standalone/*.yaml
var Manifests embed.FS
