// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package region

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// The judge must see each way in which an instance can be wrong: a demonstration that can't fail shows nothing.
func TestJudge(t *testing.T) {
	start := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		// life is one instance's events, a second apart: a page, an answer that is none in brackets, or a state.
		life string
		// completed is the second in which the rollout of v2 completed; 0: it has not. That of v1 completed long ago.
		completed int
		wrong     string
	}{
		{"served the old one, then the new one", "Pending (no answer) v1 InService v2", 5, ""},
		{"the rollout came first", "Pending v2 InService", 9, ""},
		{"began after the rollout", "Pending v2 InService", 1, ""},
		{"the rollout goes on", "Pending v1 InService", 0, ""},
		{"ended with the old one while the rollout ran", "Pending v1 InService Terminating (no answer) terminated", 9, ""},
		{"in service too early", "Pending InService v2", 9, "before it served anything"},
		{"nothing but errors", "Pending (404 Not Found) InService v2", 9, "before it served anything"},
		{"another one", "Pending v9 InService v2", 9, `served "v9"`},
		{"what its image held", "Pending v0 InService v2", 9, `served "v0" after "v1"`},
		{"came into service with what its image held", "Pending v0 InService v2", 9, `into service with "v0"`},
		{"went back", "Pending v2 InService v1 v2", 9, `went back to "v1"`},
		{"answered with an error", "Pending v1 InService (404 Not Found) v2", 9, "answered (404 Not Found)"},
		{"the old one too late", "Pending v1 InService v2", 1, `served "v1" after "v2"`},
		{"left behind", "Pending v1 InService", 9, `serves "v1" in the end`},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := NewWithT(t)
			var events []Event
			life := strings.ReplaceAll(strings.ReplaceAll(c.life, "(no answer)", "(none)"), "(404 Not Found)", "(404_Not_Found)")
			for n, word := range strings.Fields(life) {
				word = strings.ReplaceAll(word, "_", " ")
				e := Event{Time: start.Add(time.Duration(n) * time.Second), Instance: "i-1", What: word}
				if word[0] == '(' || word[0] == 'v' {
					e.What, e.Page = Serves, word
				}
				events = append(events, e)
			}
			before, after := Release{Page: "v1", Completed: start.Add(-time.Hour)}, Release{Page: "v2"}
			if c.completed > 0 {
				after.Completed = start.Add(time.Duration(c.completed)*time.Second - time.Millisecond)
			}
			verdicts := Judge(events, Release{Page: "v0", Completed: start.Add(-2 * time.Hour)}, before, after)
			g.Expect(verdicts).To(HaveLen(1))
			if c.wrong == "" {
				g.Expect(verdicts[0].Wrong).To(BeEmpty())
				return
			}
			g.Expect(strings.Join(verdicts[0].Wrong, "; ")).To(ContainSubstring(c.wrong))
		})
	}
}
