// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/slipway-dev/slipway/internal/artifact"
	"github.com/slipway-dev/slipway/internal/depot"
)

const service = "svc"

// publish stages files and finishes the build of key.
func publish(t *testing.T, s *Store, key, previous string, files map[string]string) (depot.Artifact, error) {
	t.Helper()
	grant := depot.BuildGrant{Service: service, BuildKey: key, Attempt: 1, Previous: previous, AllowShrink: true}
	tree, err := s.Staging(grant)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	for name, content := range files {
		NewWithT(t).Expect(os.MkdirAll(filepath.Dir(filepath.Join(tree, name)), 0o755)).To(Succeed())
		NewWithT(t).Expect(os.WriteFile(filepath.Join(tree, name), []byte(content), 0o644)).To(Succeed())
	}
	return s.Finish(grant)
}

// TestEqualSizeAndTimeMeanEqualContent holds law 6 over random histories: content comes and goes and comes back, times run
// backwards, old artifacts are removed. rsync's quick check must be exact between any two that were ever published.
func TestEqualSizeAndTimeMeanEqualContent(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		clock := clocktesting.NewFakePassiveClock(time.Unix(1_800_000_000, 0))
		s, err := Open(t.TempDir(), clock)
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
		type quick struct {
			path  string
			size  int64
			mtime int64
		}
		content := map[quick]string{}
		var digests []string
		for build := range 12 {
			files := map[string]string{"always": fmt.Sprint(build)}
			for _, name := range []string{"a", "b", "dir/c"} {
				if random.IntN(4) > 0 {
					files[name] = []string{"xx", "yy", "zz"}[random.IntN(3)]
				}
			}
			previous := ""
			if len(digests) > 0 {
				previous = digests[random.IntN(len(digests))]
			}
			clock.SetTime(clock.Now().Add(time.Duration(random.IntN(7)-3) * time.Second))
			a, err := publish(t, s, fmt.Sprintf("k%d", build), previous, files)
			NewWithT(t).Expect(err).NotTo(HaveOccurred())
			tree, err := s.Tree(service, a.Digest)
			NewWithT(t).Expect(err).NotTo(HaveOccurred())
			for name, text := range files {
				info, err := os.Stat(filepath.Join(tree, name))
				NewWithT(t).Expect(err).NotTo(HaveOccurred())
				key := quick{name, info.Size(), info.ModTime().UnixNano()}
				if known, ok := content[key]; ok && known != text {
					t.Fatalf("seed %d, build %d: %s of %q and of %q have one size and time", seed, build, name, known, text)
				}
				content[key] = text
			}
			digests = append(digests, a.Digest)
			if random.IntN(4) == 0 {
				removed, err := s.Retain(depot.References{Service: service, Digests: digests[len(digests)-1:], Keep: 2})
				NewWithT(t).Expect(err).NotTo(HaveOccurred())
				NewWithT(t).Expect(removed).NotTo(ContainElement(a.Digest))
			}
		}
	}
}

// TestAPublishThatACrashCutOff leaves either the whole artifact, found by its key, or none; and it can be done again.
func TestAPublishThatACrashCutOff(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Now())
	for name, cut := range map[string]func(dir, hex string) error{
		"before the rename": func(dir, hex string) error { // the key is on record, the artifact is still staged
			if err := os.MkdirAll(filepath.Join(dir, "staging", service), 0o700); err != nil {
				return err
			}
			return os.Rename(filepath.Join(dir, "artifacts", service, hex), filepath.Join(dir, "staging", service, "k-1"))
		},
		"after the rename": func(string, string) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			g, dir := NewWithT(t), t.TempDir()
			s, err := Open(dir, clock)
			g.Expect(err).NotTo(HaveOccurred())
			a, err := publish(t, s, "k", "", map[string]string{"f": "x"})
			g.Expect(err).NotTo(HaveOccurred())
			hex, err := artifact.Hex(a.Digest)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(cut(dir, hex)).To(Succeed())

			s, err = Open(dir, clock)
			g.Expect(err).NotTo(HaveOccurred())
			found, err := s.Build(service, "k")
			if err != nil {
				g.Expect(err).To(MatchError(depot.ErrNotFound))
				found, err = s.Finish(depot.BuildGrant{Service: service, BuildKey: "k", Attempt: 1})
				g.Expect(err).NotTo(HaveOccurred())
			}
			g.Expect(found.Digest).To(Equal(a.Digest))
			g.Expect(s.Finish(depot.BuildGrant{Service: service, BuildKey: "k", Attempt: 2})).To(HaveField("Digest", a.Digest))
		})
	}
}

func TestFinishingNothingIsRefused(t *testing.T) {
	g := NewWithT(t)
	s, err := Open(t.TempDir(), clocktesting.NewFakePassiveClock(time.Unix(1, 0)))
	g.Expect(err).NotTo(HaveOccurred())
	_, err = s.Finish(depot.BuildGrant{Service: service, BuildKey: "k", Attempt: 1})
	var refusal *Refusal
	g.Expect(errors.As(err, &refusal)).To(BeTrue(), "%v", err)
}

func TestIdentifiersAreNoPaths(t *testing.T) {
	g := NewWithT(t)
	s, err := Open(t.TempDir(), clocktesting.NewFakePassiveClock(time.Unix(1, 0)))
	g.Expect(err).NotTo(HaveOccurred())
	for _, bad := range []string{"", ".", "..", "../x", "a/b", "-x", "a\x00b", strings.Repeat("x", 200)} {
		_, err := s.Build(service, bad)
		g.Expect(err).To(MatchError(depot.ErrRefused), "%q", bad)
		g.Expect(s.WriteLog(service, bad, strings.NewReader("x"))).To(MatchError(depot.ErrRefused), "%q", bad)
	}
}

func TestOldStagingIsReaped(t *testing.T) {
	g, dir := NewWithT(t), t.TempDir()
	clock := clocktesting.NewFakePassiveClock(time.Now())
	s, err := Open(dir, clock)
	g.Expect(err).NotTo(HaveOccurred())
	tree, err := s.Staging(depot.BuildGrant{Service: service, BuildKey: "k", Attempt: 1})
	g.Expect(err).NotTo(HaveOccurred())
	_, err = Open(dir, clock)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(tree).To(BeADirectory(), "a build may go on when the depot is back")
	clock.SetTime(clock.Now().Add(48 * time.Hour))
	_, err = Open(dir, clock)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(tree).NotTo(BeADirectory())
}

func TestAnEmptyLogIsALog(t *testing.T) {
	g := NewWithT(t)
	s, err := Open(t.TempDir(), clocktesting.NewFakePassiveClock(time.Unix(1, 0)))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.WriteLog(service, "job", strings.NewReader(""))).To(Succeed())
	var out bytes.Buffer
	g.Expect(s.ReadLog(service, "job", &out)).To(Succeed())
	g.Expect(out.Len()).To(BeZero())
}
