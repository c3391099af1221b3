// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

// provider is zitadel's OpenID Connect server, with its users.
func provider(t *testing.T, redirects ...string) (issuer string) {
	t.Helper()
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	storage.RegisterClients(storage.WebClient("slipway", "secret", redirects...))
	handler = exampleop.SetupServer(server.URL, storage.NewStorage(storage.NewUserStore(server.URL)), nil, false)
	return server.URL
}

// goTo follows redirects to other servers by hand, as a browser does, until the Console or a form is reached.
func (v *visitor) goTo(address string) (code int, body, at string) {
	v.h.t.Helper()
	for range 10 {
		r, err := http.NewRequestWithContext(v.h.t.Context(), http.MethodGet, address, nil)
		v.h.Expect(err).NotTo(HaveOccurred())
		code, body, where := v.do(r)
		if code < 300 || code > 399 {
			return code, body, address
		}
		next, err := r.URL.Parse(where)
		v.h.Expect(err).NotTo(HaveOccurred())
		address = next.String()
	}
	v.h.t.Fatal("too many redirects")
	return 0, "", ""
}

// atProvider signs in on the provider's own page and returns where that leads.
func (v *visitor) atProvider(page string) (next string) {
	v.h.t.Helper()
	at, err := url.Parse(page)
	v.h.Expect(err).NotTo(HaveOccurred())
	v.h.Expect(at.Path).To(Equal("/login/username"))
	form := url.Values{"username": {"test-user2"}, "password": {"verysecure"}, "id": {at.Query().Get("authRequestID")}}
	r, err := http.NewRequestWithContext(v.h.t.Context(), http.MethodPost, page, strings.NewReader(form.Encode()))
	v.h.Expect(err).NotTo(HaveOccurred())
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	code, body, where := v.do(r)
	v.h.Expect(code).To(Equal(http.StatusFound), body)
	to, err := at.Parse(where)
	v.h.Expect(err).NotTo(HaveOccurred())
	return to.String()
}

func TestPeopleSignInWithTheirAccount(t *testing.T) {
	h := newHouse(t)
	h.console.URL = h.server.URL
	h.console.oidc = newSignInByOIDC(OIDC{
		Issuer: provider(t, h.server.URL+callbackPath), ClientID: "slipway", ClientSecret: "secret", UsernameClaim: "email", UsernamePrefix: "oidc:", Scopes: []string{"profile", "email"},
	})
	h.console.mux.HandleFunc("GET /oidc/start", h.console.startOIDC)
	h.console.mux.HandleFunc("GET "+callbackPath, h.console.finishOIDC)
	h.Expect(h.c.Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: h.mine, Name: "people"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "slipway-releaser"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "oidc:test-user2@zitadel.ch"}},
	})).To(Succeed())
	v := h.visitor()
	_, body, _ := v.get("/signin?next=/s/" + h.mine + "/blog")
	h.Expect(body).To(ContainSubstring("/oidc/start?next="))
	_, _, page := v.goTo(h.server.URL + "/oidc/start?next=/s/" + h.mine + "/blog")
	back := v.atProvider(page)
	code, body, at := v.goTo(back)
	h.Expect(code).To(Equal(http.StatusOK), body)
	h.Expect(body).To(ContainSubstring("/s/" + h.mine + "/blog"))
	v.sees("/me", "oidc:test-user2@zitadel.ch")
	v.sees("/s/"+h.mine+"/blog", "/s/"+h.mine+"/blog/new")

	// What somebody else has of it signs him in nowhere.
	thief := h.visitor()
	code, body, _ = thief.goTo(at)
	h.Expect(code).To(Equal(http.StatusUnauthorized))
	h.Expect(body).To(ContainSubstring("started in another browser"))
	code, _, _ = v.goTo(at)
	h.Expect(code).To(Equal(http.StatusUnauthorized), "a code is good once")

	// Nor does a sign-in that one began end as another's.
	mallory, alice := h.visitor(), h.visitor()
	_, _, page = mallory.goTo(h.server.URL + "/oidc/start")
	foreign, _, _ := strings.Cut(mallory.h.redirectOf(mallory, mallory.atProvider(page)), "\n")
	alice.goTo(h.server.URL + "/oidc/start")
	code, _, _ = alice.goTo(foreign)
	h.Expect(code).To(Equal(http.StatusUnauthorized))
}

