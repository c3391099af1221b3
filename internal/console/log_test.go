// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"context"
	"fmt"
	"net/http/httptest"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot"
)

// parts is a depot that gives a log out in parts.
type parts struct {
	shelf
	chunks []depot.LogChunk
}

func (p *parts) Log(context.Context, depot.LogRange) (depot.LogChunk, error) {
	c := p.chunks[0]
	p.chunks = p.chunks[1:]
	c.More, c.Grows = len(p.chunks) > 0, true
	return c, nil
}

// TestABrowserGetsTheEndOfWhatIsTooMuch: of 50,000 lines that came at once it gets the last ones, whose numbers tell of those before.
func TestABrowserGetsTheEndOfWhatIsTooMuch(t *testing.T) {
	g := NewWithT(t)
	p := &parts{}
	for from := 0; from < 50_000; from += 1_000 {
		text := ""
		for n := range 1_000 {
			text += fmt.Sprintf("line %d\n", from+n+1)
		}
		p.chunks = append(p.chunks, depot.LogChunk{Data: []byte(text)})
	}
	reader := &logReader{depot: p, number: 0}
	lines, grows, err := readBurst(t.Context(), reader)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(grows).To(BeTrue())
	g.Expect([]int{len(lines), lines[0].number}).To(Equal([]int{burstLines, 48_001}))
	g.Expect(string(lines[0].text)).To(Equal("line 48001"))
	p.chunks = []depot.LogChunk{{Data: []byte("line 50001\nline 50002\nli")}}
	lines, _, err = readBurst(t.Context(), reader)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect([]int{len(lines), lines[1].number}).To(Equal([]int{2, 50_002}))
}

// many is a depot whose repository has more commits than anybody lists.
type many struct{ shelf }

func (*many) Commits(_ context.Context, r depot.CommitRange) ([]depot.Commit, error) {
	return make([]depot.Commit, r.Limit), nil
}

// TestCommitsThatAreNotShownAreTold: among them may be the one that matters.
func TestCommitsThatAreNotShownAreTold(t *testing.T) {
	g := NewWithT(t)
	a := &ask{console: &Console{Options: Options{Depot: &many{}}}}
	found := a.commits(t.Context(), &subject{Service: &v1alpha1.Service{}}, "a", "b")
	g.Expect([]any{len(found.List), found.More, found.Count()}).To(Equal([]any{maxCommits, true, "100+"}))
}

// TestLinesKeepTheirNumbersAfterAGap of a log whose middle was not kept.
func TestLinesKeepTheirNumbersAfterAGap(t *testing.T) {
	g := NewWithT(t)
	reader := &logReader{depot: &parts{chunks: []depot.LogChunk{
		{Data: []byte("one\ntwo\nthr")}, {Data: []byte("\n[… 9 bytes …]\nrest of 90\nninety-one\n"), Before: 89}, {Data: []byte("ninety-two\n")},
	}}}
	var got []string
	for range 3 {
		lines, _, _, err := reader.read(t.Context())
		g.Expect(err).NotTo(HaveOccurred())
		for _, line := range lines {
			got = append(got, fmt.Sprintf("%d %s", line.number, line.text))
		}
	}
	g.Expect(got).To(Equal([]string{"1 one", "2 two", "3 thr", "4 [… 9 bytes …]", "90 rest of 90", "91 ninety-one", "92 ninety-two"}))
}

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
