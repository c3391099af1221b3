// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/test/browser"
)

// focused is what the keyboard would act on.
func focused(tab *browser.Tab) string {
	return browser.Eval[string](tab, "document.activeElement.innerText || document.activeElement.name || document.activeElement.tagName")
}

// tabTo goes on with the Tab key until a text has the focus, as somebody without a mouse does.
func tabTo(g Gomega, tab *browser.Tab, text string) {
	for range 60 {
		if focused(tab) == text {
			g.Expect(browser.Eval[bool](tab, `document.activeElement.matches(":focus-visible")`)).To(BeTrue(), "the focus is seen")
			return
		}
		tab.Key("\t")
	}
	g.Expect("the Tab key").To(Equal("to come to " + text))
}

// TestTheKeyboardIsEnough pauses a Release and goes through lists without a mouse; and no single key does anything once they are off.
func TestTheKeyboardIsEnough(t *testing.T) {
	w := newTown(t)
	tab := browser.Start(t).Tab()
	w.enter(tab)
	tab.Key("\t")
	w.Expect(focused(tab)).To(Equal("Skip to the content"))
	tab.Key("/")
	w.Expect(browser.Eval[string](tab, "document.activeElement.id")).To(Equal("jump"))
	browser.Eval[string](tab, "document.activeElement.value = ''") // the protocol types the key all the same
	tab.Key("blog-6\r")
	tab.At("/r/web/blog-6")
	tab.Shows("Batch 3")
	tab.Key("l")
	tab.At("/r/web/blog-6/log")
	tab.Open(w.server.URL + "/")
	tab.Key("jjjk")
	w.Expect(browser.Eval[string](tab, `document.querySelector(".chosen a b").innerText`)).To(Equal("wiki"), "what needs somebody comes first")
	tab.Key("\r")
	tab.At("/s/web/wiki")
	tab.Open(w.server.URL + "/r/web/blog-6")
	tabTo(w, tab, "Pause")
	tab.Key("\r")
	tab.Shows("Resume")
	var r v1alpha1.Release
	w.Expect(w.c.Get(t.Context(), client.ObjectKey{Namespace: "web", Name: "blog-6"}, &r)).To(Succeed())
	w.Expect(r.Spec.Paused).To(BeTrue())
	tab.Key("?")
	tab.At("/help")
	tabTo(w, tab, "Turn them off")
	tab.Key("\r")
	tab.Shows("Single keys are off")
	tab.Open(w.server.URL + "/")
	tab.Key("?jl")
	w.Expect(browser.Eval[int](tab, `document.querySelectorAll(".chosen").length`)).To(BeZero())
	tab.At("/")
}

// TestEverythingWorksWithoutScript reviews, pauses and resumes with a browser that runs none.
func TestEverythingWorksWithoutScript(t *testing.T) {
	w := newTown(t)
	tab := browser.Start(t).Tab()
	tab.WithoutScript()
	tab.Open(w.server.URL + w.console.NewLink())
	tab.Click("button.primary")
	tab.Shows("Moving now")
	tab.Click(`.lines a[href="/r/web/blog-6"]`)
	tab.Shows("Hosts by batch")
	tab.Click(`form[action$="/pause"] button`)
	tab.Shows("Resume")
	tab.Click(`form[action$="/resume"] button`)
	tab.Shows("Pause")
	tab.Click("#to-log")
	tab.Shows("Rollup failed")
	tab.Type("#in-log", "warning")
	tab.Click(`form[role="search"] button`)
	tab.Shows("1 of 18 lines match")
	tab.Click(".log a")
	tab.Shows("Rollup failed")
	tab.Open(w.server.URL + "/s/web/blog/new?rev=v1.5.0")
	tab.Click(".inline button.primary")
	tab.Shows("Working out what would happen")
	tab.Click(`button[name="language"]`)
	tab.Shows("何が起きるかを調べています")
}

// TestManyTabsStayLive opens eight tabs, all of which are looked at: more than a browser has connections to one site.
func TestManyTabsStayLive(t *testing.T) {
	w := newTown(t)
	b := browser.Start(t)
	var tabs []*browser.Tab
	for i := range 8 {
		tab := b.Tab()
		if i == 0 {
			w.enter(tab)
		}
		tab.Open(w.server.URL + []string{"/r/web/blog-6", "/s/web/blog", "/", "/targets"}[i%4])
		tabs = append(tabs, tab)
	}
	w.progress("4 of 8 hosts run it, says the test")
	tabs[4].Front()
	tabs[4].Shows("4 of 8 hosts run it, says the test")
	tabs[0].Front()
	tabs[0].Shows("4 of 8 hosts run it, says the test")
	tabs[0].Click(`form[action$="/pause"] button`)
	tabs[0].Shows("Resume")
	tabs[4].Front()
	tabs[4].Shows("Resume") // what is done in one is seen in the other
}

