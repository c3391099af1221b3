// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"encoding/json"
	"os/exec"
	"testing"

	. "github.com/onsi/gomega"
)

// TestAShellTakesACommandAsItIsMeant gives commands to a real shell, with names that people could have.
func TestAShellTakesACommandAsItIsMeant(t *testing.T) {
	g := NewWithT(t)
	for _, who := range []string{"aiko", "o'brien", `$(id)`, "`id`", `"; id; "`, `\'; id; '`, "<b>&", "田中"} {
		command := patchCommand("web", "slrel", "blog-1", "merge", object{"spec": object{"override": object{"by": who}}})
		out, err := exec.Command("sh", "-c", `kubectl() { for last; do :; done; printf %s "$last"; }; `+command).Output()
		g.Expect(err).NotTo(HaveOccurred(), command)
		var patch struct {
			Spec struct{ Override struct{ By string } }
		}
		g.Expect(json.Unmarshal(out, &patch)).To(Succeed(), command)
		g.Expect(patch.Spec.Override.By).To(Equal(who), command)
	}
}
