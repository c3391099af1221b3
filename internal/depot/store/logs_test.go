// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"

	"github.com/slipway-dev/slipway/internal/depot"
)

// screen is what a person sees of a log.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// size of all that is kept of logs.
func size(t *testing.T, dir string) (total int64) {
	t.Helper()
	NewWithT(t).Expect(filepath.WalkDir(filepath.Join(dir, "logs"), func(_ string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		total += info.Size()
		return err
	})).To(Succeed())
	return total
}

// TestALogIsReadableWhileItGrows also far past its head, by who looks now and by who follows.
func TestALogIsReadableWhileItGrows(t *testing.T) {
	g, dir := NewWithT(t), t.TempDir()
	s, err := Open(dir, clock.RealClock{})
	g.Expect(err).NotTo(HaveOccurred())
	reader, build := io.Pipe()
	written := make(chan error, 1)
	go func() { written <- s.WriteLog(service, "job", reader) }()
	say := func(text string) {
		_, err := io.WriteString(build, text)
		g.Expect(err).NotTo(HaveOccurred())
	}
	look := func() string {
		var out bytes.Buffer
		_ = View(dir, clock.RealClock{}).ReadLog(service, "job", &out)
		return out.String()
	}
	say("first\n")
	g.Eventually(look, "5s").Should(Equal("first\n"))
	seen, followed := &screen{}, make(chan error, 1)
	go func() { followed <- View(dir, clock.RealClock{}).FollowLog(t.Context(), service, "job", seen) }()
	g.Eventually(seen.String, "5s").Should(Equal("first\n"))

	line := strings.Repeat("x", 1023) + "\n"
	for i := range 5 { // 15 MiB: the head is full, and pieces have gone
		for range 3 << 10 {
			say(line)
		}
		say(fmt.Sprintf("mark %d\n", i))
		mark := HaveSuffix(fmt.Sprintf("mark %d\n", i))
		g.Eventually(look, "5s").Should(mark)
		g.Eventually(seen.String, "5s").Should(mark, "who follows sees what comes after the head too")
		g.Expect(size(t, dir)).To(BeNumerically("<=", 7<<20))
	}
	g.Expect(followed).NotTo(Receive())
	say("last\n")
	g.Expect(build.Close()).To(Succeed())
	g.Eventually(written, "5s").Should(Receive(Succeed()))
	g.Eventually(followed, "5s").Should(Receive(Succeed()), "it ends with the log")
	g.Expect(seen.String()).To(And(HavePrefix("first\n"), HaveSuffix("last\n")))
	all := look()
	g.Expect(all).To(And(HavePrefix("first\n"), HaveSuffix("mark 4\nlast\n")))

	// What is left out is counted exactly.
	var omitted int
	before, after, found := strings.Cut(all, "\n[… ")
	g.Expect(found).To(BeTrue())
	_, err = fmt.Sscanf(after, "%d bytes", &omitted)
	g.Expect(err).NotTo(HaveOccurred())
	_, after, _ = strings.Cut(after, "…]\n")
	g.Expect(len(before) + omitted + len(after)).To(Equal(len("first\n") + 5*(3<<20) + 5*len("mark 0\n") + len("last\n")))
}

func TestALogThatIsWrittenAnewReplacesTheKeptOneAtItsEnd(t *testing.T) {
	g, dir := NewWithT(t), t.TempDir()
	s, err := Open(dir, clock.RealClock{})
	g.Expect(err).NotTo(HaveOccurred())
	look := func() string {
		var out bytes.Buffer
		g.Expect(s.ReadLog(service, "job", &out)).To(Succeed())
		return out.String()
	}
	g.Expect(s.WriteLog(service, "job", strings.NewReader("old"))).To(Succeed())
	first, firstBuild := io.Pipe()
	firstWritten, secondWritten := make(chan error, 1), make(chan error, 1)
	go func() { firstWritten <- s.WriteLog(service, "job", first) }()
	_, err = io.WriteString(firstBuild, "one manager ")
	g.Expect(err).NotTo(HaveOccurred())
	second, secondBuild := io.Pipe()
	go func() { secondWritten <- s.WriteLog(service, "job", second) }()
	_, err = io.WriteString(secondBuild, "the next manager")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(firstBuild.Close()).To(Succeed())
	g.Eventually(firstWritten, "5s").Should(Receive(MatchError(depot.ErrRefused)), "the one before does not spoil it")
	g.Eventually(look, "5s").Should(Equal("the next manager"))
	g.Expect(secondBuild.Close()).To(Succeed())
	g.Eventually(secondWritten, "5s").Should(Receive(Succeed()))
	g.Expect(look()).To(Equal("the next manager"))
	g.Expect(filepath.Glob(filepath.Join(dir, "logs", service, "*"))).To(HaveLen(1))
}

