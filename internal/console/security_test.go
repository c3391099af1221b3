// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"html/template"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
)

// pages are all of them, and actions all that change something.
func (h *house) pages() []string {
	s, r := "/s/"+h.mine+"/blog", "/r/"+h.mine+"/one"
	return []string{"/", "/targets", "/activity", "/me", "/help", s, s + "/new", s + "/back", s + "/history", s + "/diff/" + strings.Repeat("7", 40) + "..." + strings.Repeat("8", 40), r, r + "/log", r + "/raw", r + "/follow"}
}

func (h *house) actions() []string {
	s, r := "/s/"+h.mine+"/blog", "/r/"+h.mine+"/one"
	return []string{s + "/plan", s + "/release", s + "/lock", s + "/unlock", r + "/pause", r + "/resume", r + "/abort", r + "/rollback", r + "/approve", r + "/override", r + "/t/blog-web-1/retry"}
}

// TestTheClusterSaysWhoMayWhat signs three people in whose rights differ.
func TestTheClusterSaysWhoMayWhat(t *testing.T) {
	h := newHouse(t)
	h.release("one", nil)
	viewer, releaser, nobody := h.signedIn("viewer", "slipway-viewer"), h.signedIn("releaser", "slipway-releaser"), h.signedIn("nobody")
	viewer.sees("/", "/s/"+h.mine+"/blog")
	_, body, _ := viewer.get("/")
	h.Expect(body).NotTo(ContainSubstring(h.theirs), "what is in a namespace is for those who may list it")
	for _, path := range []string{"/s/" + h.theirs + "/blog", "/s/" + h.theirs + "/blog/new", "/r/" + h.theirs + "/one", "/s/" + h.mine + "/none"} {
		code, _, _ := viewer.get(path)
		h.Expect(code).To(Equal(http.StatusNotFound), path)
	}
	_, body, _ = nobody.get("/")
	h.Expect(body).NotTo(ContainSubstring("/s/"))
	for _, path := range h.pages()[5:] {
		code, _, _ := nobody.get(path)
		h.Expect(code).To(Equal(http.StatusNotFound), path)
	}

	_, body, _ = viewer.get("/s/" + h.mine + "/none")
	h.Expect(body).NotTo(ContainSubstring("needs-count"), "a page that has not counted says no number")

	viewer.sees("/s/"+h.mine+"/blog", "You need the permission “create releases.slipway.dev” in the namespace "+h.mine)
	code, body, _ := viewer.post("/s/"+h.mine+"/blog/plan", "revision", "main")
	h.Expect(code).To(Equal(http.StatusForbidden))
	h.Expect(body).To(And(ContainSubstring("cannot create resource"), ContainSubstring("system:serviceaccount:"+h.mine+":viewer")), "the cluster refuses, and says whom")
	code, _, _ = viewer.post("/r/" + h.mine + "/one/abort")
	h.Expect(code).To(Equal(http.StatusForbidden))

	code, _, where := releaser.post("/s/"+h.mine+"/blog/plan", "revision", "main")
	h.Expect(code).To(Equal(http.StatusSeeOther))
	h.Expect(where).To(HavePrefix("/s/" + h.mine + "/blog/new?plan=blog-plan-"))
	code, _, where = releaser.post("/r/" + h.mine + "/one/pause")
	h.Expect(code).To(Equal(http.StatusSeeOther))
	h.Expect(where).To(Equal("/r/" + h.mine + "/one"))
	var one v1alpha1.Release
	h.Expect(h.c.Get(t.Context(), client.ObjectKey{Namespace: h.mine, Name: "one"}, &one)).To(Succeed())
	h.Expect(one.Spec.Paused).To(BeTrue())
	code, body, _ = releaser.post("/s/"+h.mine+"/blog/lock", "reason", "no")
	h.Expect(code).To(Equal(http.StatusForbidden), body)
}

