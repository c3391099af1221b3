// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import "path/filepath"

// auditPolicy keeps on record who changed anything of Slipway's, and all that Slipway's own processes ask for, without
// contents. See kubernetes.io, "Auditing".
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: Metadata
  userGroups: ["system:serviceaccounts:slipway-system"]
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
  resources:
  - group: slipway.dev
- level: None
`

// AuditLog is where the API server keeps the record, a line of JSON each.
func (c *ControlPlane) AuditLog() string { return filepath.Join(c.options.Dir, "logs", "audit.log") }

// auditFlags has the API server keep the record, at most 100 MB of it.
func (c *ControlPlane) auditFlags() ([]string, error) {
	policy := c.file("audit-policy.yaml")
	if err := WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return nil, err
	}
	return []string{
		"--audit-policy-file=" + policy, "--audit-log-path=" + c.AuditLog(), "--audit-log-maxsize=20", "--audit-log-maxbackup=4",
	}, nil
}
