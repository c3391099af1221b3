// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package buildpod

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/depot/server"
)

// smallDisk is a directory on a disk of 12 MiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("SLIPWAY_REQUIRE_ALL") == "1" {
			t.Fatal("only root mounts a small disk")
		}
		t.Skip("only root mounts a small disk")
	}
	dir := t.TempDir()
	NewWithT(t).Expect(unix.Mount("tmpfs", dir, "tmpfs", 0, "size=12m")).To(Succeed())
	t.Cleanup(func() { NewWithT(t).Expect(unix.Unmount(dir, unix.MNT_DETACH)).To(Succeed()) })
	return dir
}

// fill writes until the disk is full.
func fill(g *WithT, path string) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	g.Expect(err).NotTo(HaveOccurred())
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	g.Expect(err).To(MatchError(unix.ENOSPC))
	g.Expect(f.Close()).To(Succeed())
}

// TestAFullDisk of the depot fails a publication with a sentence that a person can act on, wherever the room runs out, shows
// and keeps nothing of it, and serves on. With room again the same source is published.
func TestAFullDisk(t *testing.T) {
	g := NewWithT(t)
	w, start, _ := newWorldOfProcesses(t, smallDisk(t))
	start()
	w.commitFiles(map[string]string{"index.php": "<?php"})
	first, err := w.publish(w.grant(nil), ":")
	g.Expect(err).NotTo(HaveOccurred())
	nothingOfIt := func() {
		t.Helper()
		g.Expect(w.artifacts()).To(ConsistOf(first.Digest))
		g.Expect(w.stagings()).To(BeEmpty(), "what was sent does not hold the room that is left")
		w.verify(first.Digest)
	}
	says := And(ContainSubstring(w.data), ContainSubstring("has no room"), ContainSubstring("nothing was published"), ContainSubstring("create a new Release"))

	// While the tree is sent.
	_, err = w.publish(w.grant(func(b *depot.BuildGrant) { b.BuildKey = "b1-0002" }), "head -c 16000000 /dev/urandom > blob")
	var p *Problem
	g.Expect(errors.As(err, &p)).To(BeTrue(), "%v", err)
	g.Expect(p.Reason).To(Equal(v1alpha1.ReasonDiskFull), p.Message)
	g.Expect(p.Message).To(says)
	nothingOfIt()

	// While it is made an artifact.
	third := w.grant(func(b *depot.BuildGrant) { b.BuildKey = "b1-0003" })
	o := w.pod(third)
	g.Expect(Fetch(t.Context(), o)).To(Succeed())
	g.Expect(exec.CommandContext(t.Context(), "sh", "-c", "head -c 1000000 /dev/urandom > "+filepath.Join(o.Dir, "blob")).Run()).To(Succeed())
	g.Expect(send(t.Context(), o, o.Dir)).To(Succeed())
	filler := filepath.Join(w.data, "filler")
	fill(g, filler)
	finished := w.ask(o)
	g.Expect(finished.Artifact).To(BeNil())
	g.Expect(finished.Reason).To(Equal(v1alpha1.ReasonDiskFull))
	g.Expect(finished.Message).To(says)
	nothingOfIt()

	// While the source is fetched.
	w.commitFiles(map[string]string{"index.php": "<?php echo 2;"})
	fill(g, filler)
	newer := depot.MirrorRequest{Service: "svc", URL: third.Mirror, Commit: w.commit}
	g.Expect(w.manager.Mirror(t.Context(), newer)).To(MatchError(And(ContainSubstring(w.data), ContainSubstring("has no room for the source"))))

	g.Expect(os.Remove(filler)).To(Succeed())
	g.Expect(w.manager.Mirror(t.Context(), newer)).To(Succeed())
	a, err := Publish(t.Context(), o)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(w.artifacts()).To(ConsistOf(first.Digest, a.Digest))
	w.verify(a.Digest)
}

// ask asks for a build to be published.
func (w *world) ask(o Options) (finished server.Finished) {
	w.t.Helper()
	g := NewWithT(w.t)
	conn, err := dial(w.t.Context(), o.Credential)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = conn.Close() }()
	var out bytes.Buffer
	g.Expect(run(w.t.Context(), conn, "finish", nil, &out)).To(Succeed())
	g.Expect(json.Unmarshal(out.Bytes(), &finished)).To(Succeed())
	return finished
}
