// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"fmt"
	"strings"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// count counts the hosts.
func count(slot Slot, hosts []Host) v1alpha1.TargetCounts {
	record := slot.Rolling
	if record == nil {
		record = slot.Current
	}
	counts := v1alpha1.TargetCounts{Total: int32(len(hosts))}
	for i := range hosts {
		h := &hosts[i]
		if h.Ready {
			counts.Ready++
		}
		if h.runs(record) {
			counts.Updated++
		}
		if !h.Reachable || !h.Available {
			counts.Unavailable++
		}
		if h.Drifted {
			counts.Drifted++
		}
	}
	return counts
}

// sentence says in words what a wave does.
func (p *Plan) sentence(hosts []Host, budget int) string {
	if len(p.Members) == 0 {
		return ""
	}
	var reasons []string
	n := map[string]int{}
	for _, m := range p.Members {
		key := fmt.Sprintf("to %s (%s)", Label(&m.Record), m.Reason)
		if n[key] == 0 {
			reasons = append(reasons, key)
		}
		n[key]++
	}
	down := 0
	for i := range hosts {
		if unavailable(&hosts[i]) {
			down++
		}
	}
	for i, reason := range reasons {
		reasons[i] = fmt.Sprintf("%d %s", n[reason], reason)
	}
	return fmt.Sprintf("%d of %d hosts move: %s; %d unavailable before, %d may be",
		len(p.Members), len(hosts), strings.Join(reasons, ", "), down, budget)
}

// Label names a record for people: its revision and the first digits of its commit.
func Label(record *v1alpha1.ReleaseRecord) string {
	return LabelOf(record.Revision, record.Commit)
}

// LabelOf names a revision and its commit for people.
func LabelOf(revision, commit string) string {
	short := commit[:min(8, len(commit))]
	switch {
	case revision == "" || revision == commit:
		return short
	case short == "":
		return revision
	}
	return fmt.Sprintf("%s (%s)", revision, short)
}
