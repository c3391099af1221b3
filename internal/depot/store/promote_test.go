// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot"
)

// The digest and the bytes of what is promoted are the same; its times are those of the receiving Service, whose unchanged files
// keep theirs.
func TestPromote(t *testing.T) {
	g := NewWithT(t)
	clock := clocktesting.NewFakePassiveClock(time.Unix(1_800_000_000, 0))
	s, err := Open(t.TempDir(), clock)
	g.Expect(err).NotTo(HaveOccurred())
	staged := depot.BuildGrant{Service: service, BuildKey: "k1", Attempt: 1}
	tree, err := s.Staging(staged)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.MkdirAll(filepath.Join(tree, "bin"), 0o755)).To(Succeed())
	g.Expect(os.MkdirAll(filepath.Join(tree, "empty"), 0o755)).To(Succeed())
	g.Expect(os.WriteFile(filepath.Join(tree, "bin/run"), []byte("#!/bin/sh\n"), 0o755)).To(Succeed())
	g.Expect(os.WriteFile(filepath.Join(tree, "same"), []byte("same"), 0o644)).To(Succeed())
	g.Expect(os.WriteFile(filepath.Join(tree, "-rf $(id) \"日本\""), []byte("odd"), 0o644)).To(Succeed())
	g.Expect(os.Symlink("bin/run", filepath.Join(tree, "link"))).To(Succeed())
	a, err := s.Finish(staged)
	g.Expect(err).NotTo(HaveOccurred())

	clock.SetTime(clock.Now().Add(time.Hour))
	production := depot.BuildGrant{Service: "production", BuildKey: "k", Attempt: 1}
	tree, err = s.Staging(production)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.WriteFile(filepath.Join(tree, "same"), []byte("same"), 0o644)).To(Succeed())
	before, err := s.Finish(production)
	g.Expect(err).NotTo(HaveOccurred())

	clock.SetTime(clock.Now().Add(time.Hour))
	p := depot.Promotion{From: service, Digest: a.Digest, Grant: depot.BuildGrant{Service: "production", BuildKey: "p1", Attempt: 1, Commit: "c", Previous: before.Digest, AllowShrink: true}}
	half, err := s.Staging(p.Grant) // a copy that broke off
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.WriteFile(filepath.Join(half, "half"), nil, 0o644)).To(Succeed())
	for range 2 { // and once more, as after a crash of who asked
		promoted, err := s.Promote(p)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(promoted).To(SatisfyAll(HaveField("Digest", a.Digest), HaveField("Service", v1alpha1.UID("production")), HaveField("BuildKey", "p1"), HaveField("Files", a.Files)))
	}
	at := func(service v1alpha1.UID, digest, name string) (string, os.FileInfo) {
		tree, err := s.Tree(service, digest)
		g.Expect(err).NotTo(HaveOccurred())
		text, err := os.ReadFile(filepath.Join(tree, name))
		g.Expect(err).NotTo(HaveOccurred())
		info, err := os.Lstat(filepath.Join(tree, name))
		g.Expect(err).NotTo(HaveOccurred())
		return string(text), info
	}
	text, run := at("production", a.Digest, "bin/run")
	_, there := at(service, a.Digest, "bin/run")
	g.Expect(text).To(Equal("#!/bin/sh\n"))
	g.Expect(run.Mode().Perm()).To(Equal(os.FileMode(0o755)))
	g.Expect(run.ModTime()).To(BeTemporally(">", there.ModTime()), "a time of its own")
	_, same := at("production", a.Digest, "same")
	_, kept := at("production", before.Digest, "same")
	g.Expect(same.ModTime()).To(Equal(kept.ModTime()), "what did not change keeps its time")
	_, link := at("production", a.Digest, "link")
	g.Expect(link.Mode().Type()).To(Equal(os.ModeSymlink))
}

func TestWhatIsNotPromoted(t *testing.T) {
	g := NewWithT(t)
	s, err := Open(t.TempDir(), clocktesting.NewFakePassiveClock(time.Now()))
	g.Expect(err).NotTo(HaveOccurred())
	a, err := publish(t, s, "k1", "", map[string]string{"uploads/a": "x", "uploadsb": "y"})
	g.Expect(err).NotTo(HaveOccurred())
	p := depot.Promotion{From: "nobody", Digest: a.Digest, Grant: depot.BuildGrant{Service: "production", BuildKey: "p1", Attempt: 1}}
	_, err = s.Promote(p)
	g.Expect(err).To(MatchError(depot.ErrNotFound))
	p.From, p.Grant.Shared = service, []string{"other", "uploads/"}
	_, err = s.Promote(p)
	g.Expect(err).To(And(MatchError(depot.ErrRefused), MatchError(ContainSubstring("the artifact holds uploads, which is a shared path"))))
	p.Grant.Shared, p.Grant.Service = nil, "../production"
	_, err = s.Promote(p)
	g.Expect(err).To(MatchError(depot.ErrRefused))

	p.Grant.Service = "production"
	tree, err := s.Tree(service, a.Digest)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.WriteFile(filepath.Join(tree, "uploadsb"), []byte("damaged"), 0o644)).To(Succeed())
	_, err = s.Promote(p)
	g.Expect(err).To(And(MatchError(depot.ErrRefused), MatchError(ContainSubstring("is damaged"))))
}