// redirectOf is where a page leads, without going there.
func (h *house) redirectOf(v *visitor, address string) string {
	r, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, address, nil)
	h.Expect(err).NotTo(HaveOccurred())
	code, body, where := v.do(r)
	h.Expect(code).To(Equal(http.StatusFound), body)
	return where
}

// TestAProviderThatIsSilentHoldsNobodyUp: it takes connections and never answers.
func TestAProviderThatIsSilentHoldsNobodyUp(t *testing.T) {
	h := newHouse(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	h.Expect(err).NotTo(HaveOccurred())
	defer silent.Close()
	h.console.oidc = newSignInByOIDC(OIDC{Issuer: "http://" + silent.Addr().String(), ClientID: "slipway"})
	h.console.oidc.client.Timeout = 300 * time.Millisecond
	h.console.mux.HandleFunc("GET /oidc/start", h.console.startOIDC)
	codes := make(chan int, 4)
	for range cap(codes) {
		go func() {
			response, err := http.Get(h.server.URL + "/oidc/start")
			if err != nil {
				codes <- 0
				return
			}
			response.Body.Close()
			codes <- response.StatusCode
		}()
	}
	for range cap(codes) {
		h.Eventually(codes, "10s").Should(Receive(Equal(http.StatusUnauthorized)))
	}
}

func TestWhoAProviderMayName(t *testing.T) {
	for o, want := range map[*OIDC]string{ // as kube-apiserver's flags
		{Issuer: "https://id.example.com"}: "https://id.example.com#7", {Issuer: "https://id.example.com", UsernamePrefix: "oidc:"}: "oidc:7", {UsernamePrefix: "-"}: "7",
		{Issuer: "https://id.example.com", UsernameClaim: "email"}: "a@example.com",
	} {
		got, err := o.identity(map[string]any{"sub": "7", "email": "a@example.com"})
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
		NewWithT(t).Expect(got.Name).To(Equal(want))
	}
	for name, c := range map[string]struct {
		claims map[string]any
		want   Identity
		fails  bool
	}{
		"a person with groups":          {map[string]any{"email": "a@example.com", "groups": []any{"web", "ops"}}, Identity{Name: "a@example.com", Groups: []string{everybody, "web", "ops"}}, false},
		"one group":                     {map[string]any{"email": "a@example.com", "groups": "web"}, Identity{Name: "a@example.com", Groups: []string{everybody, "web"}}, false},
		"the cluster's own groups":      {map[string]any{"email": "a@example.com", "groups": []any{"system:masters", "system:nodes", 7}}, Identity{Name: "a@example.com", Groups: []string{everybody}}, false},
		"a name of the cluster":         {map[string]any{"email": "system:kube-scheduler"}, Identity{}, true},
		"nobody":                        {map[string]any{"sub": "1"}, Identity{}, true},
		"an address of somebody":        {map[string]any{"email": "a@example.com", "email_verified": false}, Identity{}, true},
		"an address that is said to be": {map[string]any{"email": "a@example.com", "email_verified": "false"}, Identity{}, true},
		"an address that is verified":   {map[string]any{"email": "a@example.com", "email_verified": true}, Identity{Name: "a@example.com", Groups: []string{everybody}}, false},
		"a name that is not a string":   {map[string]any{"email": 7}, Identity{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			got, err := (&OIDC{UsernameClaim: "email", UsernamePrefix: "-"}).identity(c.claims)
			g.Expect(err != nil).To(Equal(c.fails))
			if !c.fails {
				g.Expect(got).To(Equal(c.want))
			}
		})
	}
}
