// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/discovery"
	"github.com/slipway-dev/slipway/internal/gitsource"
	"github.com/slipway-dev/slipway/test/env"
)

var errCrash = errors.New("the manager was killed")

// origin is a repository with one branch.
type origin struct {
	mu  sync.Mutex
	tip string
	err error
}

func (o *origin) push(digit string) { o.set(strings.Repeat(digit, 40), nil) }

func (o *origin) set(tip string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tip, o.err = tip, err
}

func (o *origin) Tip(_ context.Context, _ string, wanted gitsource.Wanted, _ depot.GitCredentials) (gitsource.Resolved, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return gitsource.Resolved{Commit: o.tip, Ref: "refs/heads/" + wanted.Branch}, o.err
}

// noDepot holds nothing and keeps what it is told.
type noDepot struct{ depot.Manager }

func (noDepot) Retain(context.Context, depot.References) ([]string, error) { return nil, nil }
func (noDepot) SetPointer(context.Context, depot.Pointer) error            { return nil }
func (noDepot) SetWord(context.Context, depot.Word) error                  { return nil }
func (noDepot) DropWord(context.Context, v1alpha1.UID) error               { return nil }

// noClouds has no instances.
type noClouds struct{ discovery.Finder }

// tracked is a namespace of a real API server with a Service that follows main.
type tracked struct {
	t      *testing.T
	g      *WithT
	client client.Client
	origin *origin
	clock  *clocktesting.FakePassiveClock
	r      *Reconciler
	key    types.NamespacedName
	// crash has the manager die before it makes a Release.
	crash bool
}

func newTracked(t *testing.T) *tracked {
	w := &tracked{t: t, g: NewWithT(t), client: env.Client(t), origin: &origin{}, clock: clocktesting.NewFakePassiveClock(time.Now())}
	w.key = types.NamespacedName{Namespace: env.Namespace(t), Name: "blog"}
	service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: w.key.Namespace, Name: w.key.Name}}
	service.Spec.Source.Git.URL = "https://git.example.com/blog.git"
	service.Spec.Track = &v1alpha1.TrackSpec{Branch: "main"}
	service.Spec.Build = v1alpha1.BuildSpec{Image: "php:8.3-cli", Script: "true"}
	service.Spec.SSH = v1alpha1.SSHSpec{User: "deploy", KeySecretRef: v1alpha1.LocalReference{Name: "k"}, HostKeys: v1alpha1.HostKeys{Policy: v1alpha1.HostKeysFirstUse}}
	service.Spec.Deploy.Path = "/var/www/blog"
	w.g.Expect(w.client.Create(t.Context(), service)).To(Succeed())
	w.start()
	return w
}

// start makes a new manager, which remembers nothing.
func (w *tracked) start() {
	inner, err := client.NewWithWatch(env.Config(w.t), client.Options{Scheme: env.Scheme()})
	w.g.Expect(err).NotTo(HaveOccurred())
	mortal := interceptor.NewClient(inner, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			return c.List(ctx, list, withoutFields(opts)...) // the cache has an index, the API server of tests has none
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if _, isRelease := o.(*v1alpha1.Release); isRelease && w.crash {
				return errCrash
			}
			return c.Create(ctx, o, opts...)
		},
	})
	w.r = New(Options{
		Client: mortal, Reader: w.client, Depot: noDepot{}, Finder: noClouds{}, Tips: w.origin, Clock: w.clock, Events: events.NewFakeRecorder(1000),
		Endpoint: func() (depot.Endpoint, error) { return depot.Endpoint{}, errors.New("none") },
	})
}

func withoutFields(opts []client.ListOption) []client.ListOption {
	var kept []client.ListOption
	for _, o := range opts {
		if _, fields := o.(client.MatchingFields); !fields {
			kept = append(kept, o)
		}
	}
	return kept
}

func (w *tracked) blog() *v1alpha1.Service {
	service := &v1alpha1.Service{}
	w.g.Expect(w.client.Get(w.t.Context(), w.key, service)).To(Succeed())
	return service
}

