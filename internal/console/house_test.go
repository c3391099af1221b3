// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/artifact"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/test/env"
)

func TestMain(m *testing.M) { env.Main(m) }

// hostile is what somebody who wants to run something in another's browser writes wherever he can.
const hostile = `"><img src=x onerror=alert(1)><script>alert(2)</script>'{{.}}`

// shelf is a depot with one log that grows.
type shelf struct {
	mu    sync.Mutex
	log   string
	grows bool
}

func (s *shelf) set(log string, grows bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log, s.grows = log, grows
}

func (s *shelf) Log(_ context.Context, r depot.LogRange) (depot.LogChunk, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return depot.LogChunk{Data: []byte(s.log[min(int(r.Offset), len(s.log)):]), Next: int64(len(s.log)), Grows: s.grows}, nil
}

func (s *shelf) Commits(_ context.Context, r depot.CommitRange) ([]depot.Commit, error) {
	return []depot.Commit{{ID: r.To, Subject: hostile, Author: hostile, Time: noon}}, nil
}

func (s *shelf) Refs(context.Context, depot.RefsRequest) ([]depot.Ref, error) {
	return []depot.Ref{{Name: "refs/heads/" + hostile, Commit: depot.Commit{ID: strings.Repeat("9", 40), Subject: hostile}}, {Name: "refs/heads/main", Commit: depot.Commit{ID: strings.Repeat("8", 40)}}}, nil
}

func (s *shelf) Compare(context.Context, depot.Pair) (artifact.Difference, error) {
	return artifact.Difference{Changed: 1, ChangedPaths: []string{hostile}}, nil
}

// house is a Console on a real API server, with two namespaces that have a Service each.
type house struct {
	*WithT
	t            *testing.T
	c            client.Client
	console      *Console
	server       *httptest.Server
	depot        *shelf
	mine, theirs string
}

func newHouse(t *testing.T) *house {
	shelf := &shelf{}
	h := newHouseOf(t, shelf, shelf)
	h.furnish()
	return h
}

// newHouseOf has no Services yet; logs are those of the shelf.
func newHouseOf(t *testing.T, files depot.Reader, shelf *shelf) *house {
	h := &house{WithT: NewWithT(t), t: t, c: env.Client(t), depot: shelf}
	config := env.Console(t)
	httpClient, err := rest.HTTPClientFor(config)
	h.Expect(err).NotTo(HaveOccurred())
	mapper, err := apiutil.NewDynamicRESTMapper(config, httpClient)
	h.Expect(err).NotTo(HaveOccurred())
	objects, err := cache.New(config, cache.Options{Scheme: env.Scheme(), Mapper: mapper, HTTPClient: httpClient, ByObject: CacheOptions()})
	h.Expect(err).NotTo(HaveOccurred())
	h.console, err = New(Options{
		Address: "127.0.0.1:0", Environment: "test", Cache: objects, Config: config, Direct: env.ClientFor(t, config), Mapper: mapper, Scheme: env.Scheme(), Depot: files,
		Link: &Identity{Name: "operator", Groups: []string{everybody}}, Clock: clock.RealClock{}, Logger: slog.New(slog.DiscardHandler),
	})
	h.Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(context.Background())
	h.Expect(h.console.Watch(ctx, objects)).To(Succeed())
	ended := make(chan error, 1)
	go func() { ended <- objects.Start(ctx) }()
	h.Expect(objects.WaitForCacheSync(ctx)).To(BeTrue())
	h.server = httptest.NewServer(h.console.Handler())
	t.Cleanup(func() {
		h.server.CloseClientConnections()
		h.server.Close()
		cancel()
		h.Eventually(ended, "20s").Should(Receive())
	})
	return h
}

// furnish makes two namespaces with a Service each.
func (h *house) furnish() {
	h.mine, h.theirs = env.Namespace(h.t), env.Namespace(h.t)
	h.t.Cleanup(func() { h.clear(h.mine, h.theirs) })
	for _, namespace := range []string{h.mine, h.theirs} {
		service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "blog"}}
		service.Spec.Source.Git.URL = "https://git.example.com/blog.git"
		service.Spec.Build = v1alpha1.BuildSpec{Image: "busybox"}
		service.Spec.Targets = []v1alpha1.TargetSource{{Hosts: []v1alpha1.StaticHost{{Name: "web-1", Address: "10.0.0.1"}}}}
		service.Spec.SSH = v1alpha1.SSHSpec{User: "deploy", KeySecretRef: v1alpha1.LocalReference{Name: "key"}, HostKeys: v1alpha1.HostKeys{Policy: v1alpha1.HostKeysFirstUse}}
		service.Spec.Deploy.Path = "/srv/www/blog"
		service.Spec.Lock = &v1alpha1.Lock{Reason: hostile}
		h.Expect(h.c.Create(h.t.Context(), service)).To(Succeed())
	}
}

// clear removes what is in namespaces: nobody here collects what was theirs.
func (h *house) clear(namespaces ...string) {
	for _, namespace := range namespaces {
		for _, object := range []client.Object{&v1alpha1.Service{}, &v1alpha1.Release{}, &v1alpha1.Target{}} {
			h.Expect(h.c.DeleteAllOf(context.Background(), object, client.InNamespace(namespace))).To(Succeed())
		}
	}
}

