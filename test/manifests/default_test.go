// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package manifests holds the tests of the manifests in config, asked of a real API server.
package manifests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/slipway-dev/slipway/internal/standalone/controlplane"
	"github.com/slipway-dev/slipway/internal/standalone/install"
	"github.com/slipway-dev/slipway/test/env"
)

func TestMain(m *testing.M) { env.Main(m, env.WithControllerManager()) }

func TestDefaultAppliesToARealAPIServer(t *testing.T) {
	g := NewWithT(t)
	// The namespace and the kinds are there already, so that a dry run of the rest has something to stand on.
	out, err := kubectl(t, "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-k", "../../config/default")
	g.Expect(err).NotTo(HaveOccurred(), out)
	out, err = kubectl(t, "apply", "--server-side", "--force-conflicts", "-k", "../../config/default")
	g.Expect(err).NotTo(HaveOccurred(), out)
	g.Expect(out).To(ContainSubstring("deployment.apps/slipway-manager"))
	g.Expect(out).To(ContainSubstring("statefulset.apps/slipway-depot"))
	g.Expect(strings.ToLower(out)).NotTo(ContainSubstring("warning"), "the restricted Pod Security standard must hold")
}

func TestTheConsoleAppliesBesideIt(t *testing.T) {
	g := NewWithT(t)
	out, err := kubectl(t, "apply", "--server-side", "--force-conflicts", "-k", "../../config/console")
	g.Expect(err).NotTo(HaveOccurred(), out)
	g.Expect(out).To(ContainSubstring("deployment.apps/slipway-console"))
	g.Expect(strings.ToLower(out)).NotTo(ContainSubstring("warning"), "the restricted Pod Security standard must hold")
}

func TestSamplesApply(t *testing.T) {
	g := NewWithT(t)
	out, err := kubectl(t, "apply", "--server-side", "--dry-run=server", "-k", "../../config/samples")
	g.Expect(err).NotTo(HaveOccurred(), out)
}

// No role of Slipway says "*", or may make itself or others more than they are.
func TestRolesAreNarrow(t *testing.T) {
	g := NewWithT(t)
	objects, err := install.Objects()
	g.Expect(err).NotTo(HaveOccurred())
	roles := 0
	for _, o := range objects {
		if o.GetKind() != "ClusterRole" && o.GetKind() != "Role" {
			continue
		}
		roles++
		var role rbacv1.ClusterRole
		g.Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &role)).To(Succeed())
		for _, rule := range role.Rules {
			words := append(append(append([]string{}, rule.APIGroups...), rule.Resources...), rule.Verbs...)
			g.Expect(words).NotTo(ContainElement(BeElementOf("*", "escalate", "bind")), o.GetName())
			if o.GetName() != "slipway-console" { // which does all that people do as themselves, and is no part of config/default
				g.Expect(words).NotTo(ContainElement("impersonate"), o.GetName())
			}
			if rule.Resources != nil && rule.Resources[0] == "secrets" {
				g.Expect(rule.Verbs).NotTo(ContainElement(BeElementOf("list", "watch")), o.GetName())
			}
		}
	}
	g.Expect(roles).To(BeNumerically(">=", 7))
}

func kubectl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	content, err := controlplane.Kubeconfig(env.Config(t))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	binaries, err := controlplane.FindBinaries("")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(binaries, "kubectl"), append([]string{"--kubeconfig", file}, args...)...).CombinedOutput()
	return string(out), err
}
