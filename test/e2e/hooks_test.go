// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// diary reads what hooks wrote on all the hosts.
func (w *world) diary(name string) []string {
	var lines []string
	for n := range w.hosts {
		if text, err := os.ReadFile(w.onHost(n, "srv/www/"+name)); err == nil {
			lines = append(lines, strings.Split(strings.TrimSpace(string(text)), "\n")...)
		}
	}
	return lines
}

// Hooks of a Release run once, on one host, in the new release: also when everything is killed while one runs. A way back and
// a repair run none.
func TestHooksOfAReleaseRunOnce(t *testing.T) {
	w, g := shared, NewWithT(t)
	r := newRepository(t)
	r.commit("v1", map[string]string{"index.html": "one\n"})
	r.commit("v2", map[string]string{"index.html": "two\n"})
	write := func(moment, more string) *v1alpha1.ReleaseHook {
		return &v1alpha1.ReleaseHook{Timeout: metav1.Duration{Duration: time.Minute}, Script: "echo " + moment + " $SLIPWAY_RELEASE $(cat index.html) " +
			"serves $(cat $SLIPWAY_PATH/current/index.html) >>/srv/www/once.diary\n" + more}
	}
	w.service(t, "once", r, "", func(s *v1alpha1.Service) {
		s.Spec.Deploy.Hooks = v1alpha1.Hooks{BeforeRollout: write("before", "sleep 5; echo migrated"), AfterRollout: write("after", "")}
	})
	w.release(t, "once-1", "once", "v1")
	w.succeeded(t, "once-1")
	w.release(t, "once-2", "once", "v2")
	w.killWhen(t, "once-2", func(r *v1alpha1.Release) bool {
		hook := r.Status.Hook(v1alpha1.HookBeforeRollout)
		return hook != nil && hook.State == v1alpha1.HookRunning
	})
	release := w.succeeded(t, "once-2")
	g.Expect(release.Status.Hooks).To(HaveExactElements(
		SatisfyAll(HaveField("State", v1alpha1.HookSucceeded), HaveField("Output", "migrated")), HaveField("State", v1alpha1.HookSucceeded)))
	w.live(t, "once", "index.html", "two\n")
	w.release(t, "once-3", "once", "v1")
	w.succeeded(t, "once-3")
	w.live(t, "once", "index.html", "one\n")
	g.Expect(w.diary("once.diary")).To(ConsistOf("before once-1 one serves", "after once-1 one serves one", "before once-2 two serves one", "after once-2 two serves two"))
}
