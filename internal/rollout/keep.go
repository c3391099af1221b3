// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"slices"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// Keep lists what hosts of a Service must not prune: all that they may be told to run without the depot. Besides what is
// current, previous and rolling these are the last healthy Releases, as many as the frozen specs keep at most.
func Keep(status *v1alpha1.ServiceStatus, specs map[string]v1alpha1.FrozenSpec) []string {
	var digests []string
	add := func(digest string) {
		if digest != "" && !slices.Contains(digests, digest) {
			digests = append(digests, digest)
		}
	}
	for _, record := range []*v1alpha1.ReleaseRecord{status.Current, status.Previous, status.Rolling} {
		if record != nil {
			add(record.Digest)
		}
	}
	most := 0
	for name := range specs {
		most = max(most, int(specs[name].Deploy.KeepReleases))
	}
	healthy := 0
	for _, outcome := range status.History { // the newest first
		if outcome.Outcome == Succeeded && healthy < most {
			healthy++
			add(outcome.Digest)
		}
	}
	return digests
}
