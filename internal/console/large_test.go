// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/test/browser"
)

// large is a company of 500 Services on 5,000 hosts, each with ten Releases, as a cache has it.
type large struct {
	client.Reader
	services []v1alpha1.Service
	releases []v1alpha1.Release
	targets  []v1alpha1.Target
}

func newLarge() *large {
	l := &large{}
	for s := range 500 {
		namespace, name := fmt.Sprintf("team-%02d", s%25), fmt.Sprintf("service-%03d", s)
		service := v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		service.Status.State, service.Status.Running, service.Status.TargetsReady = "Ready", "v1.4.2 (9f8e7d6c)", "10/10"
		service.Status.Current = &v1alpha1.ReleaseRecord{Commit: fmt.Sprintf("%040d", 10)}
		if s%50 == 0 {
			service.Status.State = "Degraded"
		}
		conditions.False(&service.Status.Conditions, 1, v1alpha1.ConditionReady, "X", "1 of 10 Targets are not ready; web-3: Unreachable: it does not answer over SSH")
		l.services = append(l.services, service)
		for n := range int64(10) {
			r := released(n+1, v1alpha1.ReasonSucceeded, 0)
			r.Namespace, r.Spec.Service, r.Name = namespace, name, fmt.Sprintf("%s-%d", name, n)
			l.releases = append(l.releases, *r)
		}
		for n := range 10 {
			target := host(fmt.Sprintf("web-%d", n), released(10, v1alpha1.ReasonSucceeded, 0), 1, n > 0)
			target.Namespace, target.Spec.Service, target.Name = namespace, name, fmt.Sprintf("%s-web-%d", name, n)
			l.targets = append(l.targets, target)
		}
	}
	return l
}

func (l *large) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	for i := range l.services {
		if s, is := object.(*v1alpha1.Service); is && l.services[i].Name == key.Name && l.services[i].Namespace == key.Namespace {
			l.services[i].DeepCopyInto(s)
			return nil
		}
	}
	for i := range l.releases {
		if r, is := object.(*v1alpha1.Release); is && l.releases[i].Name == key.Name && l.releases[i].Namespace == key.Namespace {
			l.releases[i].DeepCopyInto(r)
			return nil
		}
	}
	return errNotFound
}

// List is what a cache's index does: it copies the list, and what is in it unless that is said to be only read.
func (l *large) List(_ context.Context, list client.ObjectList, options ...client.ListOption) error {
	o := client.ListOptions{}
	o.ApplyOptions(options)
	service := ""
	if o.FieldSelector != nil {
		service, _ = o.FieldSelector.RequiresExactMatch(ServiceField)
	}
	switch list := list.(type) {
	case *v1alpha1.ServiceList:
		list.Items = append(list.Items, l.services...)
	case *v1alpha1.ReleaseList:
		for i := range l.releases {
			if service == "" || l.releases[i].Spec.Service == service {
				list.Items = append(list.Items, l.releases[i])
			}
		}
	case *v1alpha1.TargetList:
		for i := range l.targets {
			if service == "" || l.targets[i].Spec.Service == service {
				list.Items = append(list.Items, l.targets[i])
			}
		}
	}
	return nil
}

// largeHouse is a Console of it, and somebody who may see everything.
func largeHouse(g *WithT) (http.Handler, *http.Cookie) { return houseOf(g, newLarge(), nil) }

func houseOf(g *WithT, l *large, files depot.Reader) (http.Handler, *http.Cookie) {
	c, err := New(Options{Address: "127.0.0.1:0", Cache: l, Depot: files, Clock: clocktesting.NewFakePassiveClock(noon), Logger: slog.New(slog.DiscardHandler)})
	g.Expect(err).NotTo(HaveOccurred())
	all := &user{Identity: Identity{Name: "alice"}, clock: c.Clock, may: map[permission]verdict{}}
	c.users.known["alice\n"] = all
	for _, p := range []permission{{"", "list", "services"}, {"", "list", "releases"}, {"", "list", "targets"}, {"", "create", "releases"}, {"team-00", "create", "releases"}, {"team-00", "patch", "services"}, {"team-00", "patch", "releases"}} {
		all.may[p] = verdict{true, noon.AddDate(1, 0, 0)}
	}
	return c.Handler(), &http.Cookie{Name: c.cookieName(), Value: c.sessions.begin(all.Identity, "")}
}

