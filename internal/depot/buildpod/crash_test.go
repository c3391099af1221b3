// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package buildpod

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
	"golang.org/x/crypto/ssh"
	"k8s.io/utils/clock"

	"github.com/slipway-dev/slipway/internal/artifact"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/depot/client"
	"github.com/slipway-dev/slipway/internal/depot/confine"
	"github.com/slipway-dev/slipway/internal/depot/server"
	"github.com/slipway-dev/slipway/internal/depot/store"
	"github.com/slipway-dev/slipway/internal/gitsource"
	"github.com/slipway-dev/slipway/internal/sshca"
)

// depotEnv makes this program a depot that keeps everything in a directory and serves at an address: "DIR ADDRESS".
const depotEnv = "SLIPWAY_TEST_DEPOT"

// depotProcess is that program.
func depotProcess(where string) error {
	dir, address, _ := strings.Cut(where, " ")
	kept, err := store.Open(filepath.Join(dir, "store"), clock.RealClock{})
	if err != nil {
		return err
	}
	keys, _, err := server.HostKey(filepath.Join(dir, "keys"), []string{"127.0.0.1"}, clock.RealClock{})
	if err != nil {
		return err
	}
	line, err := os.ReadFile(filepath.Join(dir, "user_ca"))
	if err != nil {
		return err
	}
	authority, _, _, _, err := ssh.ParseAuthorizedKey(line)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return server.New(server.Options{
		Store: kept, Sources: gitsource.NewMirrors(filepath.Join(dir, "mirrors"), gitsource.Options{AllowFile: true}),
		HostKeys: keys, Clock: clock.RealClock{}, Logger: slog.New(slog.DiscardHandler), Confine: confine.Wrap(self),
		UserAuthorities: func() []ssh.PublicKey { return []ssh.PublicKey{authority} },
	}).Serve(context.Background(), listener)
}

// newWorldOfProcesses is a world whose depot is a process of its own, behind a gate.
func newWorldOfProcesses(t *testing.T, data string) (w *world, start func() *exec.Cmd, way *gate) {
	t.Helper()
	g := NewWithT(t)
	w = &world{t: t, data: data, repo: t.TempDir()}
	var err error
	w.authority, err = sshca.New(clock.RealClock{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.WriteFile(filepath.Join(data, "user_ca"), []byte(w.authority.PublicKeys()[0]), 0o600)).To(Succeed())
	_, authorities, err := server.HostKey(filepath.Join(data, "keys"), []string{"127.0.0.1"}, clock.RealClock{})
	g.Expect(err).NotTo(HaveOccurred())
	behind, err := net.Listen("tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	address := behind.Addr().String()
	g.Expect(behind.Close()).To(Succeed())
	way = newGate(t, address)
	w.endpoint = depot.Endpoint{Host: "127.0.0.1", Port: way.port, HostCAs: authorities}
	w.manager = client.New(func() (depot.Endpoint, error) { return w.endpoint, nil }, w.authority)
	t.Cleanup(func() { _ = w.manager.Close() })
	w.store = store.View(filepath.Join(data, "store"), clock.RealClock{})
	return w, func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), depotEnv+"="+data+" "+address)
		said := &bytes.Buffer{}
		cmd.Stderr = said
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		g.Expect(cmd.Start()).To(Succeed())
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		g.Eventually(func() error {
			conn, err := net.Dial("tcp", address)
			if err == nil {
				_ = conn.Close()
			}
			return err
		}, "10s", "10ms").Should(Succeed(), "%s", said)
		return cmd
	}, way
}

// big commits more than goes through a held gate.
func (w *world) big(mark string) {
	files := map[string]string{"mark": mark}
	for i := range 8 {
		files[fmt.Sprintf("big/%d", i)] = strings.Repeat(fmt.Sprintf("%s %d\n", mark, i), 60_000)
	}
	w.commitFiles(files)
}

// artifacts lists the digests that a reader of the directory can see.
func (w *world) artifacts() (digests []string) {
	entries, _ := os.ReadDir(filepath.Join(w.data, "store", "artifacts", "svc"))
	for _, entry := range entries {
		digests = append(digests, artifact.FromHex(entry.Name()))
	}
	return digests
}

func (w *world) stagings() []string {
	found, _ := filepath.Glob(filepath.Join(w.data, "store", "staging", "*", "*"))
	return found
}

// verify pulls an artifact as a host does and reads what came against its digest.
func (w *world) verify(digest string) {
	w.t.Helper()
	g := NewWithT(w.t)
	m, err := artifact.Scan(w.pull(digest, digest))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(m.Digest()).To(Equal(digest))
}

func kill(g *WithT, cmd *exec.Cmd) {
	g.Expect(cmd.Process.Kill()).To(Succeed())
	g.Expect(cmd.Wait()).To(MatchError("signal: killed"))
}