// TestWhatIsTypedStays while the page goes on, and the command that does the same has it.
func TestWhatIsTypedStays(t *testing.T) {
	w := newTown(t)
	tab := browser.Start(t).Tab()
	w.enter(tab)
	tab.Open(w.server.URL + "/r/shop/cart-2")
	tab.Shows("Live")
	change := func(updated int32) {
		r := &v1alpha1.Release{}
		w.Expect(w.c.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "cart-2"}, r)).To(Succeed())
		before := r.DeepCopy()
		r.Status.Targets.Updated = updated
		w.Expect(w.c.Status().Patch(t.Context(), r, client.MergeFrom(before))).To(Succeed())
	}
	typed := func() string { return browser.Eval[string](tab, `document.getElementById("reason-approve").value`) }
	tab.Type("#reason-approve", "it's tested")
	change(2) // while the field has the focus, its part waits
	tab.Shows("2 of 2 hosts run it")
	w.Expect(browser.Eval[string](tab, "document.activeElement.id")).To(Equal("reason-approve"))
	tab.Key("\t")
	tab.Shows("2 stay new")
	w.Expect(typed()).To(Equal("it's tested"))
	change(0) // and when somebody is about to press the button, it keeps what it has
	tab.Shows("0 stay new")
	w.Expect(typed()).To(Equal("it's tested"))
	w.Expect(focused(tab)).To(Equal("Approve"))
	w.Expect(browser.Eval[string](tab, `document.querySelector('form[action$="/approve"]').parentElement.querySelector("pre").textContent`)).To(
		ContainSubstring(`"reason":"it'\''s tested"`))
	w.Expect(browser.Eval[string](tab, "document.title")).To(Equal("Awaiting approval · cart main · Slipway"))
	tab.Key("\r")
	tab.Shows("it's tested") // among those who approved
	var r v1alpha1.Release
	w.Expect(w.c.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "cart-2"}, &r)).To(Succeed())
	w.Expect(r.Spec.Approvals).To(HaveExactElements(v1alpha1.Approval{Gate: "Step-2", By: "operator", Reason: "it's tested"}))
}

// progress changes what the Release of the town says.
func (w *town) progress(message string) {
	w.t.Helper()
	r := &v1alpha1.Release{}
	w.Expect(w.c.Get(w.t.Context(), client.ObjectKey{Namespace: "web", Name: "blog-6"}, r)).To(Succeed())
	before := r.DeepCopy()
	conditions.False(&r.Status.Conditions, 1, v1alpha1.ConditionReady, v1alpha1.ReasonProgressing, message)
	w.Expect(w.c.Status().Patch(w.t.Context(), r, client.MergeFrom(before))).To(Succeed())
}

// TestAPageComesBackByItself cuts the connections of a page and of a log, and looks for lines that are lost or doubled.
func TestAPageComesBackByItself(t *testing.T) {
	w := newTown(t)
	var down atomic.Bool
	outside := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if down.Load() {
			http.Error(rw, "down", http.StatusServiceUnavailable)
			return
		}
		w.console.Handler().ServeHTTP(rw, r)
	}))
	t.Cleanup(func() { outside.CloseClientConnections(); outside.Close() })
	tab := browser.Start(t).Tab()
	tab.Open(outside.URL + w.console.NewLink())
	tab.Click("button.primary")
	tab.At("/")
	tab.Open(outside.URL + "/r/web/blog-6")
	tab.Shows("Live")
	down.Store(true)
	outside.CloseClientConnections()
	tab.Shows("Reconnecting")
	w.progress("it went on meanwhile")
	down.Store(false)
	tab.Shows("It went on meanwhile")
	tab.Shows("Live")

	line := func(n int) string { return fmt.Sprintf("step %03d\n", n) }
	log := ""
	w.depot.set(log, true)
	tab.Open(outside.URL + "/r/web/blog-6/log")
	for n := range 100 {
		log += line(n)
		w.depot.set(log, n < 99)
		if n%25 == 10 {
			tab.Shows(strings.TrimSpace(line(n)))
			outside.CloseClientConnections()
		}
	}
	tab.Shows("End of the log")
	shown := browser.Eval[string](tab, `[...document.querySelectorAll("#log li")].map((l) => l.innerText.trim() + "\n").join("")`)
	w.Expect(shown).To(Equal(log), "no line is lost or doubled")
	tab.Open(outside.URL + "/r/web/blog-6/log#L20-L29")
	w.Expect(browser.Eval[int](tab, `document.querySelectorAll("#log .marked").length`)).To(Equal(10))
}