func ask4(h http.Handler, cookie *http.Cookie, path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1"+path, nil)
	r.AddCookie(cookie)
	r.Header.Set("Accept-Encoding", "gzip")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestTheFirstViewIsSmall counts what a browser loads at first: at most 40 kB, of it 15 kB of script.
func TestTheFirstViewIsSmall(t *testing.T) {
	g := NewWithT(t)
	h, cookie := largeHouse(g)
	total := 0
	for path, most := range map[string]int{"/": 25 << 10, "/static/console.css": 10 << 10, "/static/console.js": 15 << 10, "/static/icon.svg": 1 << 10, "/static/icons.svg": 2 << 10} {
		w := ask4(h, cookie, path)
		g.Expect(w.Code).To(Equal(http.StatusOK), path)
		g.Expect(w.Body.Len()).To(BeNumerically("<", most), path)
		total += w.Body.Len()
		t.Logf("%s: %d bytes", path, w.Body.Len())
	}
	g.Expect(total).To(BeNumerically("<", 40_000))
	body := ask4(h, cookie, "/").Header().Get("Content-Encoding")
	g.Expect(body).To(Equal("gzip"))
}

// TestOneServiceMayHaveAllHosts: the page of a Release on 5,000 hosts names those in trouble and some of the others.
func TestOneServiceMayHaveAllHosts(t *testing.T) {
	g := NewWithT(t)
	l := newLarge()
	r := &l.releases[9]
	r.Status.Conditions = nil
	for i := range l.targets {
		target := &l.targets[i]
		*target = host(fmt.Sprintf("web-%d", i), r, int64(1+i/2500), i != 4321)
		target.Namespace, target.Spec.Service = "team-00", "service-000"
	}
	h, cookie := houseOf(g, l, nil)
	w := ask4(h, cookie, "/r/team-00/service-000-9")
	g.Expect(w.Code).To(Equal(http.StatusOK))
	g.Expect(w.Body.Len()).To(BeNumerically("<", 12<<10))
	page, err := gzip.NewReader(w.Body)
	g.Expect(err).NotTo(HaveOccurred())
	body, err := io.ReadAll(page)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(body)).To(And(ContainSubstring("web-4321"), ContainSubstring("and 2450 more hosts"), ContainSubstring("2499/2500")))
}

func BenchmarkPages(b *testing.B) {
	h, cookie := largeHouse(NewWithT(b))
	for _, path := range []string{"/", "/?q=service-4&state=degraded", "/targets", "/s/team-00/service-000", "/activity"} {
		b.Run(strings.ReplaceAll(path, "/", "_"), func(b *testing.B) {
			for b.Loop() {
				if w := ask4(h, cookie, path); w.Code != http.StatusOK {
					b.Fatal(path, w.Code)
				}
			}
		})
	}
}

// BenchmarkFirstPaint opens the first page of the large company in a real browser: from the click until something is seen.
func BenchmarkFirstPaint(b *testing.B) {
	g := NewWithT(b)
	h, cookie := largeHouse(g)
	server := httptest.NewServer(h)
	defer func() { server.CloseClientConnections(); server.Close() }()
	tab := browser.Start(b).Tab()
	tab.Open(server.URL + "/signin")
	browser.Eval[string](tab, fmt.Sprintf("document.cookie = %q", cookie.Name+"="+cookie.Value))
	var paints []float64
	for b.Loop() {
		tab.Open(server.URL + "/")
		paints = append(paints, browser.Eval[float64](tab, `new Promise((done) => new PerformanceObserver((list) => {
			for (const entry of list.getEntriesByName("first-contentful-paint")) done(entry.startTime);
		}).observe({ type: "paint", buffered: true }))`))
	}
	slices.Sort(paints)
	b.ReportMetric(paints[len(paints)/2], "ms/first-paint")
	g.Expect(browser.Eval[int](tab, `document.querySelectorAll("table.rows tbody tr").length`)).To(Equal(perPage))
}

// BenchmarkLongLog shows the end of a log of the greatest length that the depot keeps, 7 MiB of what may have been 200 MB, and
// searches it.
func BenchmarkLongLog(b *testing.B) {
	g := NewWithT(b)
	line := strings.Repeat("a line of a build that says much, in no hurry ", 2) + "\n"
	shelf := &shelf{log: strings.Repeat(line, 7<<20/len(line))}
	l := newLarge()
	l.releases[9].Status.Build = &v1alpha1.BuildStatus{Job: "job"}
	h, cookie := houseOf(g, l, shelf)
	for _, path := range []string{"", "?q=hurry", "?line=40000"} {
		b.Run("log"+path, func(b *testing.B) {
			for b.Loop() {
				if w := ask4(h, cookie, "/r/team-00/service-000-9/log"+path); w.Code != http.StatusOK || w.Body.Len() < 5_000 {
					b.Fatal(path, w.Code, w.Body.Len())
				}
			}
		})
	}
}