// release makes a Release that has got so far.
func (h *house) release(name string, change func(r *v1alpha1.Release)) *v1alpha1.Release {
	h.t.Helper()
	r := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: h.mine, Name: name}, Spec: v1alpha1.ReleaseSpec{Service: "blog", Revision: "main", Reason: hostile}}
	h.Expect(h.c.Create(h.t.Context(), r)).To(Succeed())
	before := r.DeepCopy()
	r.Status.Sequence, r.Status.Commit = 1, strings.Repeat("7", 40)
	r.Status.Described = &v1alpha1.CommitStatus{Subject: hostile, Author: hostile}
	r.Status.Build = &v1alpha1.BuildStatus{Key: "k", Job: "job"}
	r.Status.Failures = []v1alpha1.TargetFailure{{Target: "blog-web-1", Host: hostile, Reason: "HookFailed", Message: hostile}}
	conditions.False(&r.Status.Conditions, 1, v1alpha1.ConditionReady, v1alpha1.ReasonBuilding, hostile)
	if change != nil {
		change(r)
	}
	h.Expect(h.c.Status().Patch(h.t.Context(), r, client.MergeFrom(before))).To(Succeed())
	return r
}

// visitor is somebody with a browser.
type visitor struct {
	h      *house
	client *http.Client
	// headers that each request has.
	headers map[string]string
}

// visitor has no session yet.
func (h *house) visitor() *visitor {
	jar, err := cookiejar.New(nil)
	h.Expect(err).NotTo(HaveOccurred())
	return &visitor{h: h, client: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, headers: map[string]string{}}
}

// account makes a service account of the namespace mine with some ClusterRoles there, and a token of it.
func (h *house) account(name string, roles ...string) string {
	h.t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: h.mine, Name: name}}
	h.Expect(h.c.Create(h.t.Context(), account)).To(Succeed())
	for _, role := range roles {
		h.Expect(h.c.Create(h.t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: h.mine, Name: name + "-" + role}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: h.mine, Name: name}},
		})).To(Succeed())
	}
	request := &authenticationv1.TokenRequest{}
	h.Expect(h.c.SubResource("token").Create(h.t.Context(), account, request)).To(Succeed())
	return request.Status.Token
}

// signedIn is a visitor with a session of an account with roles.
func (h *house) signedIn(name string, roles ...string) *visitor {
	h.t.Helper()
	v := h.visitor()
	code, _, where := v.post("/signin", "token", h.account(name, roles...))
	h.Expect(code).To(Equal(http.StatusSeeOther))
	h.Expect(where).To(Equal("/"))
	return v
}

func (v *visitor) do(r *http.Request) (code int, body, where string) {
	v.h.t.Helper()
	for name, value := range v.headers {
		r.Header.Set(name, value)
	}
	response, err := v.client.Do(r)
	v.h.Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	v.h.Expect(err).NotTo(HaveOccurred())
	return response.StatusCode, string(data), response.Header.Get("Location")
}

func (v *visitor) get(path string) (code int, body, where string) {
	v.h.t.Helper()
	r, err := http.NewRequestWithContext(v.h.t.Context(), http.MethodGet, v.h.server.URL+path, nil)
	v.h.Expect(err).NotTo(HaveOccurred())
	return v.do(r)
}

func (v *visitor) post(path string, pairs ...string) (code int, body, where string) {
	v.h.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	r, err := http.NewRequestWithContext(v.h.t.Context(), http.MethodPost, v.h.server.URL+path, strings.NewReader(form.Encode()))
	v.h.Expect(err).NotTo(HaveOccurred())
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return v.do(r)
}

// event is one of a stream.
type event struct {
	id, name string
	data     map[string]any
}

// stream opens a page's stream; each event is received.
func (v *visitor) stream(path, last string) (events <-chan event, stop func()) {
	v.h.t.Helper()
	ctx, cancel := context.WithCancel(v.h.t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, v.h.server.URL+path, nil)
	v.h.Expect(err).NotTo(HaveOccurred())
	r.Header.Set("Accept", "text/event-stream")
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	response, err := v.client.Do(r) //nolint:bodyclose // closed where it is read
	v.h.Expect(err).NotTo(HaveOccurred())
	v.h.Expect(response.Header.Get("Content-Type")).To(HavePrefix("text/event-stream"))
	all := make(chan event, 1000)
	go func() {
		defer close(all)
		defer response.Body.Close()
		lines, one := bufio.NewScanner(response.Body), event{}
		lines.Buffer(nil, 8<<20)
		for lines.Scan() {
			switch name, value, _ := strings.Cut(lines.Text(), ": "); name {
			case "id":
				one.id = value
			case "event":
				one.name = value
			case "data":
				_ = json.Unmarshal([]byte(value), &one.data)
				all <- one
				one = event{}
			}
		}
	}()
	return all, cancel
}

// sees waits until a page has a text: caches take a moment.
func (v *visitor) sees(path, text string) {
	v.h.t.Helper()
	v.h.Eventually(func() string {
		_, body, _ := v.get(path)
		return body
	}, 10*time.Second, 50*time.Millisecond).Should(ContainSubstring(text))
}