func TestALogThatACrashCutOffIsKept(t *testing.T) {
	g, dir := NewWithT(t), t.TempDir()
	s, err := Open(dir, clock.RealClock{})
	g.Expect(err).NotTo(HaveOccurred())
	w := &logWriter{store: s, path: s.logPath(service, "job")}
	g.Expect(w.begin()).To(Succeed())
	_, err = io.WriteString(w, "cut off")
	g.Expect(err).NotTo(HaveOccurred())

	s, err = Open(dir, clock.RealClock{})
	g.Expect(err).NotTo(HaveOccurred())
	seen := &screen{}
	g.Expect(s.FollowLog(context.Background(), service, "job", seen)).To(Succeed(), "it grows no more")
	g.Expect(seen.String()).To(Equal("cut off"))
}

// TestALogIsReadInPartsThatFit reads a log with a gap part by part, and again from the end of any of its lines.
func TestALogIsReadInPartsThatFit(t *testing.T) {
	g := NewWithT(t)
	s, err := Open(t.TempDir(), clock.RealClock{})
	g.Expect(err).NotTo(HaveOccurred())
	var log bytes.Buffer
	for n := range 200_000 {
		fmt.Fprintf(&log, "%06d %s\n", n, strings.Repeat("x", 60))
	}
	g.Expect(s.WriteLog("svc", "job", bytes.NewReader(log.Bytes()))).To(Succeed())
	var whole bytes.Buffer
	g.Expect(s.ReadLog("svc", "job", &whole)).To(Succeed())
	g.Expect(whole.String()).To(ContainSubstring("left out here"))

	var read bytes.Buffer
	gaps := 0
	ends := map[int64]int{} // where in whole one goes on from an offset
	for offset, more := int64(0), true; more; {
		part, err := s.LogFrom(t.Context(), depot.LogRange{Service: "svc", Job: "job", Offset: offset})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(len(part.Data)).To(BeNumerically("<=", maxChunk+64<<10))
		for i, b := range part.Data {
			if b == '\n' {
				ends[part.Next-int64(len(part.Data)-i-1)] = read.Len() + i + 1
			}
		}
		if part.Before > 0 { // the gap is told by a line of its own, after the end of the line that it begins in
			gaps++
			after := bytes.SplitN(part.Data, []byte("\n"), 5)
			g.Expect(string(after[1])).To(ContainSubstring("left out here"))
			g.Expect(string(after[3])).To(HavePrefix(fmt.Sprintf("%06d ", part.Before+1)), "so many lines are before what follows the gap")
		}
		read.Write(part.Data)
		offset, more = part.Next, part.More
	}
	g.Expect(gaps).To(Equal(1))
	g.Expect(read.String() == whole.String()).To(BeTrue(), "no byte is lost or doubled")
	g.Expect(len(ends)).To(BeNumerically(">", 1000))
	tried := 0
	for offset, at := range ends {
		part, err := s.LogFrom(t.Context(), depot.LogRange{Service: "svc", Job: "job", Offset: offset})
		g.Expect(err).NotTo(HaveOccurred())
		n := min(len(part.Data), 200)
		g.Expect(string(part.Data[:n])).To(Equal(whole.String()[at : at+n]))
		if tried++; tried > 200 {
			break
		}
	}
}
