// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/slipway-dev/slipway/test/rights"
)

// unused are rights that the tests here do not need, each with who does.
var unused = map[string]map[rights.Right]string{
	"slipway-manager": {
		"create targets.slipway.dev":                       "asked for, beside patch, by an apply that makes a Target",
		"delete targets.slipway.dev":                       "a host leaves: test/fleet",
		"delete releases.slipway.dev":                      "the history of Releases made for spec.revision is longer than revisionHistoryLimit: controllers/service",
		"delete controllerrevisions.apps":                  "nothing names a frozen spec any more: controllers/service",
		"patch events.events.k8s.io":                       "an Event that repeats",
		"update services/finalizers.slipway.dev":           ownerReferences,
		"update releases/finalizers.slipway.dev":           ownerReferences,
		"update jobs/finalizers.batch":                     ownerReferences,
		"create leases.coordination.k8s.io":                "two managers: test/processes",
		"get leases.coordination.k8s.io":                   "two managers: test/processes",
		"update leases.coordination.k8s.io":                "two managers: test/processes",
		"create events":                                    "leader election: test/processes",
		"patch events":                                     "leader election: test/processes",
		"create tokenreviews.authentication.k8s.io":        "who reads metrics: test/processes",
		"create subjectaccessreviews.authorization.k8s.io": "who reads metrics: test/processes",
		"attribute releases.slipway.dev":                   "an admission policy asks for it: test/api",
		"patch configmaps":                                 "the user-data of hosts that boot by themselves: test/processes",
		"update configmaps":                                "the authority of managers rotates: internal/trust",
		"update secrets":                                   "the authority of managers rotates: internal/trust",
	},
	"slipway-depot": {
		"create tokenreviews.authentication.k8s.io":        "who reads metrics: test/processes",
		"create subjectaccessreviews.authorization.k8s.io": "who reads metrics: test/processes",
		"update configmaps":                                "its address or its authority changes: internal/trust",
	},
	"slipway-binder": {},
	"slipway-console": {
		"create tokenreviews.authentication.k8s.io": "who signs in with a token: internal/console",
		"impersonate users":                         "is asked for by what is done as others: internal/console",
		"impersonate groups":                        "is asked for by what is done as others: internal/console",
		"impersonate serviceaccounts":               "is asked for by what is done as others: internal/console",
	},
}

// ownerReferences may block deletion only with this, where OwnerReferencesPermissionEnforcement is on.
const ownerReferences = "clusters with OwnerReferencesPermissionEnforcement"

// rights compares, when all tests have run, what the roles grant with what was done: nothing was denied, and nothing is
// granted that nobody needs.
func (w *world) rights() error {
	var problems []error
	for account, excused := range unused {
		granted, err := rights.Granted(account)
		if err != nil {
			return err
		}
		used, denied, err := rights.Used(filepath.Join(w.dir, "state", "controlplane", "logs", "audit.log"), account)
		if err != nil {
			return err
		}
		for _, what := range denied {
			problems = append(problems, fmt.Errorf("%s was denied: %s", account, what))
		}
		for _, what := range rights.Needless(granted, used, excused) {
			problems = append(problems, fmt.Errorf("%s is granted what no test needs: %s; take it out of config/rbac, or say in rights_test.go who needs it", account, what))
		}
	}
	return errors.Join(problems...)
}
