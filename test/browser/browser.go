// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package browser opens pages in Debian's chromium-headless-shell, for tests of the Console as people see it.
package browser

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/onsi/gomega"
)

const (
	// Program is what has to be installed: hack/setup.sh does that.
	Program = "chromium-headless-shell"
	// patience is how long anything may take on a busy machine.
	patience = 60 * time.Second
)

// Browser is a browser with a profile of its own.
type Browser struct {
	t   testing.TB
	ctx context.Context
}

// Start starts a browser that ends with the test. What it would do by itself in the background is off.
func Start(t testing.TB) *Browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(Program), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("no-proxy-server", true), chromedp.UserDataDir(t.TempDir()))
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, leave := chromedp.NewContext(allocator)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx); leave(); cancel() })
	gomega.NewWithT(t).Expect(chromedp.Do(ctx)).To(gomega.Succeed(), "start "+Program)
	return &Browser{t: t, ctx: ctx}
}

// Tab is one tab.
type Tab struct {
	t   testing.TB
	ctx context.Context
}

// Tab opens one, of a desktop's size.
func (b *Browser) Tab() *Tab {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	b.t.Cleanup(cancel)
	tab := &Tab{t: b.t, ctx: ctx}
	gomega.NewWithT(b.t).Expect(chromedp.Do(ctx)).To(gomega.Succeed(), "open a tab") // which lives as long as this context
	tab.Size(1280, 900)
	return tab
}

// Do takes steps, in bounded time.
func (tab *Tab) Do(what string, steps ...chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	gomega.NewWithT(tab.t).Expect(chromedp.Do(ctx, steps...)).To(gomega.Succeed(), what)
}

// Size sets the window's.
func (tab *Tab) Size(width, height int64) {
	tab.t.Helper()
	tab.Do("resize", chromedp.EmulateViewport(width, height))
}

// Front has the tab be the one that is looked at.
func (tab *Tab) Front() {
	tab.t.Helper()
	tab.Do("bring to the front", func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, page.BringToFront, cdp.Empty{})
		return chromedp.Void{}, err
	})
}

// Open goes to a page.
func (tab *Tab) Open(url string) {
	tab.t.Helper()
	tab.Do("open "+url, chromedp.Navigate(url))
}

// Click clicks on what a CSS selector finds, once it can be seen. A live page may put something new in its place at that moment.
func (tab *Tab) Click(selector string) {
	tab.t.Helper()
	gomega.NewWithT(tab.t).Eventually(func() error {
		ctx, cancel := context.WithTimeout(tab.ctx, patience)
		defer cancel()
		return chromedp.Do(ctx, chromedp.Click(selector, chromedp.NodeVisible))
	}, 2*patience, "200ms").Should(gomega.Succeed(), "click "+selector)
}

// Type types into a field.
func (tab *Tab) Type(selector, text string) {
	tab.t.Helper()
	tab.Do("type into "+selector, chromedp.SendKeys(selector, text, chromedp.NodeVisible))
}

// Key presses keys on the page.
func (tab *Tab) Key(keys string) {
	tab.t.Helper()
	tab.Do("press "+keys, chromedp.KeyEvent(keys))
}

// WithoutScript has pages run no script from now on.
func (tab *Tab) WithoutScript() {
	tab.t.Helper()
	tab.Do("disable JavaScript", func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return chromedp.Void{}, err
	})
}

// Eval returns what a script makes.
func Eval[T any](tab *Tab, script string) T {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	gomega.NewWithT(tab.t).Expect(err).NotTo(gomega.HaveOccurred(), script)
	return value
}

// Text is all that can be read on the page; empty while another one comes.
func (tab *Tab) Text() string {
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body ? document.body.innerText : ''"))
	if err != nil {
		return ""
	}
	return text
}

// Shows waits until the page shows a text.
func (tab *Tab) Shows(text string) {
	tab.t.Helper()
	gomega.NewWithT(tab.t).Eventually(tab.Text, 2*patience, "100ms").Should(gomega.ContainSubstring(text))
}

// At waits until the page of an address is there as a whole.
func (tab *Tab) At(path string) {
	tab.t.Helper()
	gomega.NewWithT(tab.t).Eventually(func() string {
		ctx, cancel := context.WithTimeout(tab.ctx, patience)
		defer cancel()
		where, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.readyState == 'complete' ? location.pathname + location.search : ''"))
		if err != nil {
			return ""
		}
		return where
	}, 2*patience, "50ms").Should(gomega.Equal(path))
}

// Shoot writes a picture of the whole page into the folder that SLIPWAY_SCREENSHOTS names, if it does.
func (tab *Tab) Shoot(name string) {
	tab.t.Helper()
	dir := os.Getenv("SLIPWAY_SCREENSHOTS")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	g := gomega.NewWithT(tab.t)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(os.MkdirAll(dir, 0o755)).To(gomega.Succeed())
	g.Expect(os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644)).To(gomega.Succeed())
}
