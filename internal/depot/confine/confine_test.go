// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package confine

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// TestMain is also the program that confines itself, when it is called as such.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == name {
		command := NewCommand()
		command.SetArgs(os.Args[2:])
		if err := command.Execute(); err != nil {
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// landlocked says whether this kernel can confine. See landlock_create_ruleset(2), LANDLOCK_CREATE_RULESET_VERSION.
func landlocked() bool {
	const versionOnly = 1
	version, _, failed := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, versionOnly)
	return failed == 0 && version > 0
}

// What is confined reads its own directory, writes there if it may, and reaches nothing beside it, also not by a link.
func TestConfined(t *testing.T) {
	if !landlocked() {
		t.Skip("this kernel has no Landlock")
	}
	top := t.TempDir()
	own, other := filepath.Join(top, "own"), filepath.Join(top, "other")
	g := NewWithT(t)
	for _, dir := range []string{own, other} {
		g.Expect(os.MkdirAll(dir, 0o755)).To(Succeed())
		g.Expect(os.WriteFile(filepath.Join(dir, "file"), []byte("content of "+filepath.Base(dir)), 0o644)).To(Succeed())
	}
	g.Expect(os.Symlink("../other/file", filepath.Join(own, "out"))).To(Succeed())
	self, err := os.Executable()
	g.Expect(err).NotTo(HaveOccurred())
	for what, test := range map[string]struct {
		writable bool
		script   string
		says     string
		refused  bool
	}{
		"its own":                   {script: "cat own/file", says: "content of own"},
		"another's":                 {script: "cat other/file", refused: true},
		"another's, by a link":      {script: "cat own/out", refused: true},
		"another's, by ..":          {script: "cd own && cat ../other/file", refused: true},
		"the list of all":           {script: "ls .", refused: true},
		"a secret of the machine":   {script: "cat /etc/shadow", refused: true},
		"to write where it reads":   {script: "echo x >own/new", refused: true},
		"to write what it may":      {writable: true, script: "echo x >own/new && cat own/new", says: "x\n"},
		"to write beside it":        {writable: true, script: "echo x >other/new", refused: true},
		"to rename out of it":       {writable: true, script: "mv own/file other/moved", refused: true},
		"a child of what it starts": {script: "sh -c 'cat other/file'", refused: true},
	} {
		t.Run(what, func(t *testing.T) {
			g := NewWithT(t)
			line := Wrap(self)(own, test.writable, []string{"sh", "-c", test.script})
			confined := exec.Command(line[0], line[1:]...)
			confined.Dir = top
			out, err := confined.Output()
			if test.refused {
				g.Expect(err).To(HaveOccurred(), string(out))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(string(out)).To(Equal(test.says))
		})
	}
}
