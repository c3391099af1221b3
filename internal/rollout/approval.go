// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// serviceAccount is how the names of those begin who are no persons.
const serviceAccount = "system:serviceaccount:"

// StepGate is the gate of a step, which is named by its number, from 1.
func StepGate(index int) string { return fmt.Sprintf("Step-%d", index+1) }

// Approvals are what people said of a Release, and who asked for it; empty if nobody knows.
type Approvals struct {
	RequestedBy string
	Given       []v1alpha1.Approval
}

// Of lists the people whose approval counts at a gate: each once, not who asked for the Release, and no service accounts.
func (a Approvals) Of(gate string) (people []string) {
	for i := range a.Given {
		by := a.Given[i].By
		if a.Given[i].Gate == gate && by != a.RequestedBy && !strings.HasPrefix(by, serviceAccount) && !slices.Contains(people, by) {
			people = append(people, by)
		}
	}
	return people
}

// Missing says whose approval is missing at a gate; empty if none is. One person other than who asked is enough; where nobody
// knows which person asked, or a program did, it takes two, for one of them may have been it.
func (a Approvals) Missing(gate string) string {
	people := a.Of(gate)
	if a.RequestedBy != "" && !strings.HasPrefix(a.RequestedBy, serviceAccount) {
		if len(people) >= 1 {
			return ""
		}
		return "somebody other than " + a.RequestedBy
	}
	switch len(people) {
	case 0:
		return "two people, as nobody knows which person asked for the Release"
	case 1:
		return "one more person, as nobody knows which person asked for the Release and " + people[0] + " may have"
	}
	return ""
}
