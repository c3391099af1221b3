// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package gitsource

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/slipway-dev/slipway/internal/depot"
)

// mirrorOf is a mirror of a repository that holds one commit.
func mirrorOf(t *testing.T, c *clocktesting.FakePassiveClock) (m *Mirrors, request depot.MirrorRequest, source, path string) {
	t.Helper()
	source = t.TempDir()
	_, second := repository(t, source)
	m = NewMirrors(t.TempDir(), Options{AllowFile: true, Clock: c})
	request = depot.MirrorRequest{Service: "svc", URL: "file://" + source, Commit: second, Ref: "refs/heads/main"}
	NewWithT(t).Expect(m.Fetch(t.Context(), request)).To(Succeed())
	return m, request, source, m.path("svc", request.URL)
}

func TestAFetchWaitsNoLongerThanItsCaller(t *testing.T) {
	g := NewWithT(t)
	m, request, _, path := mirrorOf(t, clocktesting.NewFakePassiveClock(time.Now()))
	release, err := m.lockOf(path).acquire(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(t.Context())
	waiting := make(chan error, 1)
	go func() { waiting <- m.Fetch(ctx, request) }()
	g.Consistently(waiting, "50ms").ShouldNot(Receive())
	cancel()
	g.Eventually(waiting, "2s").Should(Receive(And(MatchError(ErrUnreachable), MatchError(context.Canceled))))
	release()
	g.Expect(m.Fetch(t.Context(), request)).To(Succeed(), "and nobody is shut out by it")
}

func TestMaintenanceGivesWayToAFetch(t *testing.T) {
	g := NewWithT(t)
	m, request, _, path := mirrorOf(t, clocktesting.NewFakePassiveClock(time.Now()))
	own, release, ok := m.lockOf(path).maintain(t.Context())
	g.Expect(ok).To(BeTrue())
	fetched := make(chan error, 1)
	go func() { fetched <- m.Fetch(t.Context(), request) }()
	g.Eventually(own.Done(), "2s").Should(BeClosed(), "it is told to end")
	g.Expect(fetched).NotTo(Receive(), "but nobody writes before it has")
	release()
	g.Eventually(fetched, "10s").Should(Receive(Succeed()))

	release, err := m.lockOf(path).acquire(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	_, _, ok = m.lockOf(path).maintain(t.Context())
	g.Expect(ok).To(BeFalse(), "a fetch is under way")
	release()
}

func TestAScatteredMirrorIsPacked(t *testing.T) {
	g := NewWithT(t)
	m, request, source, path := mirrorOf(t, clocktesting.NewFakePassiveClock(time.Now()))
	packs := func() int {
		found, err := filepath.Glob(filepath.Join(path, "objects", "pack", "*.pack"))
		g.Expect(err).NotTo(HaveOccurred())
		return len(found)
	}
	scatter := exec.CommandContext(t.Context(), "sh", "-ec", `for i in $(seq 1 `+"21"+`); do
printf 'commit refs/slipway/test/%s\ncommitter a <a> 0 +0000\ndata 1\nx\nM 644 inline f\ndata 2\n%02d\n' $i $i |
	git -c fastimport.unpackLimit=1 fast-import --quiet; done`)
	scatter.Dir = path
	out, err := scatter.CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), string(out))
	before := packs()
	g.Expect(before).To(BeNumerically(">", manyPacks))

	release, err := m.lockOf(path).acquire(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(m.Tend(t.Context())).To(Succeed())
	g.Expect(packs()).To(Equal(before), "never while a fetch runs")
	release()

	g.Expect(m.Tend(t.Context())).To(Succeed())
	g.Expect(packs()).To(BeNumerically("<=", 2))
	g.Expect(files(t, m, source, request.Commit, "")).To(HaveKey("index.php"))
	tidy := packs()
	g.Expect(m.Tend(t.Context())).To(Succeed())
	g.Expect(packs()).To(Equal(tidy))
}

func TestAMirrorThatNobodyUsesGoes(t *testing.T) {
	g := NewWithT(t)
	c := clocktesting.NewFakePassiveClock(time.Now())
	m, request, source, path := mirrorOf(t, c)
	c.SetTime(c.Now().Add(unusedFor - time.Hour))
	g.Expect(m.Tend(t.Context())).To(Succeed())
	g.Expect(path).To(BeADirectory())
	c.SetTime(c.Now().Add(2 * time.Hour))
	g.Expect(m.Tend(t.Context())).To(Succeed())
	g.Expect(path).NotTo(BeADirectory())
	g.Expect(path + ".removed").NotTo(BeADirectory())
	g.Expect(m.Fetch(t.Context(), request)).To(Succeed())
	g.Expect(files(t, m, source, request.Commit, "")).To(HaveKey("index.php"))
}
