// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	. "github.com/onsi/gomega"
)

var (
	// inYAML and inShell find a manifest in a page: a block of its own, or what a shell command is fed.
	inYAML  = regexp.MustCompile("(?ms)^```yaml\n(apiVersion: .*?)^```$")
	inShell = regexp.MustCompile(`(?ms)<<'MANIFEST'\n(.*?)^MANIFEST$`)
)

// What a reader copies from the README or the docs is accepted by the API server as it stands.
func TestManifestsOfTheDocsApply(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range append(inYAML.FindAllSubmatch(text, -1), inShell.FindAllSubmatch(text, -1)...) {
			found++
			t.Run(fmt.Sprintf("%s-%d", filepath.Base(page), found), func(t *testing.T) {
				g := NewWithT(t)
				file := filepath.Join(t.TempDir(), "manifest.yaml")
				g.Expect(os.WriteFile(file, match[1], 0o600)).To(Succeed())
				out, err := kubectl(t, "apply", "--server-side", "--dry-run=server", "--namespace=default", "-f", file)
				g.Expect(err).NotTo(HaveOccurred(), out)
			})
		}
	}
	NewWithT(t).Expect(found).To(BeNumerically(">=", 2), "the README's Service and the quickstart's roll back at least")
}
