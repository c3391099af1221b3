// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/onsi/gomega"
)

// axe is the script of axe-core (https://github.com/dequelabs/axe-core), which hack/axe.sh fetches once.
var axe = sync.OnceValues(func() (string, error) {
	_, here, _, _ := runtime.Caller(0)
	if !filepath.IsAbs(here) { // -trimpath: tests run in their package's folder
		here = filepath.Join("..", "..", "test", "browser", "axe.go")
	}
	command := exec.Command(filepath.Join(filepath.Dir(here), "..", "..", "hack", "axe.sh"))
	var path, trouble bytes.Buffer
	command.Stdout, command.Stderr = &path, &trouble
	if err := command.Run(); err != nil {
		return "", &axeError{strings.TrimSpace(trouble.String())}
	}
	script, err := os.ReadFile(strings.TrimSpace(path.String()))
	return string(script), err
})

type axeError struct{ message string }

func (e *axeError) Error() string { return e.message }

// Accessible fails the test with what axe-core finds on the page against WCAG 2.2 at level AA, each with where it is.
func (tab *Tab) Accessible(what string) {
	tab.t.Helper()
	g := gomega.NewWithT(tab.t)
	script, err := axe()
	g.Expect(err).NotTo(gomega.HaveOccurred(), "fetch axe-core")
	Eval[string](tab, script+"; 'loaded'")
	found := Eval[string](tab, `axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then((r) => JSON.stringify(
		r.violations.map((v) => v.id + ": " + v.help + " at " +
			v.nodes.slice(0, 3).map((n) => n.target.join(" ") + " (" + (n.any.concat(n.all, n.none)[0] || {}).message + ")").join("; "))))`)
	var violations []string
	g.Expect(json.Unmarshal([]byte(found), &violations)).To(gomega.Succeed())
	if len(violations) > 0 { // the other pages are worth looking at too
		tab.t.Errorf("%s:\n%s", what, strings.Join(violations, "\n"))
	}
}
