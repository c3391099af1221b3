// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"fmt"
	"net/http/httptest"
	"testing"

	. "github.com/onsi/gomega"
)

// TestALogOfAnyLengthIsShownInPart asks for the end of a long log, for its middle and for what it has.
func TestALogOfAnyLengthIsShownInPart(t *testing.T) {
	var log []textLine
	for n := range 100_000 {
		text := fmt.Sprintf("line %d", n+1)
		if n%100 == 0 {
			text += " has a NEEDLE"
		}
		log = append(log, textLine{n + 1, []byte(text)})
	}
	for query, want := range map[string]struct{ first, last, found int }{
		"": {98_001, 100_000, 0}, "line=50000": {49_500, 51_499, 0}, "line=1": {1, 2_000, 0}, "line=99999": {99_499, 100_000, 0}, "line=200000": {0, 0, 0},
		"line=-3": {98_001, 100_000, 0}, "q=needle": {1, 49_901, 1000}, "q=needle&line=7": {1, 49_901, 1000}, "q=nothing": {0, 0, 0},
	} {
		t.Run(query, func(t *testing.T) {
			g := NewWithT(t)
			c := chosenLines(&ask{Request: httptest.NewRequest("GET", "/?"+query, nil)})
			for from := 0; from < len(log); from += 7_000 {
				c.add(log[from:min(from+7_000, len(log))])
			}
			var first, last int
			if n := len(c.kept); n > 0 {
				first, last = c.kept[0].number, c.kept[n-1].number
			}
			g.Expect([]int{first, last, c.found, c.total}).To(Equal([]int{want.first, want.last, want.found, 100_000}))
		})
	}
}
