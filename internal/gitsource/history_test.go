// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package gitsource

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/slipway-dev/slipway/internal/depot"
)

// shell runs git in a source repository.
func shell(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=Mallory \x1b[31m\x1f", "-c", "user.email=m@example.com"}, args...)...)
	out, err := cmd.CombinedOutput()
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), string(out))
	return strings.TrimSpace(string(out))
}

func TestAMirrorKnowsItsCommits(t *testing.T) {
	g := NewWithT(t)
	m, request, source, _ := mirrorOf(t, clocktesting.NewFakePassiveClock(time.Now()))
	first := request.Commit
	shell(t, source, "commit", "--allow-empty", "-q", "-m", "<script>alert(1)</script> \x1b[31m & \u202eevil\n\nbody")
	shell(t, source, "commit", "--allow-empty", "-q", "--allow-empty-message", "-m", "")
	last := shell(t, source, "rev-parse", "HEAD")
	request.Commit = last
	g.Expect(m.Fetch(t.Context(), request)).To(Succeed())

	ask := depot.CommitRange{Service: "svc", URL: request.URL, From: first, To: last, Limit: 10}
	commits, err := m.Commits(t.Context(), ask)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(commits).To(HaveLen(2), "none that the first leads to")
	g.Expect(commits[0]).To(And(HaveField("ID", last), HaveField("Subject", "")))
	g.Expect(commits[1].Subject).To(Equal("<script>alert(1)</script> [31m & evil"), "text, without what steers a terminal or a line")
	g.Expect(commits[1].Author).To(HavePrefix("Mallory"))
	g.Expect(commits[1].Time).To(BeTemporally("~", time.Now(), time.Hour))

	ask.From, ask.Limit = "", 1
	g.Expect(m.Commits(t.Context(), ask)).To(ConsistOf(HaveField("ID", last)))
	ask.To, ask.From = first, last
	g.Expect(m.Commits(t.Context(), ask)).To(BeEmpty(), "the way back has none of its own")
	ask.To = strings.Repeat("0", 40)
	_, err = m.Commits(t.Context(), ask)
	g.Expect(err).To(MatchError(ErrRevisionNotFound))
	ask.To = ""
	_, err = m.Commits(t.Context(), ask)
	g.Expect(err).To(MatchError(ErrRefused))
	ask.To = "--output=/tmp/x"
	_, err = m.Commits(t.Context(), ask)
	g.Expect(err).To(MatchError(ErrRefused))
	ask.Service, ask.To = "other", last
	_, err = m.Commits(t.Context(), ask)
	g.Expect(err).To(MatchError(ErrRevisionNotFound), "a mirror belongs to one Service")
}

// TestNoCommitHidesOrForgesAnother: whoever can push writes subjects and authors.
func TestNoCommitHidesOrForgesAnother(t *testing.T) {
	g := NewWithT(t)
	m, request, source, _ := mirrorOf(t, clocktesting.NewFakePassiveClock(time.Now()))
	first, tree := request.Commit, shell(t, source, "rev-parse", "HEAD^{tree}")
	parent := first
	for _, text := range []struct{ author, subject string }{
		{"Mal\x1elory", "harmless"}, {"Mal\x1flory", "one\x1e\x1f" + strings.Repeat("f", 40) + "\x1f2026-01-01T00:00:00Z\x1fSecurity Team\x1fFORGED"}, {"Eve\\x00", "%x00 %00 %H"},
	} {
		hash := exec.Command("git", "-C", source, "hash-object", "-t", "commit", "-w", "--stdin", "--literally")
		hash.Stdin = strings.NewReader("tree " + tree + "\nparent " + parent + "\nauthor " + text.author + " <m@example.com> 1750000000 +0000\ncommitter M <m@example.com> 1750000000 +0000\n\n" + text.subject + "\n")
		out, err := hash.Output()
		g.Expect(err).NotTo(HaveOccurred())
		parent = strings.TrimSpace(string(out))
	}
	shell(t, source, "update-ref", "refs/heads/main", parent)
	request.Commit = parent
	g.Expect(m.Fetch(t.Context(), request)).To(Succeed())
	commits, err := m.Commits(t.Context(), depot.CommitRange{Service: "svc", URL: request.URL, From: first, To: parent, Limit: 10})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(commits).To(HaveExactElements(
		HaveField("Subject", "%x00 %00 %H"), HaveField("Subject", HavePrefix("one"+strings.Repeat("f", 40))), And(HaveField("Author", "Mallory"), HaveField("Subject", "harmless")),
	))
	refs, err := m.Refs(t.Context(), depot.RefsRequest{Service: "svc", URL: request.URL, Search: "heads/main", Limit: 10})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(refs).To(ConsistOf(HaveField("Commit.ID", parent)))
}

func TestAMirrorKnowsBranchesAndTagsOfItsLastFetch(t *testing.T) {
	g := NewWithT(t)
	m, request, source, _ := mirrorOf(t, clocktesting.NewFakePassiveClock(time.Now()))
	names := func(search string) (names []string) {
		refs, err := m.Refs(t.Context(), depot.RefsRequest{Service: "svc", URL: request.URL, Search: search, Limit: 100})
		g.Expect(err).NotTo(HaveOccurred())
		for _, ref := range refs {
			g.Expect(IsCommit(ref.Commit.ID)).To(BeTrue(), ref.Name)
			names = append(names, ref.Name)
		}
		return names
	}
	g.Expect(names("")).To(ContainElements("refs/heads/main", "refs/tags/v1.0.0", "refs/tags/light"), "all of them, whichever was released")

	shell(t, source, "branch", "feature/login")
	shell(t, source, "tag", "-d", "light")
	shell(t, source, "commit", "--allow-empty", "-q", "-m", "next")
	request.Commit = shell(t, source, "rev-parse", "HEAD")
	g.Expect(m.Fetch(t.Context(), request)).To(Succeed())
	g.Expect(names("")).To(And(ContainElement("refs/heads/feature/login"), Not(ContainElement("refs/tags/light"))))
	g.Expect(names("LOGIN")).To(ConsistOf("refs/heads/feature/login"))

	first := shell(t, source, "rev-parse", "v1.0.0^{commit}")
	refs, err := m.Refs(t.Context(), depot.RefsRequest{Service: "svc", URL: request.URL, Search: "v1.0.0", Limit: 1})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(refs).To(ConsistOf(HaveField("Commit.ID", first)), "an annotated tag leads to its commit")
	g.Expect(m.Refs(t.Context(), depot.RefsRequest{Service: "other", URL: request.URL, Limit: 1})).To(BeEmpty())
}
