// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestCompare(t *testing.T) {
	g := NewWithT(t)
	file := func(path, sum string, size int64, executable bool) Entry {
		return Entry{Path: path, Kind: File, SHA256: sum, Size: size, Executable: executable}
	}
	from := Manifest{{Path: ".", Kind: Dir}, file("a", "1", 10, false), file("b", "1", 10, false), {Path: "c", Kind: Link, Target: "a"}, {Path: "d", Kind: Dir}, file("e", "1", 1, false), file("gone", "1", 5, false)}
	to := Manifest{{Path: ".", Kind: Dir}, file("a", "1", 10, false), file("b", "2", 20, false), {Path: "c", Kind: Link, Target: "b"}, file("d", "1", 3, false), file("e", "1", 1, true), file("f", "1", 4, false)}
	g.Expect(Compare(from, to, 2)).To(Equal(Difference{
		Added: 2, Changed: 3, Deleted: 1, Bytes: 20 + 3 + 1 + 4, AddedPaths: []string{"d", "f"}, ChangedPaths: []string{"b", "c"}, DeletedPaths: []string{"gone"},
	}), "a directory that became a file, a link that leads elsewhere, a file that became executable")
	g.Expect(Compare(from, from, 2)).To(Equal(Difference{}))
	g.Expect(Compare(nil, from, 9).Added).To(BeEquivalentTo(5))
}