func TestWithoutASessionThereIsNothing(t *testing.T) {
	h := newHouse(t)
	h.release("one", nil)
	v := h.visitor()
	for _, path := range h.pages() {
		code, body, where := v.get(path)
		h.Expect(code).To(Equal(http.StatusSeeOther), path)
		h.Expect(where).To(HavePrefix("/signin?next=%2F"), path)
		h.Expect(body).NotTo(ContainSubstring("blog/new"), path)
	}
	for _, path := range h.actions() {
		code, _, _ := v.post(path)
		h.Expect(code).To(Equal(http.StatusUnauthorized), path)
	}
	stranger := h.visitor()
	code, body, _ := stranger.post("/signin", "token", "forged")
	h.Expect(code).To(Equal(http.StatusUnauthorized))
	h.Expect(body).To(ContainSubstring("does not accept this token"))
	for range maxAttempts {
		code, _, _ = stranger.post("/signin", "token", "forged")
	}
	h.Expect(code).To(Equal(http.StatusTooManyRequests))
}

func TestASessionThatEndedIsNoSession(t *testing.T) {
	h := newHouse(t)
	v := h.signedIn("viewer", "slipway-viewer")
	address := v.h.server.URL
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	h.Expect(err).NotTo(HaveOccurred())
	cookies := v.client.Jar.Cookies(request.URL)
	h.Expect(cookies).To(HaveLen(1))
	code, _, _ := v.post("/signout")
	h.Expect(code).To(Equal(http.StatusSeeOther))
	kept := h.visitor()
	kept.client.Jar.SetCookies(request.URL, cookies)
	code, _, _ = kept.get("/")
	h.Expect(code).To(Equal(http.StatusSeeOther), "the key is worth nothing after it")
}

// TestASessionEndsWithItsToken: who has a token for ten minutes is not signed in for hours.
func TestASessionEndsWithItsToken(t *testing.T) {
	h := newHouse(t)
	h.signedIn("viewer", "slipway-viewer")
	h.Expect(h.console.sessions.all).To(HaveLen(1))
	for _, s := range h.console.sessions.all {
		h.Expect(s.user.Until).To(BeTemporally("~", time.Now().Add(time.Hour), 5*time.Minute), "an hour is what the API server gives by default")
	}
	for _, token := range []string{"", "opaque", "a.b.c", "a." + encode([]byte(`{}`)) + ".c", "a." + encode([]byte(`{"exp":"soon"}`)) + ".c", "a." + encode([]byte(`{"exp":-1}`)) + ".c"} {
		h.Expect(expiry(token).IsZero()).To(BeTrue(), token)
	}
}

// TestASessionEndsWhenItsAccountIsGone: whose token was revoked reads and does nothing any more.
func TestASessionEndsWhenItsAccountIsGone(t *testing.T) {
	h := newHouse(t)
	h.console.sessions.review = 0
	v := h.signedIn("releaser", "slipway-releaser")
	v.sees("/", "/s/"+h.mine+"/blog")
	h.Expect(h.c.Delete(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: h.mine, Name: "releaser"}})).To(Succeed())
	h.Eventually(func() int { // the API server remembers tokens for some seconds
		code, _, _ := v.get("/")
		return code
	}, "30s", "200ms").Should(Equal(http.StatusSeeOther))
	code, _, _ := v.post("/s/"+h.mine+"/blog/plan", "revision", "main")
	h.Expect(code).To(Equal(http.StatusUnauthorized))
}

// TestPagesAreForWhoMayListWhatTheyShow: a right on Services alone is none on Releases, hosts and logs.
func TestPagesAreForWhoMayListWhatTheyShow(t *testing.T) {
	h := newHouse(t)
	h.release("one", nil)
	h.Expect(h.c.Create(t.Context(), &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: h.mine, Name: "services-only"}, Rules: []rbacv1.PolicyRule{{APIGroups: []string{"slipway.dev"}, Resources: []string{"services"}, Verbs: []string{"get", "list"}}},
	})).To(Succeed())
	v := h.signedIn("partial")
	h.Expect(h.c.Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: h.mine, Name: "partial"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "services-only"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: h.mine, Name: "partial"}},
	})).To(Succeed())
	for _, path := range h.pages()[5:] {
		code, _, _ := v.get(path)
		h.Expect(code).To(Equal(http.StatusNotFound), path)
	}
}

