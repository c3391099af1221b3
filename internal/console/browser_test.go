// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"fmt"
	"os"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/test/browser"
)

// screens are all pages in all their states, by the names of their pictures.
var screens = []struct{ name, path, shows string }{
	{"fleet", "/", "blog"},
	{"fleet-no-match", "/?q=nothing-like-that", ""},
	{"targets", "/targets", "web-8"},
	{"activity", "/activity", "ticket 812"},
	{"me", "/me", "operator"},
	{"help", "/help", ""},
	{"service", "/s/web/blog", "v1.4.2"},
	{"service-locked", "/s/shop/search", "database moves"},
	{"service-mixed", "/s/shop/images", "images-2"},
	{"service-new", "/s/web/newsletter", ""},
	{"new", "/s/web/blog/new", "v1.5.0"},
	{"review", "/s/web/blog/new?plan=blog-plan-x7k2p", "canary"},
	{"review-waiting", "/s/web/blog/new?plan=blog-plan-wait1", ""},
	{"back", "/s/web/blog/back", "v1.4.1"},
	{"history", "/s/web/blog/history", "blog-1"},
	{"diff", "/s/web/blog/diff/" + commit("d") + "..." + commit("g"), "queue"},
	{"release-building", "/r/web/api-2", ""},
	{"release-rolling", "/r/web/blog-6", "web-5"},
	{"release-awaiting", "/r/shop/cart-2", "cart-1"},
	{"release-held", "/r/shop/search-2", "mara"},
	{"release-paused", "/r/shop/checkout-2", "co-2"},
	{"release-aborted", "/r/shop/images-2", "img-1"},
	{"release-build-failed", "/r/web/blog-3", "Rollup failed"},
	{"release-rolled-back", "/r/web/blog-5", "maxFailures"},
	{"release-succeeded", "/r/web/blog-4", ""},
	{"log", "/r/web/blog-3/log", "Rollup failed"},
	{"log-search", "/r/web/blog-3/log?q=error", "error during"},
	{"log-none", "/r/web/newsletter-9/log", ""},
	{"target", "/r/web/blog-6/t/blog-web-1", "Verify"},
	{"target-failed", "/r/shop/checkout-2/t/checkout-co-2", "AfterSwitch"},
	{"not-found", "/s/web/nothing", ""},
}

// enter signs a tab in with a link, which is what standalone prints.
func (h *house) enter(tab *browser.Tab) {
	h.t.Helper()
	tab.Open(h.server.URL + h.console.NewLink())
	tab.Click("button.primary")
	tab.At("/")
}

// set chooses a language and a theme.
func (h *house) set(tab *browser.Tab, language, theme string) {
	h.t.Helper()
	for name, value := range map[string]string{"language": language, "theme": theme} {
		browser.Eval[bool](tab, fmt.Sprintf(`fetch("/settings", {method: "POST", body: new URLSearchParams({%s: %q})}).then(() => true)`, name, value))
	}
}

// TestEveryPageCanBeUsedByEverybody opens every page in both themes and languages, on a desk and on a phone, and has axe-core look
// for what keeps people from using it. Its pictures are what people see.
func TestEveryPageCanBeUsedByEverybody(t *testing.T) {
	w := newTown(t)
	tab := browser.Start(t).Tab()
	tab.Open(w.server.URL + "/signin")
	tab.Shoot("signin")
	tab.Accessible("signin")
	w.enter(tab)
	for _, look := range []struct {
		language, theme, size string
		width, height         int64
	}{
		{"en", "light", "desktop", 1280, 900}, {"ja", "dark", "desktop", 1280, 900}, {"ja", "light", "phone", 390, 844}, {"en", "dark", "phone", 390, 844},
		{"en", "dark", "desktop", 1280, 900}, {"ja", "light", "desktop", 1280, 900},
	} {
		if look.size == "desktop" && look.language == "en" == (look.theme == "dark") && os.Getenv("SLIPWAY_SCREENSHOTS") == "" {
			continue // nothing new but the pictures
		}
		tab.Size(look.width, look.height)
		w.set(tab, look.language, look.theme)
		for _, s := range screens {
			tab.Open(w.server.URL + s.path)
			if s.shows != "" {
				tab.Shows(s.shows)
			}
			name := fmt.Sprintf("%s-%s-%s-%s", s.name, look.size, look.theme, look.language)
			tab.Shoot(name)
			tab.Accessible(name)
			w.Expect(browser.Eval[bool](tab, "document.documentElement.scrollWidth <= innerWidth")).To(BeTrue(), name+": nothing sticks out at the side")
		}
	}
}
