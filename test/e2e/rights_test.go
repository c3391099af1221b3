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
	"slipway-manager": {},
	"slipway-depot":   {},
	"slipway-binder":  {},
}

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
