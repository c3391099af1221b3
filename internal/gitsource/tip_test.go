// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package gitsource

import (
	"os"
	"os/exec"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/internal/depot"
)

func TestTip(t *testing.T) {
	dir := t.TempDir()
	first, second := repository(t, dir)
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `set -e
git tag v1.9.0 HEAD~1; git tag -a v1.10.0 -m x HEAD~1; git tag v1.11.0-rc.1; git tag vnext; git tag v; git tag wv9.0.0; git tag x/v8.0.0; git tag vv7.0.0
git tag rel-2.0.0-php; git tag 'v9;touch$IFS/tmp/pwned'; git branch v99.0.0; git branch x/main HEAD~1`)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.com",
		"GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.com")
	out, err := cmd.CombinedOutput()
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), string(out))
	tips := NewTips(Options{AllowFile: true})
	for name, test := range map[string]struct {
		wanted      Wanted
		ref, commit string
		err         error
	}{
		"a branch and no other that ends so":    {Wanted{Branch: "main"}, "refs/heads/main", second, nil},
		"a branch in a folder":                  {Wanted{Branch: "x/main"}, "refs/heads/x/main", first, nil},
		"no such branch":                        {Wanted{Branch: "v1.9.0"}, "", "", ErrRevisionNotFound},
		"the highest version; annotated":        {Wanted{TagPattern: "v*"}, "refs/tags/v1.10.0", first, nil},
		"pre-releases are asked for":            {Wanted{TagPattern: "v*", Prereleases: true}, "refs/tags/v1.11.0-rc.1", second, nil},
		"a star in the middle":                  {Wanted{TagPattern: "rel-*-php"}, "refs/tags/rel-2.0.0-php", second, nil},
		"no version in its place":               {Wanted{TagPattern: "li*"}, "", "", ErrRevisionNotFound},
		"a branch that is an option":            {Wanted{Branch: "--upload-pack=touch x"}, "", "", ErrRefused},
		"a branch that is a pattern":            {Wanted{Branch: "ma*"}, "", "", ErrRefused},
		"a pattern with a second star":          {Wanted{TagPattern: "v**"}, "", "", ErrRefused},
		"a pattern with a set":                  {Wanted{TagPattern: "[v]*"}, "", "", ErrRefused},
		"a pattern with an option before a tag": {Wanted{TagPattern: "-v*"}, "", "", ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			got, err := tips.Tip(t.Context(), "file://"+dir, test.wanted, depot.GitCredentials{})
			if test.err != nil {
				g.Expect(err).To(MatchError(test.err))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got).To(Equal(Resolved{Commit: test.commit, Ref: test.ref}))
		})
	}
	_, err = tips.Tip(t.Context(), "file://"+dir+".gone", Wanted{Branch: "main"}, depot.GitCredentials{})
	NewWithT(t).Expect(err).To(MatchError(ErrUnreachable))
}
