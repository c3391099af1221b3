// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"

	"github.com/slipway-dev/slipway/internal/artifact"
	"github.com/slipway-dev/slipway/internal/depot"
)

// publisherEnv makes this program a process that publishes one build after the other until it is killed.
const publisherEnv = "SLIPWAY_TEST_PUBLISHER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(publisherEnv); dir != "" {
		fmt.Fprintln(os.Stderr, publishForever(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func crashGrant(n int) depot.BuildGrant {
	return depot.BuildGrant{Service: service, BuildKey: fmt.Sprintf("k%d", n), Attempt: 1, AllowShrink: true}
}

// publishForever publishes builds of a few files, every third one with the content of the one before.
func publishForever(dir string) error {
	s, err := Open(dir, clock.RealClock{})
	if err != nil {
		return err
	}
	start := int(time.Now().UnixNano() / int64(time.Microsecond))
	for n := start; ; n++ {
		tree, err := s.Staging(crashGrant(n))
		if err != nil {
			return err
		}
		for i := range 20 {
			if err := os.WriteFile(filepath.Join(tree, fmt.Sprint(i)), fmt.Append(nil, i, n-n%3), 0o644); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "last"), fmt.Append(nil, n), 0o600); err != nil {
			return err
		}
		if _, err := s.Finish(crashGrant(n)); err != nil {
			return err
		}
	}
}

// TestAPublisherKilledAtAnyMoment kills a process that publishes, again and again, and looks at what it left: every
// artifact that can be seen is whole, nothing half written stays, and the build that was cut off can be finished.
func TestAPublisherKilledAtAnyMoment(t *testing.T) {
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for range 15 {
		g := NewWithT(t)
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), publisherEnv+"="+dir)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		g.Expect(os.RemoveAll(filepath.Join(dir, "last"))).To(Succeed())
		g.Expect(cmd.Start()).To(Succeed())
		g.Eventually(filepath.Join(dir, "last"), 10*time.Second, time.Millisecond).Should(BeAnExistingFile())
		<-time.After(time.Duration(random.IntN(40_000)) * time.Microsecond)
		g.Expect(cmd.Process.Kill()).To(Succeed())
		g.Expect(cmd.Wait()).To(MatchError("signal: killed"))

		s, err := Open(dir, clock.RealClock{})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(halfWritten(dir)).To(BeEmpty())
		verifyAll(g, s)
		data, err := os.ReadFile(filepath.Join(dir, "last"))
		g.Expect(err).NotTo(HaveOccurred())
		if len(data) == 0 {
			continue
		}
		var last int
		_, err = fmt.Sscan(string(data), &last)
		g.Expect(err).NotTo(HaveOccurred())
		a, err := s.Finish(crashGrant(last))
		g.Expect(err).NotTo(HaveOccurred(), "what was staged is published when it is asked for again")
		g.Expect(s.Build(service, crashGrant(last).BuildKey)).To(Equal(a))
		verifyAll(g, s)
	}
}

// halfWritten lists what no reader may ever take for something.
func halfWritten(dir string) (found []string) {
	_ = filepath.WalkDir(dir, func(path string, _ os.DirEntry, _ error) error {
		if strings.Contains(path, newPrefix) || strings.HasSuffix(path, removedSuffix) {
			found = append(found, path)
		}
		return nil
	})
	return found
}

// verifyAll reads every artifact that can be seen against its manifest and its name.
func verifyAll(g *WithT, s *Store) {
	entries, err := os.ReadDir(filepath.Join(s.dir, "artifacts", service))
	if os.IsNotExist(err) {
		return
	}
	g.Expect(err).NotTo(HaveOccurred())
	for _, entry := range entries {
		digest := artifact.FromHex(entry.Name())
		a, err := s.Artifact(service, digest)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(a.Digest).To(Equal(digest))
		m, err := s.manifest(service, digest)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(m.Digest()).To(Equal(digest))
		tree, err := s.Tree(service, digest)
		g.Expect(err).NotTo(HaveOccurred())
		scanned, err := artifact.Scan(tree)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(scanned.Digest()).To(Equal(digest))
		found, err := s.Build(service, a.BuildKey)
		g.Expect(err).NotTo(HaveOccurred(), "no artifact that its key has forgotten")
		g.Expect(found.Digest).To(Equal(digest))
	}
}

func TestWhatACrashLeftIsRemovedAtTheStart(t *testing.T) {
	g, dir := NewWithT(t), t.TempDir()
	s, err := Open(dir, clock.RealClock{})
	g.Expect(err).NotTo(HaveOccurred())
	_, err = publish(t, s, "done", "", map[string]string{"f": "x"})
	g.Expect(err).NotTo(HaveOccurred())
	over, err := s.Staging(depot.BuildGrant{Service: service, BuildKey: "done", Attempt: 2})
	g.Expect(err).NotTo(HaveOccurred())
	underWay, err := s.Staging(depot.BuildGrant{Service: service, BuildKey: "other", Attempt: 1})
	g.Expect(err).NotTo(HaveOccurred())
	var left []string
	for _, part := range []string{"builds/" + service, "clock", "caches/" + service, "words", "bindings", "pointers"} {
		name := filepath.Join(dir, part, newPrefix+"1")
		g.Expect(os.MkdirAll(filepath.Dir(name), 0o700)).To(Succeed())
		g.Expect(os.WriteFile(name, nil, 0o600)).To(Succeed())
		left = append(left, name)
	}
	View(dir, clock.RealClock{})
	g.Expect(halfWritten(dir)).To(ConsistOf(left), "a reader beside the depot touches nothing")
	_, err = Open(dir, clock.RealClock{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(halfWritten(dir)).To(BeEmpty())
	g.Expect(over).NotTo(BeADirectory(), "the build is published: nobody finishes this attempt")
	g.Expect(underWay).To(BeADirectory(), "a build may go on when the depot is back")
}
