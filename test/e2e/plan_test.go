// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// slipway runs the program as a person does.
func (w *world) slipway(t *testing.T, args ...string) (string, error) {
	c := exec.CommandContext(t.Context(), w.binary, args...)
	c.Env = append(os.Environ(), "KUBECONFIG="+w.kubeconfig)
	out, err := c.CombinedOutput()
	return string(out), err
}

// A plan says which files and hosts would change, and leaves nothing behind.
func TestPlan(t *testing.T) {
	w, g := shared, NewWithT(t)
	r := newRepository(t)
	r.commit("v1", map[string]string{"index.html": "one\n", "old.html": "old\n"})
	r.git("-C", r.dir, "rm", "-q", "old.html")
	r.commit("v2", map[string]string{"index.html": "two\n", "日本 new.html": "new\n"})
	w.service(t, "planned", r, "", func(s *v1alpha1.Service) {
		canary := intstr.FromInt32(1)
		s.Spec.Rollout.Steps = []v1alpha1.RolloutStep{{Targets: &canary}, {Pause: &v1alpha1.RolloutPause{Duration: metav1.Duration{Duration: 2 * time.Second}}}}
	})
	w.release(t, "planned-1", "planned", "v1")
	w.succeeded(t, "planned-1")
	w.release(t, "planned-2", "planned", "v2") // so that it is built
	w.succeeded(t, "planned-2")
	w.release(t, "planned-3", "planned", "v1")
	w.succeeded(t, "planned-3")

	file := filepath.Join(t.TempDir(), "release.yaml")
	g.Expect(os.WriteFile(file, []byte("apiVersion: slipway.dev/v1alpha1\nkind: Release\nmetadata: {name: planned-4, namespace: default}\nspec: {service: planned, revision: v2}\n"), 0o600)).To(Succeed())
	out, err := w.slipway(t, "plan", "-f", file)
	t.Log("\n" + out)
	g.Expect(err).NotTo(HaveOccurred())
	for _, line := range []string{"(refs/tags/v2)", "nothing would be built: the depot holds", "1 added, 1 changed, 1 deleted", "+ 日本 new.html", "~ index.html", "- old.html",
		"3 of 3 hosts would move", "1  1: " + w.hosts[0].Name, "step 2 of 2: pause for 2s", "healthCheck is not set", "Nothing was done."} {
		g.Expect(out).To(ContainSubstring(line))
	}
	out, err = w.slipway(t, "plan", "--service", "nothing", "--revision", "v1", "-n", "default", "-o", "json")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(out).To(ContainSubstring(`there is no Service \"nothing\" in namespace \"default\"`))
	out, err = w.slipway(t, "plan", "-f", "/etc/hostname")
	g.Expect(err).To(HaveOccurred())
	g.Expect(out).To(ContainSubstring("holds"))
	var releases v1alpha1.ReleaseList
	g.Expect(w.client.List(t.Context(), &releases, client.InNamespace("default"))).To(Succeed())
	for _, one := range releases.Items {
		g.Expect(one.Spec.Service == "planned" && one.IsDryRun()).To(BeFalse(), one.Name)
	}
}