// TestADepotKilledInMidPull and at once started again serves the artifact whole: the pull that broke off fails, and can be
// repeated into the same directory.
func TestADepotKilledInMidPull(t *testing.T) {
	g := NewWithT(t)
	w, start, way := newWorldOfProcesses(t, t.TempDir())
	process := start()
	w.big("one")
	a, err := w.publish(w.grant(nil), ":")
	g.Expect(err).NotTo(HaveOccurred())

	into, c := t.TempDir(), w.pullCredential(a.Digest)
	pull := func() (string, error) {
		return w.ssh(c, "rsync", "-rlpt", "--delete", "--timeout=20", "-e", "", "slipway@127.0.0.1:tree/", into+"/")
	}
	way.after(&way.down, 1<<20)
	broken := make(chan error, 1)
	go func() {
		_, err := pull()
		broken <- err
	}()
	g.Eventually(way.held(&way.down), "20s", "5ms").Should(BeTrue())
	kill(g, process)
	way.open()
	g.Eventually(broken, "30s").Should(Receive(HaveOccurred()), "half a pull is no success")

	start()
	out, err := pull()
	g.Expect(err).NotTo(HaveOccurred(), out)
	m, err := artifact.Scan(into)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(m.Digest()).To(Equal(a.Digest))
	w.verify(a.Digest)
}

// TestADepotKilledInMidPublish shows nothing of the half that came, before and after it starts again; the build Pod, which
// waits for it, ends with the artifact.
func TestADepotKilledInMidPublish(t *testing.T) {
	g := NewWithT(t)
	w, start, way := newWorldOfProcesses(t, t.TempDir())
	process := start()
	w.big("one")
	first, err := w.publish(w.grant(nil), ":")
	g.Expect(err).NotTo(HaveOccurred())

	w.big("two")
	second := w.grant(func(b *depot.BuildGrant) { b.BuildKey, b.Previous = "b1-0002", first.Digest })
	o := w.pod(second)
	// An exclude keeps rsync from deleting what it matches at the other end: also the half file that a killed rsync left.
	o.Exclude = []string{".*"}
	g.Expect(Fetch(t.Context(), o)).To(Succeed())
	way.after(&way.up, 1<<20)
	type result struct {
		artifact depot.Artifact
		err      error
	}
	published := make(chan result, 1)
	go func() {
		a, err := Publish(context.Background(), o)
		published <- result{a, err}
	}()
	g.Eventually(way.held(&way.up), "20s", "5ms").Should(BeTrue())
	g.Eventually(w.stagings, "5s").Should(HaveLen(1))
	g.Eventually(func() ([]string, error) { return filepath.Glob(filepath.Join(w.stagings()[0], "tree", "big", ".*")) }, "5s").ShouldNot(BeEmpty())
	kill(g, process)
	way.open()
	g.Expect(w.artifacts()).To(ConsistOf(first.Digest))

	process = start()
	g.Expect(w.artifacts()).To(ConsistOf(first.Digest))
	w.verify(first.Digest)
	var done result
	g.Eventually(published, "60s").Should(Receive(&done))
	g.Expect(done.err).NotTo(HaveOccurred())
	g.Expect(done.artifact.Files).To(Equal(first.Files), "nothing but what was sent")
	g.Expect(w.artifacts()).To(ConsistOf(first.Digest, done.artifact.Digest))
	g.Expect(w.stagings()).To(BeEmpty())
	w.verify(done.artifact.Digest)

	kill(g, process)
	start()
	again, err := w.manager.FindBuild(t.Context(), "svc", "b1-0002")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(again).To(Equal(done.artifact))
	g.Expect(w.ask(o).Artifact).To(HaveValue(Equal(done.artifact)), "publishing it again gives the same")
}

// TestWhatABrokenPublicationLeftIsNotPublished ends the connection in mid-file: the half file that rsync was writing is no
// part of what is sent the next time, also where an exclude covers its name.
func TestWhatABrokenPublicationLeftIsNotPublished(t *testing.T) {
	g := NewWithT(t)
	w, start, way := newWorldOfProcesses(t, t.TempDir())
	start()
	w.big("one")
	o := w.pod(w.grant(nil))
	o.Exclude = []string{".*"}
	g.Expect(Fetch(t.Context(), o)).To(Succeed())
	way.after(&way.up, 1<<20)
	ctx, cancel := context.WithCancel(t.Context())
	broken := make(chan error, 1)
	go func() {
		_, err := Publish(ctx, o)
		broken <- err
	}()
	half := func() (found []string) {
		found, _ = filepath.Glob(filepath.Join(w.data, "store", "staging", "*", "*", "tree", "big", ".*"))
		return found
	}
	g.Eventually(way.held(&way.up), "20s", "5ms").Should(BeTrue())
	g.Eventually(half, "5s").ShouldNot(BeEmpty())
	cancel()
	g.Eventually(broken, "20s").Should(Receive(HaveOccurred()))
	way.open()
	a, err := Publish(t.Context(), o)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(a.Files).To(BeEquivalentTo(9), "nothing but what was sent")
	w.verify(a.Digest)
}