// TestAnotherNameIsNotTheConsoles: a name that somebody lets lead here (DNS rebinding) opens nothing.
func TestAnotherNameIsNotTheConsoles(t *testing.T) {
	h := newHouse(t)
	h.console.URL = "https://slipway.example.com"
	for host, want := range map[string]int{
		"evil.test": http.StatusMisdirectedRequest, "evil.test:8090": http.StatusMisdirectedRequest, "slipway.example.com.evil.test": http.StatusMisdirectedRequest, "10.0.0.1": http.StatusMisdirectedRequest,
		"slipway.example.com": http.StatusOK, "slipway.example.com:443": http.StatusOK, "slipway.example.com:8443": http.StatusMisdirectedRequest,
		"Slipway.example.com": http.StatusOK, "127.0.0.1:9999": http.StatusOK, "localhost": http.StatusOK, "localhost:8080": http.StatusOK, "[::1]:1": http.StatusOK,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.server.URL+"/signin", nil)
		h.Expect(err).NotTo(HaveOccurred())
		r.Host = host
		code, _, _ := h.visitor().do(r)
		h.Expect(code).To(Equal(want), host)
	}
}

// TestOldLinksLeadNowhereElse: those of notifications have names of objects in them, and nothing else.
func TestOldLinksLeadNowhereElse(t *testing.T) {
	h := newHouse(t)
	for path, want := range map[string]string{
		"/namespaces/web/services/blog/releases/blog-1": "/r/web/blog-1", "/namespaces/..%2f%5cevil.com/services/x/releases/y": "", "/namespaces/web/services/x/releases/..%2f..%2f%5cevil.com": "",
		"/namespaces/a%3fb/services/x/releases/y": "", "/namespaces/%2fevil.com/services/x/releases/y": "",
	} {
		code, _, where := h.visitor().get(path)
		h.Expect(where).To(Equal(want), path)
		h.Expect(code == http.StatusSeeOther).To(Equal(want != ""), path)
	}
}

// TestALogIsFollowedWhileOneMay, and no longer.
func TestALogIsFollowedWhileOneMay(t *testing.T) {
	h := newHouse(t)
	h.console.look = 10 * time.Millisecond
	h.release("one", nil)
	h.depot.set("one\n", true)
	v := h.signedIn("viewer", "slipway-viewer")
	v.sees("/r/"+h.mine+"/one", "Stages")
	events, stop := v.stream("/r/"+h.mine+"/one/follow", "")
	defer stop()
	h.Eventually(func() string { return (<-events).name }, "10s", "1ms").Should(Equal("lines"))
	h.Expect(h.c.Delete(t.Context(), &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: h.mine, Name: "viewer-slipway-viewer"}})).To(Succeed())
	for _, u := range h.console.users.known { // what the cluster said is gone by for some seconds
		u.mu.Lock()
		clear(u.may)
		u.mu.Unlock()
	}
	h.Eventually(func() bool {
		for {
			select {
			case _, open := <-events:
				if !open {
					return true
				}
			default:
				return false
			}
		}
	}, "30s", "50ms").Should(BeTrue(), "the stream ends")
}