func (w *tracked) edit(change func(*v1alpha1.Service)) {
	service := w.blog()
	change(service)
	w.g.Expect(w.client.Update(w.t.Context(), service)).To(Succeed())
}

// look lets an interval pass and the manager look until it has seen and acted on what is there: each pass waits for the
// look that the one before began.
func (w *tracked) look() {
	w.clock.SetTime(w.clock.Now().Add(time.Hour))
	w.pass()
}

// pass has the manager look at the Service without any time passing.
func (w *tracked) pass() {
	for range 4 {
		_, err := w.r.Reconcile(w.t.Context(), w.blog())
		if errors.Is(err, errCrash) {
			return
		}
		w.g.Expect(err).NotTo(HaveOccurred())
		w.g.Eventually(func() bool {
			w.r.tips.mu.Lock()
			defer w.r.tips.mu.Unlock()
			l := w.r.tips.seen[w.key]
			return l == nil || !l.running
		}).Should(BeTrue())
	}
}

// releases are the names and commits of all Releases.
func (w *tracked) releases() map[string]string {
	var list v1alpha1.ReleaseList
	w.g.Expect(w.client.List(w.t.Context(), &list, client.InNamespace(w.key.Namespace))).To(Succeed())
	found := map[string]string{}
	for i := range list.Items {
		found[list.Items[i].Name] = string(list.Items[i].Spec.Revision)[:1]
	}
	return found
}

// end has a Release end, as its controller would.
func (w *tracked) end(name, outcome string) {
	release, service := &v1alpha1.Release{}, w.blog()
	w.g.Expect(w.client.Get(w.t.Context(), types.NamespacedName{Namespace: w.key.Namespace, Name: name}, release)).To(Succeed())
	service.Status.LastSequence++
	commit := string(release.Spec.Revision)
	service.Status.History = append([]v1alpha1.ReleaseOutcome{{
		Release: name, UID: v1alpha1.UID(release.UID), Sequence: service.Status.LastSequence, Commit: commit, Outcome: outcome,
	}}, service.Status.History...)
	if outcome == v1alpha1.ReasonSucceeded {
		service.Status.Current = &v1alpha1.ReleaseRecord{Release: name, Commit: commit, Digest: "sha256:" + commit, Frozen: "f", Sequence: service.Status.LastSequence}
	}
	w.g.Expect(w.client.Status().Update(w.t.Context(), service)).To(Succeed())
	release.Status.ServiceUID, release.Status.Sequence = v1alpha1.UID(service.UID), service.Status.LastSequence
	conditions.True(&release.Status.Conditions, release.Generation, v1alpha1.ConditionFinished, outcome, "ended")
	w.g.Expect(w.client.Status().Update(w.t.Context(), release)).To(Succeed())
}

// person makes a Release.
func (w *tracked) person(name, digit string) {
	release := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: w.key.Namespace, Name: name}}
	release.Spec = v1alpha1.ReleaseSpec{Service: "blog", Revision: v1alpha1.Revision(strings.Repeat(digit, 40))}
	w.g.Expect(w.client.Create(w.t.Context(), release)).To(Succeed())
}

func (w *tracked) condition() metav1.Condition {
	return conditions.Get(w.blog().Status.Conditions, v1alpha1.ConditionTracking)
}

func TestTrackingReleasesOnlyTheNewestOfWhatCameMeanwhile(t *testing.T) {
	w := newTracked(t)
	w.origin.push("a")
	w.look()
	w.g.Expect(w.releases()).To(Equal(map[string]string{"blog-1": "a"}))
	var made v1alpha1.Release
	w.g.Expect(w.client.Get(t.Context(), types.NamespacedName{Namespace: w.key.Namespace, Name: "blog-1"}, &made)).To(Succeed())
	w.g.Expect(made.Spec.Reason).To(Equal("branch main"))
	w.g.Expect(made.Spec.RequestedBy).To(Equal(v1alpha1.RequestedByManager), "nobody knows who pushed")
	for _, commit := range []string{"b", "c", "d"} {
		w.origin.push(commit)
		w.look()
	}
	w.g.Expect(w.releases()).To(HaveLen(1))
	w.g.Expect(w.condition().Message).To(ContainSubstring("waits for Release blog-1"))
	w.end("blog-1", v1alpha1.ReasonSucceeded)
	w.look()
	w.g.Expect(w.releases()).To(Equal(map[string]string{"blog-1": "a", "blog-2": "d"}))
}

