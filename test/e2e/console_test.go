// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/test/browser"
)

// link waits for a link that signs in at the Console, and returns it with the Console's address.
func (w *world) link(t *testing.T) (link, base string) {
	t.Helper()
	NewWithT(t).Eventually(func() string {
		content, _ := os.ReadFile(filepath.Join(w.dir, "state", "console.link"))
		link = strings.TrimSpace(string(content))
		base, _, _ = strings.Cut(link, "/link/")
		return link
	}, time.Minute).Should(ContainSubstring("/link/"))
	return link, base
}

// A person who knows no kubectl releases, watches, pauses, goes on, sees a release fail and be rolled back, and goes back
// himself.
func TestAPersonReleasesInTheConsole(t *testing.T) {
	w, g := shared, NewWithT(t)
	r := newRepository(t)
	r.commit("one", map[string]string{"index.html": "one\n"})
	targets := intstr.FromInt32(1)
	w.service(t, "clicked", r, "echo building; for i in 1 2 3 4 5; do echo line $i; sleep 1; done", func(s *v1alpha1.Service) {
		s.Spec.Deploy.Hooks.AfterSwitch = &v1alpha1.HostHook{Script: "! grep bad index.html"}
		s.Spec.Rollout.OnFailure = v1alpha1.OnFailureRollback
		s.Spec.Rollout.Steps = []v1alpha1.RolloutStep{{Targets: &targets}, {Pause: &v1alpha1.RolloutPause{Duration: metav1.Duration{Duration: 10 * time.Second}}}}
	})
	tab := browser.Start(t).Tab()
	link, base := w.link(t)
	tab.Open(link)
	tab.Shows("This link works once")
	tab.Shoot("link")
	tab.Click("button.primary")
	tab.Shows("clicked")
	tab.Shoot("fleet")
	tab.Open(link)
	tab.Open(base + "/")
	tab.Shows("clicked") // a used link takes nothing from who is signed in

	release := func(revision string) {
		t.Helper()
		tab.Open(base + "/s/default/clicked")
		tab.Click(`a[href="/s/default/clicked/new"]`)
		tab.Shows("Choose what to release")
		tab.Type("#revision", revision)
		tab.Click(".inline button.primary")
		tab.Shows(fmt.Sprintf("to %d hosts", len(w.hosts)))
	}
	release("main")
	tab.Shows("Rollout plan")
	tab.Shoot("review")
	tab.Type("#reason-releaseNow", "first")
	tab.Click(".go form button")
	tab.Shows("Building")
	tab.Click("#to-log")
	tab.Shows("line 5") // it comes while the build runs, and ends by itself
	tab.Shows("End of the log")
	tab.Shoot("log")
	g.Expect(browser.Eval[int](tab, `[...document.querySelectorAll(".log li")].filter((l) => /^line \d$/.test(l.textContent)).length`)).To(Equal(5), "no line is lost or doubled")
	tab.Click(".logbar a")
	tab.Shows(fmt.Sprintf("%d of %d hosts run it", len(w.hosts), len(w.hosts)))
	tab.Shows("Succeeded")
	tab.Shoot("release-succeeded")
	w.live(t, "clicked", "index.html", "one\n")

	r.commit("two", map[string]string{"index.html": "two\n"})
	release("two")
	tab.Click(".go form button")
	tab.Shows("1 of 3 hosts runs it")
	tab.Click(`form[action$="/pause"] button`)
	tab.Shows("Paused")
	tab.Shoot("release-paused")
	tab.Click(`form[action$="/resume"] button`)
	tab.Shows("Succeeded")
	w.live(t, "clicked", "index.html", "two\n")

	r.commit("bad", map[string]string{"index.html": "bad\n"})
	release("bad")
	tab.Click(".go form button")
	tab.Shows("Rolled back")
	tab.Shows("Next step")
	tab.Shoot("release-rolled-back")
	w.live(t, "clicked", "index.html", "two\n")

	tab.Open(base + "/s/default/clicked")
	tab.Shows("Latest releases")
	tab.Shoot("service")
	tab.Click(`a[href="/s/default/clicked/back"]`)
	tab.Shows("Undoes 1 commit")
	tab.Shoot("back")
	tab.Click(".backs form button")
	tab.Shows("Commits undone")
	tab.Click(".go form button")
	tab.Shows("Succeeded")
	w.live(t, "clicked", "index.html", "one\n")
	tab.Open(base + "/s/default/clicked/history")
	tab.Shows("Rolled back")
	tab.Shoot("history")
	tab.Open(base + "/activity")
	tab.Shows("first") // the reason that was given
	tab.Shoot("activity")

	tab.Size(390, 844)
	tab.Open(base + "/s/default/clicked")
	tab.Shows("Release…")
	g.Expect(browser.Eval[bool](tab, "document.documentElement.scrollWidth <= innerWidth")).To(BeTrue(), "nothing sticks out of a phone's screen")
	tab.Shoot("service-phone")

	tab.Click(".menu summary")
	tab.Click(`form[action="/signout"] button`)
	tab.Shows("Sign in")
	tab.Open(base + "/s/default/clicked")
	tab.Shows("Sign in")
}