// TestAPlanOfAnyNameIsShown, and the button makes no Release that somebody else has put there.
func TestAPlanOfAnyNameIsShown(t *testing.T) {
	h := newHouse(t)
	v := h.signedIn("releaser", "slipway-releaser")
	plan := func(name string) {
		r := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: h.mine, Name: name, Annotations: map[string]string{v1alpha1.AnnotationDryRun: "true"}}, Spec: v1alpha1.ReleaseSpec{Service: "blog", Revision: "v2"}}
		h.Expect(h.c.Create(t.Context(), r)).To(Succeed())
		before := r.DeepCopy()
		r.Status.Plan = &v1alpha1.ReleasePlan{Commit: strings.Repeat("8", 40), Ref: "refs/tags/v2", Hosts: 1, Moving: 1}
		h.Expect(h.c.Status().Patch(t.Context(), r, client.MergeFrom(before))).To(Succeed())
		v.sees("/s/"+h.mine+"/blog/new?plan="+name, "Release 88888888 to 1 host")
	}
	plan("abc")
	code, _, where := v.post("/s/"+h.mine+"/blog/release", "plan", "abc")
	h.Expect([]any{code, where}).To(Equal([]any{http.StatusSeeOther, "/r/" + h.mine + "/blog-abc"}))
	code, _, where = v.post("/s/"+h.mine+"/blog/release", "plan", "abc")
	h.Expect([]any{code, where}).To(Equal([]any{http.StatusSeeOther, "/r/" + h.mine + "/blog-abc"}), "pressed twice")
	plan("zz-plan-77")
	h.Expect(h.c.Create(t.Context(), &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: h.mine, Name: "blog-77"}, Spec: v1alpha1.ReleaseSpec{Service: "blog", Revision: "v0"}})).To(Succeed())
	code, body, _ := v.post("/s/"+h.mine+"/blog/release", "plan", "zz-plan-77")
	h.Expect(code).To(Equal(http.StatusUnprocessableEntity))
	h.Expect(body).To(ContainSubstring("another release of the name blog-77"))
}

// TestNobodyLooksLikeAnother: neither by what turns text around, nor by a name that a program has, nor by an annotation.
func TestNobodyLooksLikeAnother(t *testing.T) {
	h := newHouse(t)
	h.release("one", func(r *v1alpha1.Release) { r.Status.Described.Subject = "ok \u202e)yb devorppa\u202c" })
	h.Expect(h.c.Create(t.Context(), &v1alpha1.Release{
		ObjectMeta: metav1.ObjectMeta{Namespace: h.mine, Name: "two", Annotations: map[string]string{annotationAsked: "main (reviewed)"}},
		Spec:       v1alpha1.ReleaseSpec{Service: "blog", Revision: "v1", Reason: "ok \u202e)yb devorppa ecila(", RequestedBy: "slipway:admin"},
	})).To(Succeed())
	v := h.signedIn("viewer", "slipway-viewer")
	v.sees("/r/"+h.mine+"/two", `<span class="rev">v1</span>`)
	for _, path := range []string{"/", "/s/" + h.mine + "/blog", "/r/" + h.mine + "/one", "/r/" + h.mine + "/two"} {
		_, body, _ := v.get(path)
		h.Expect(strings.ContainsAny(body, directions)).To(BeFalse(), path)
		h.Expect(body).NotTo(ContainSubstring("main (reviewed)"), path)
	}
	for user, want := range map[string]string{"Slipway": "", "web:ci": "", v1alpha1.RequestedByManager: "Slipway", "system:serviceaccount:web:ci": "web:ci"} {
		h.Expect(program(user)).To(Equal(want), user)
	}
}

func TestOtherSitesActForNobody(t *testing.T) {
	h := newHouse(t)
	h.release("one", nil)
	v := h.signedIn("releaser", "slipway-releaser")
	v.sees("/", "/s/"+h.mine+"/blog")
	for name, headers := range map[string]map[string]string{
		"a browser of today": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, "a sister": {"Sec-Fetch-Site": "same-site"}, "an old browser": {"Origin": "https://evil.example.com"},
	} {
		v.headers = headers
		for _, path := range append(h.actions(), "/signin", "/signout", "/settings", "/link/x") {
			code, _, _ := v.post(path, "revision", "main")
			h.Expect(code).To(Equal(http.StatusForbidden), "%s: %s", name, path)
		}
	}
	var one v1alpha1.Release
	h.Expect(h.c.Get(t.Context(), client.ObjectKey{Namespace: h.mine, Name: "one"}, &one)).To(Succeed())
	h.Expect(one.Spec.Paused || one.Spec.Abort || one.Spec.RollBack).To(BeFalse())
}