func TestTrackingWaitsForLocksAndReleasesTheNewestThen(t *testing.T) {
	w := newTracked(t)
	w.edit(func(s *v1alpha1.Service) { s.Spec.Lock = &v1alpha1.Lock{Reason: "trade fair"} })
	w.origin.push("a")
	w.look()
	w.g.Expect(w.releases()).To(BeEmpty())
	w.g.Expect(w.condition().Message).To(ContainSubstring("trade fair"))
	w.edit(func(s *v1alpha1.Service) { s.Spec.Lock = nil })
	w.origin.push("b")
	// No look is due: what was seen under the lock is too old to be released.
	w.clock.SetTime(w.clock.Now().Add(fresh + time.Second))
	w.look()
	w.g.Expect(w.releases()).To(Equal(map[string]string{"blog-1": "b"}))
}

func TestTrackingWaitsForALockOfTheNamespace(t *testing.T) {
	w := newTracked(t)
	namespace := &corev1.Namespace{}
	w.g.Expect(w.client.Get(t.Context(), types.NamespacedName{Name: w.key.Namespace}, namespace)).To(Succeed())
	namespace.Annotations = map[string]string{v1alpha1.AnnotationLock: "incident 7"}
	w.g.Expect(w.client.Update(t.Context(), namespace)).To(Succeed())
	w.origin.push("a")
	w.look()
	w.g.Expect(w.releases()).To(BeEmpty())
	w.g.Expect(w.condition().Message).To(ContainSubstring("incident 7"))
}

func TestTrackingPausesAfterARollback(t *testing.T) {
	w := newTracked(t)
	w.origin.push("a")
	w.look()
	w.end("blog-1", v1alpha1.ReasonRolledBack)
	w.origin.push("b")
	w.look()
	w.g.Expect(w.releases()).To(HaveLen(1))
	w.g.Expect(w.condition().Reason).To(Equal(v1alpha1.ReasonTrackingPaused))
	w.g.Expect(w.condition().Status).To(Equal(metav1.ConditionFalse))

	t.Run("and goes on when a person says so but not with the bad commit", func(t *testing.T) {
		w.edit(func(s *v1alpha1.Service) { s.Spec.Track.ResumeAfter = "blog-1" })
		w.origin.push("a")
		w.look()
		w.g.Expect(w.releases()).To(HaveLen(1))
		w.origin.push("b")
		w.look()
		w.g.Expect(w.releases()).To(Equal(map[string]string{"blog-1": "a", "blog-2": "b"}))
	})
	t.Run("and goes on after a person's Release succeeded", func(t *testing.T) {
		w.end("blog-2", v1alpha1.ReasonFailed)
		w.origin.push("c")
		w.look()
		w.g.Expect(w.releases()).To(HaveLen(2))
		w.person("mine", "e")
		w.end("mine", v1alpha1.ReasonSucceeded)
		w.look()
		w.g.Expect(w.releases()).To(HaveKeyWithValue("blog-3", "c"))
	})
}

func TestACrashBetweenRecordAndReleaseMakesOne(t *testing.T) {
	w := newTracked(t)
	w.origin.push("a")
	w.crash = true
	w.look()
	w.g.Expect(w.releases()).To(BeEmpty())
	w.g.Expect(w.blog().Status.Tracking.Commit).To(HavePrefix("a"))
	w.crash = false
	w.origin.push("b")
	w.start()
	w.look()
	w.look()
	w.g.Expect(w.releases()).To(Equal(map[string]string{"blog-1": "a"}), "and b waits for it")
	w.g.Expect(w.blog().Status.Tracking.Release).To(Equal("blog-1"))
}

