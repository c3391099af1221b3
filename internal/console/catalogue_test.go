// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/phase"
)

var (
	inTemplates = regexp.MustCompile(`\bt "([^"]+)"`)
	inCode      = regexp.MustCompile(`(?:\btext\(|fail\(w, r, http\.\w+, |problem\{|Trouble = |Trouble, v\.Grows = |Problem: |signInView\("?[^"]*"?, |refuseSignIn\(w, r, |Identity\{\}, )"([a-z][A-Za-z.]*[A-Za-z])"`)
	places      = regexp.MustCompile(`\{\d\}`)
)

func TestBothCataloguesSayTheSame(t *testing.T) {
	g := NewWithT(t)
	r, err := newRenderer()
	g.Expect(err).NotTo(HaveOccurred())
	english, japanese := r.words["en"], r.words["ja"]
	g.Expect(slices.Sorted(maps.Keys(japanese))).To(Equal(slices.Sorted(maps.Keys(english))))
	for key := range english {
		g.Expect(japanese[key]).NotTo(BeEmpty(), key)
		g.Expect(english[key]).NotTo(BeEmpty(), key)
		sorted := func(text string) []string { return slices.Sorted(slices.Values(places.FindAllString(text, -1))) }
		g.Expect(sorted(japanese[key])).To(Equal(sorted(english[key])), key)
	}
}

func TestWordsGoWithTheirNumbers(t *testing.T) {
	g := NewWithT(t)
	r, err := newRenderer()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r.text("en", "release.progress", 1, 3)).To(Equal("1 of 3 hosts runs it"))
	g.Expect(r.text("en", "release.progress", int32(2), int32(2))).To(Equal("2 of 2 hosts run it"))
	g.Expect(r.text("ja", "release.progress", 1, 3)).To(Equal("3 台中 1 台で稼働"))
}

// TestEveryPhraseIsThere looks for the keys that pages, code and states name.
func TestEveryPhraseIsThere(t *testing.T) {
	g := NewWithT(t)
	r, err := newRenderer()
	g.Expect(err).NotTo(HaveOccurred())
	var keys []string
	find := func(pattern string, expression *regexp.Regexp) {
		files, err := filepath.Glob(pattern)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(files).NotTo(BeEmpty())
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			data, err := os.ReadFile(file)
			g.Expect(err).NotTo(HaveOccurred())
			for _, match := range expression.FindAllSubmatch(data, -1) {
				keys = append(keys, string(match[1]))
			}
		}
	}
	find("templates/*.html", inTemplates)
	find("*.go", inCode)
	for _, s := range []phase.Phase{phase.Queued, phase.Building, phase.Awaiting, phase.Held, phase.Rolling, phase.RollingBack, phase.Paused, phase.Succeeded, phase.Failed, phase.Aborted, phase.Superseded, phase.RolledBack, phase.Unknown, phase.Well, phase.Degraded, phase.Mixed, phase.NoTargets, phase.NotReleased, phase.Adoption} {
		keys = append(keys, "state."+s.Key)
	}
	for next := range nexts {
		keys = append(keys, "next."+next)
	}
	for _, action := range []v1alpha1.AuditAction{
		v1alpha1.AuditRequested, v1alpha1.AuditApproved, v1alpha1.AuditOverridden, v1alpha1.AuditPaused, v1alpha1.AuditResumed, v1alpha1.AuditAborted,
		v1alpha1.AuditRolledBack, v1alpha1.AuditDeleted, v1alpha1.AuditLocked, v1alpha1.AuditUnlocked, v1alpha1.AuditAdopted,
	} {
		keys = append(keys, "did."+string(action))
	}
	for _, key := range keys {
		_, known := r.words["en"][key]
		g.Expect(known).To(BeTrue(), "%s", key)
	}
	g.Expect(len(keys)).To(BeNumerically(">", 200))
}