// TestTextOfPeopleStaysText shows every string that somebody can choose on every page, as a page and as events.
func TestTextOfPeopleStaysText(t *testing.T) {
	h := newHouse(t)
	h.depot.set(hostile+"\n\x1b[31m"+hostile, false)
	h.release("one", nil)
	v := h.signedIn("releaser", "slipway-releaser")
	v.sees("/r/"+h.mine+"/one", "onerror")
	for _, path := range append(h.pages(), "/?q="+"%22%3E%3Cimg+src%3Dx%3E", "/signin?next=%22%3E%3Cimg+src%3Dx%3E", "/jump?to=%22%3E%3Cimg+src%3Dx%3E") {
		code, body, _ := v.get(path)
		h.Expect(code).To(BeNumerically("<", 400), path)
		if strings.HasSuffix(path, "/raw") || strings.HasSuffix(path, "/follow") {
			continue // text, and JSON
		}
		h.Expect(body).NotTo(ContainSubstring("<img"), path)
		h.Expect(body).NotTo(ContainSubstring("<script>alert"), path)
		h.Expect(strings.Contains(body, " style=")).To(BeFalse(), path)
	}
	response, err := v.client.Get(h.server.URL + "/r/" + h.mine + "/one/raw")
	h.Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	h.Expect(response.Header.Get("Content-Type")).To(Equal("text/plain; charset=utf-8"))
	code, _, _ := v.get("/s/" + h.mine + "/blog/diff/" + "%2e%2e%2f%2e%2e%2f..." + strings.Repeat("8", 40))
	h.Expect(code).To(Equal(http.StatusNotFound))
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	h := newHouse(t)
	v := h.signedIn("viewer", "slipway-viewer")
	for _, path := range append(h.pages(), "/signin", "/static/console.js", "/static/", "/nothing", "/link/x") {
		response, err := v.client.Get(h.server.URL + path)
		h.Expect(err).NotTo(HaveOccurred())
		response.Body.Close()
		policy := response.Header.Get("Content-Security-Policy")
		h.Expect(policy).To(And(ContainSubstring("default-src 'none'"), ContainSubstring("frame-ancestors 'none'"), Not(ContainSubstring("unsafe"))), path)
		h.Expect(response.Header.Get("X-Content-Type-Options")).To(Equal("nosniff"), path)
		h.Expect(response.Header.Get("Referrer-Policy")).To(Equal("same-origin"), path)
		if !strings.HasPrefix(path, "/static/") {
			h.Expect(response.Header.Get("Cache-Control")).To(Equal("no-store"), path)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.server.URL+"/", nil)
	h.Expect(err).NotTo(HaveOccurred())
	for _, cookie := range v.client.Jar.Cookies(r.URL) {
		h.Expect(cookie.Value).To(HaveLen(26))
	}
	code, _, _ := v.post("/s/"+h.mine+"/blog/plan", "revision", strings.Repeat("x", 2*maxForm))
	h.Expect(code).To(Equal(http.StatusBadRequest))
}

// TestPagesAndTheirFilesAreOfOneVersion: what a page loads is kept for ever under an address that its content gives it.
func TestPagesAndTheirFilesAreOfOneVersion(t *testing.T) {
	h := newHouse(t)
	v := h.visitor()
	_, body, _ := v.get("/signin")
	for path, keep := range map[string]string{asset("console.js"): "public, max-age=31536000, immutable", "/static/console.js": "public, max-age=300", "/static/console.js?v=old": "public, max-age=300"} {
		response, err := v.client.Get(h.server.URL + path)
		h.Expect(err).NotTo(HaveOccurred())
		response.Body.Close()
		h.Expect(response.StatusCode).To(Equal(http.StatusOK))
		h.Expect(response.Header.Get("Cache-Control")).To(Equal(keep), path)
	}
	h.Expect(body).To(And(ContainSubstring(asset("console.js")), ContainSubstring(asset("console.css")), Not(ContainSubstring(`"/static/console.css"`))))
}

func TestSignInLeadsNowhereElse(t *testing.T) {
	for next, want := range map[string]string{
		"/s/web/blog?x=1": "/s/web/blog?x=1", "": "/", "//evil.example.com": "/", "https://evil.example.com": "/", `/\evil.example.com`: "/", "/a\r\nSet-Cookie: x": "/",
		"javascript:alert(1)": "/", "/signin?next=/signin": "/", "/" + strings.Repeat("x", 3000): "/", "\t//evil": "/",
	} {
		NewWithT(t).Expect(localPath(next)).To(Equal(want), next)
	}
}

func TestALinkSignsInOnce(t *testing.T) {
	h := newHouse(t)
	link := h.console.NewLink()
	v := h.visitor()
	for range 3 { // looking uses nothing up
		code, body, _ := v.get(link)
		h.Expect(code).To(Equal(http.StatusOK))
		h.Expect(body).To(ContainSubstring("operator"))
	}
	code, _, where := v.post(link)
	h.Expect([]any{code, where}).To(Equal([]any{http.StatusSeeOther, "/"}))
	code, body, _ := h.visitor().post(link)
	h.Expect(code).To(Equal(http.StatusUnauthorized))
	h.Expect(body).To(ContainSubstring("used already"))
	code, _, _ = h.visitor().post("/link/GUESSED")
	h.Expect(code).To(Equal(http.StatusUnauthorized))
}

func TestWhomTheConsoleNeverSpeaksFor(t *testing.T) {
	g := NewWithT(t)
	g.Expect(Identity{}.check()).NotTo(Succeed(), "nobody would be the Console itself")
	g.Expect(Identity{Name: "root", Groups: []string{everybody, forbiddenGroup}}.check()).NotTo(Succeed())
	g.Expect(Identity{Name: "alice", Groups: []string{everybody}}.check()).To(Succeed())
	g.Expect(Identity{Name: "alice\nadmins"}.check()).NotTo(Succeed(), "it would be mistaken for alice, who is one of the admins")
	g.Expect(Identity{Name: "alice", Groups: []string{"a\x00b"}}.check()).NotTo(Succeed())
	_, err := New(Options{Address: "0.0.0.0:8090"})
	g.Expect(err).To(MatchError(ContainSubstring("--console-cert")), "tokens go over no plain connection")
	_, err = New(Options{Address: "0.0.0.0:8443", CertFile: "tls.crt"})
	g.Expect(err).To(MatchError(ContainSubstring("--console-url")), "it answers to its own name alone")
}

// TestPagesFollow what changes, and show first what is there.
func TestPagesFollow(t *testing.T) {
	h := newHouse(t)
	h.release("one", nil)
	v := h.signedIn("viewer", "slipway-viewer")
	v.sees("/r/"+h.mine+"/one", "Stages")
	events, stop := v.stream("/r/"+h.mine+"/one", "")
	defer stop()
	part := func(id, text string) { h.part(events, id, text) }
	part("title", "Queued")
	var one v1alpha1.Release
	h.Expect(h.c.Get(t.Context(), client.ObjectKey{Namespace: h.mine, Name: "one"}, &one)).To(Succeed())
	before := one.DeepCopy()
	one.Spec.Paused = true
	h.Expect(h.c.Patch(t.Context(), &one, client.MergeFrom(before))).To(Succeed())
	part("title", "Paused")
}

// TestNobodyLosesWhatHeTypes where a browser without script loads pages anew.
func TestNobodyLosesWhatHeTypes(t *testing.T) {
	h := newHouse(t)
	h.release("one", nil)
	v := h.signedIn("releaser", "slipway-releaser")
	v.sees("/r/"+h.mine+"/one", "Stages")
	for path, want := range map[string]string{"/": `content="15"`, "/r/" + h.mine + "/one": `content="15"`, "/s/" + h.mine + "/blog": `content="120"`, "/s/" + h.mine + "/blog/new": "", "/help": ""} {
		_, body, _ := v.get(path)
		_, refresh, _ := strings.Cut(body, `<noscript><meta http-equiv="refresh" `)
		h.Expect(refresh).To(HavePrefix(want), path)
		h.Expect(refresh == "").To(Equal(want == ""), path)
	}
}

// TestStreamsLastOverHTTP2, where a deadline that has passed ends a stream though nothing was written.
func TestStreamsLastOverHTTP2(t *testing.T) {
	h := newHouse(t)
	h.console.beat = 300 * time.Millisecond
	h.server.CloseClientConnections()
	h.server.Close()
	h.server = httptest.NewUnstartedServer(h.console.Handler())
	h.server.EnableHTTP2 = true
	h.server.StartTLS()
	v := h.visitor()
	v.client.Transport = h.server.Client().Transport
	v.client.Timeout = 0
	code, _, _ := v.post("/signin", "token", h.account("viewer", "slipway-viewer"))
	h.Expect(code).To(Equal(http.StatusSeeOther))
	v.sees("/", "/s/"+h.mine+"/blog")
	events, stop := v.stream("/s/"+h.mine+"/blog", "")
	defer stop()
	beats := 0
	h.Eventually(func() int {
		if e, open := <-events; open && e.name == "pulse" {
			beats++
		} else if !open {
			t.Fatal("the stream has ended")
		}
		return beats
	}, "30s", "1ms").Should(BeNumerically(">", 8))
}

// part waits until a part of a page that is followed has a text.
func (h *house) part(events <-chan event, id, text string) {
	h.t.Helper()
	h.Eventually(func() string {
		select {
		case e := <-events:
			if e.name == "part" && e.data["id"] == id {
				return e.data["html"].(string)
			}
		default:
		}
		return ""
	}, 15*time.Second, 5*time.Millisecond).Should(ContainSubstring(text))
}

// TestAReleaseShowsWhatItsBuildSays while nothing in the cluster changes.
func TestAReleaseShowsWhatItsBuildSays(t *testing.T) {
	h := newHouse(t)
	h.console.look = 50 * time.Millisecond
	h.release("one", func(r *v1alpha1.Release) {
		conditions.True(&r.Status.Conditions, 1, v1alpha1.ConditionResolved, v1alpha1.ReasonSucceeded, "")
	})
	h.depot.set(strings.Repeat("composer\n", 30)+"npm run build\n", true)
	v := h.signedIn("viewer", "slipway-viewer")
	v.sees("/r/"+h.mine+"/one", "npm run build")
	events, stop := v.stream("/r/"+h.mine+"/one", "")
	defer stop()
	h.part(events, "log-end", "npm run build")
	h.depot.set(strings.Repeat("composer\n", 30)+"npm run build\n"+hostile+"\n", true)
	h.part(events, "log-end", template.HTMLEscapeString(hostile[:8]))
}

// TestALogGoesOnWhereItBrokeOff loses the connection at every line.
func TestALogGoesOnWhereItBrokeOff(t *testing.T) {
	h := newHouse(t)
	h.release("one", nil)
	v := h.signedIn("viewer", "slipway-viewer")
	v.sees("/r/"+h.mine+"/one", "Stages")
	var got []string
	text, last := "", ""
	for _, piece := range []string{"one\n", "two\nthr", "ee\n", "", "four\nfive"} {
		text += piece
		h.depot.set(text, true)
		events, stop := v.stream("/r/"+h.mine+"/one/follow", last)
		want := len(strings.Split(text, "\n")) - 1
		h.Eventually(func() int {
			select {
			case e := <-events:
				if e.id != "" {
					last = e.id
				}
				if e.name == "lines" {
					for _, line := range e.data["lines"].([]any) {
						got = append(got, line.(map[string]any)["html"].(string))
					}
				}
			default:
			}
			return len(got)
		}, 10*time.Second, 5*time.Millisecond).Should(Equal(want))
		stop()
	}
	h.depot.set(text, false)
	events, stop := v.stream("/r/"+h.mine+"/one/follow", last)
	defer stop()
	h.Eventually(func() string {
		e := <-events
		if e.name == "lines" {
			got = append(got, e.data["lines"].([]any)[0].(map[string]any)["html"].(string))
		}
		return e.name
	}, 10*time.Second).Should(Equal("end"))
	h.Expect(got).To(Equal([]string{"one", "two", "three", "four", "five"}))
}

func TestTheSourceBehindAProxyIsWhatTheProxySays(t *testing.T) {
	g := NewWithT(t)
	for forwarded, want := range map[string][2]string{ // with a proxy and without
		"": {"10.0.0.1", "10.0.0.1"}, "6.6.6.6": {"6.6.6.6", "10.0.0.1"}, "1.1.1.1, 6.6.6.6": {"6.6.6.6", "10.0.0.1"}, "2001:db8:1:2:3::4": {"2001:db8:1:2::", "10.0.0.1"},
		"unknown": {"10.0.0.1", "10.0.0.1"}, "6.6.6.6, <script>": {"10.0.0.1", "10.0.0.1"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = "10.0.0.1:4711"
		if forwarded != "" {
			r.Header.Set("X-Forwarded-For", forwarded)
		}
		g.Expect((&Console{Options: Options{Insecure: true}}).sourceOf(r)).To(Equal(want[0]), forwarded)
		g.Expect((&Console{}).sourceOf(r)).To(Equal(want[1]), forwarded)
	}
}

// TestWhatIsTooLargeOrElsewhereIsRefused sends what no page sends.
func TestWhatIsTooLargeOrElsewhereIsRefused(t *testing.T) {
	h := newHouse(t)
	h.release("one", nil)
	v := h.signedIn("releaser", "slipway-releaser")
	v.sees("/r/"+h.mine+"/one", "one")
	long := strings.Repeat("x", 30_000)
	for _, path := range []string{
		"/static/../console.go", "/static/%2e%2e/console.go", "/static/..%2f..%2fetc/passwd", "/static/catalogue/en.json", "/r/" + h.mine + "/one/t/..%2f..%2fx", "/s/" + h.mine + "/%2e%2e%2fblog",
		"/r/" + h.mine + "/" + long, "/s/" + h.mine + "/blog/diff/" + long, "/s/" + h.mine + "/blog/diff/--upload-pack=x..." + strings.Repeat("8", 40), "/r/" + h.mine + "/one%00",
	} {
		code, body, _ := v.get(path)
		h.Expect(code).To(BeElementOf(http.StatusNotFound, http.StatusMovedPermanently, http.StatusTemporaryRedirect), "%.60s", path)
		h.Expect(body).NotTo(ContainSubstring("root:"), "%.60s", path)
	}
	for _, path := range []string{"/?q=" + long, "/?page=99999999999999999999", "/?page=-1", "/?state=" + long, "/jump?to=" + long, "/r/" + h.mine + "/one/log?line=99999999999999999999", "/s/" + h.mine + "/blog/new?plan=" + long} {
		code, _, _ := v.get(path)
		h.Expect(code).To(BeNumerically("<", 400), "%.60s", path)
	}
	for _, revision := range []string{long[:1_000], "--upload-pack=touch /tmp/x", "a..b", "a\nb", "\x00", " "} {
		code, _, _ := v.post("/s/"+h.mine+"/blog/plan", "revision", revision)
		h.Expect(code).To(Equal(http.StatusUnprocessableEntity), "%.60q", revision)
	}
	code, _, where := v.post("/settings", "next", "//evil.example.com", "language", "xx\r\nSet-Cookie: a=b", "theme", "dark; Domain=evil", "keys", "maybe")
	h.Expect([]any{code, where}).To(Equal([]any{http.StatusSeeOther, "/"}))
}