func TestTrackingSaysThatTheBranchIsGoneAndLeavesNothingBehind(t *testing.T) {
	w := newTracked(t)
	w.origin.push("a")
	w.look()
	w.end("blog-1", v1alpha1.ReasonSucceeded)
	w.origin.set("", fmt.Errorf("%w: no branch main", gitsource.ErrRevisionNotFound))
	w.look()
	w.g.Expect(w.condition().Reason).To(Equal(v1alpha1.ReasonRevisionNotFound))
	w.origin.push("a")
	w.look()
	w.g.Expect(w.condition().Status).To(Equal(metav1.ConditionTrue))
	w.g.Expect(w.releases()).To(HaveLen(1))
	w.edit(func(s *v1alpha1.Service) { s.Spec.Track = nil })
	w.look()
	w.g.Expect(w.blog().Status.Tracking).To(BeNil())
	w.g.Expect(w.condition().Reason).To(BeEmpty())
}

func TestAReportedPushIsLookedForBeforeItsTime(t *testing.T) {
	w := newTracked(t)
	w.origin.push("a")
	w.look()
	w.end("blog-1", v1alpha1.ReasonSucceeded)
	w.origin.push("b")
	w.pass()
	w.g.Expect(w.releases()).To(HaveLen(1), "no look is due")
	w.edit(func(s *v1alpha1.Service) {
		s.Annotations = map[string]string{v1alpha1.AnnotationPushed: "2026-01-02T03:04:05.6Z"}
	})
	w.pass()
	w.g.Expect(w.releases()).To(HaveKeyWithValue("blog-2", "b"))
}

func TestARepositoryThatCannotBeReadIsLeftAloneForAWhile(t *testing.T) {
	g, now := NewWithT(t), clocktesting.NewFakePassiveClock(time.Now())
	done := make(chan types.NamespacedName, 1)
	looks := newTips(now, func(name types.NamespacedName) { done <- name })
	asked, name := 0, types.NamespacedName{Name: "blog"}
	q := question{interval: time.Minute, ask: func(context.Context) (gitsource.Resolved, error) {
		asked++
		return gitsource.Resolved{}, gitsource.ErrUnreachable
	}}
	for range 8 {
		looks.look(t.Context(), name, q)
		g.Eventually(done).Should(Receive())
		next := looks.look(t.Context(), name, q).next
		g.Expect(next.Sub(now.Now())).To(And(BeNumerically(">", 0), BeNumerically("<=", maxLookBackoff)))
		q.pushed += "x" // nor does a push help
		before := asked
		looks.look(t.Context(), name, q)
		g.Expect(asked).To(Equal(before))
		now.SetTime(next)
	}
	q.key = "another repository"
	g.Expect(looks.look(t.Context(), name, q).running).To(BeTrue(), "looked at at once")
	g.Eventually(done).Should(Receive())
}

func TestTrackAndRevisionExcludeEachOther(t *testing.T) {
	w := newTracked(t)
	for name, change := range map[string]func(*v1alpha1.Service){
		"give either revision or track":    func(s *v1alpha1.Service) { s.Spec.Revision = "v1" },
		"give either branch or tagPattern": func(s *v1alpha1.Service) { s.Spec.Track.TagPattern = "v*" },
		"prereleases goes with tagPattern": func(s *v1alpha1.Service) { yes := true; s.Spec.Track.Prereleases = &yes },
		"between 15s and 24h":              func(s *v1alpha1.Service) { s.Spec.Track.Interval.Duration = time.Second },
		"tagPattern":                       func(s *v1alpha1.Service) { s.Spec.Track.Branch, s.Spec.Track.TagPattern = "", "v**" },
	} {
		service := w.blog()
		change(service)
		w.g.Expect(w.client.Update(t.Context(), service)).To(MatchError(ContainSubstring(name)))
	}
}
