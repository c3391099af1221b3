// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/artifact"
	"github.com/slipway-dev/slipway/internal/build"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/gitsource"
	"github.com/slipway-dev/slipway/test/env"
)

func TestMain(m *testing.M) { env.Main(m) }

// errCrash stands for the manager's death at a write.
var errCrash = errors.New("the manager was killed")

// outside is the world around the controller: repository, registry, depot. It outlives the manager's deaths.
type outside struct {
	depot.Manager
	mu       sync.Mutex
	refuse   map[string]error // by revision
	built    map[string]depot.Artifact
	started  int
	mirrored int
	promoted []depot.Promotion
	gone     bool // what is to be promoted
	down     bool
}

func (o *outside) Resolve(_ context.Context, _, revision string, _ depot.GitCredentials) (gitsource.Resolved, error) {
	if err := o.refuse[revision]; err != nil {
		return gitsource.Resolved{}, err
	}
	return gitsource.Resolved{Commit: fmt.Sprintf("%040x", []byte(revision)), Ref: "refs/tags/" + revision}, nil
}

// images is the registry.
type images struct{}

func (images) Resolve(_ context.Context, reference string) (build.Image, error) {
	if reference == "no/such:image" {
		return build.Image{}, fmt.Errorf("%w: %s", build.ErrImageNotFound, reference)
	}
	if reference == "down/registry:image" {
		return build.Image{}, errors.New("dial: connection refused")
	}
	return build.Image{Reference: reference, Digest: "sha256:1"}, nil
}

// logs are always kept at once.
type logs struct{}

func (logs) Ensure(string, string, v1alpha1.UID, []string) {}
func (logs) Done(string, string) bool                      { return true }

func (o *outside) Promote(_ context.Context, p depot.Promotion) (depot.Artifact, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.promoted = append(o.promoted, p)
	if o.gone {
		return depot.Artifact{}, depot.ErrNotFound
	}
	o.built[p.Grant.BuildKey] = depot.Artifact{Digest: p.Digest, Files: 3, Bytes: 30, BuildKey: p.Grant.BuildKey}
	return o.built[p.Grant.BuildKey], nil
}

func (o *outside) Compare(_ context.Context, p depot.Pair) (artifact.Difference, error) {
	if p.From == p.To {
		return artifact.Difference{}, nil
	}
	return artifact.Difference{Added: 1, Changed: 60, Bytes: 4711, AddedPaths: []string{"new.php"}}, nil
}

func (o *outside) Commits(_ context.Context, r depot.CommitRange) ([]depot.Commit, error) {
	return []depot.Commit{{ID: r.To, Subject: "Greet people", Author: "Alice", Time: time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)}}, nil
}

func (o *outside) Refs(context.Context, depot.RefsRequest) ([]depot.Ref, error) { return nil, nil }

func (o *outside) Log(context.Context, depot.LogRange) (depot.LogChunk, error) {
	return depot.LogChunk{}, depot.ErrNotFound
}

func (o *outside) Mirror(context.Context, depot.MirrorRequest) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mirrored++
	return nil
}

func (o *outside) FindBuild(_ context.Context, _ v1alpha1.UID, key string) (depot.Artifact, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.down {
		return depot.Artifact{}, depot.ErrUnavailable
	}
	if a, ok := o.built[key]; ok {
		return a, nil
	}
	return depot.Artifact{}, depot.ErrNotFound
}

func (o *outside) FindArtifact(_ context.Context, _ v1alpha1.UID, digest string) (depot.Artifact, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, a := range o.built {
		if a.Digest == digest {
			return a, nil
		}
	}
	return depot.Artifact{}, depot.ErrNotFound
}

func (o *outside) ReadLog(context.Context, v1alpha1.UID, string, io.Writer) error {
	return depot.ErrNotFound
}

// world is a namespace of a real API server, with a controller that can be killed at any of its writes.
type world struct {
	t         *testing.T
	g         *WithT
	client    client.Client
	out       *outside
	namespace string
	r         *Reconciler
	// crashAt is the write at which the manager dies; 0 never. after says whether that write still happens.
	crashAt, writes int
	after           bool
	// fail has the build of a commit fail.
	fail map[string]bool
	// broken is a revision that hosts fail at, all of them or brokenHost.
	broken, brokenHost string
	// shrinks is a revision whose artifact the depot does not take, unless grant, the last build's, allows it.
	shrinks string
	grant   depot.BuildGrant
	// results are what comes of hooks, by "release/hook"; else they end well. ran lists those that were begun.
	results map[string]v1alpha1.HookResult
	ran     []string
	// atOnce is how many hosts are moved; 0 is all.
	atOnce int
	// hurried replaces the manager's clock by one that goes on by ten seconds with every pass.
	hurried *clocktesting.FakePassiveClock
}

// hurry lets time fly.
func (w *world) hurry() {
	w.hurried = clocktesting.NewFakePassiveClock(time.Now())
	w.r.Clock = w.hurried
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, g: NewWithT(t), client: env.Client(t), namespace: env.Namespace(t), fail: map[string]bool{},
		out: &outside{built: map[string]depot.Artifact{}, refuse: map[string]error{}},
	}
	w.start()
	return w
}

// start makes a new manager: all that the old one had in memory is gone.
func (w *world) start() {
	manager := env.Manager(w.t)
	reader := watching(w.t, manager)
	mortal := interceptor.NewClient(reader, interceptor.Funcs{
		// In the manager this is the cache, which lists and watches and needs no right to get.
		Get: func(ctx context.Context, _ client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return w.client.Get(ctx, key, o, opts...)
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return w.write(func() error { return c.Create(ctx, o, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return w.write(func() error { return c.Delete(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return w.write(func() error { return c.Patch(ctx, o, p, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			return w.write(func() error { return c.SubResource(sub).Patch(ctx, o, p, opts...) })
		},
	})
	w.r = New(Options{
		Client: mortal, Reader: reader, Depot: w.out, Resolver: w.out, Images: images{}, BuildLogs: logs{},
		Endpoint: func() (depot.Endpoint, error) { return depot.Endpoint{Host: "depot", Port: 2222}, nil },
		BuildCredential: func(g depot.BuildGrant, _ time.Duration) ([]byte, []byte, error) {
			w.grant = g
			return []byte("k"), []byte("c"), nil
		},
		SlipwayImage: "slipway:test", Clock: clock.RealClock{}, Events: events.NewFakeRecorder(1000),
	})
}

// write counts a write and kills the manager at the chosen one.
func (w *world) write(do func() error) error {
	w.writes++
	if w.writes != w.crashAt {
		return do()
	}
	if w.after {
		_ = do()
	}
	return errCrash
}

// service makes a Service with Targets that have been looked at.
func (w *world) service(hosts int) *v1alpha1.Service {
	service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "blog"}}
	service.Spec.Source.Git.URL = "https://git.example.com/blog.git"
	service.Spec.Build = v1alpha1.BuildSpec{Image: "php:8.3-cli", Script: "true"}
	service.Spec.SSH = v1alpha1.SSHSpec{User: "deploy", KeySecretRef: v1alpha1.LocalReference{Name: "k"}, HostKeys: v1alpha1.HostKeys{Policy: v1alpha1.HostKeysFirstUse}}
	service.Spec.Deploy.Path = "/var/www/blog"
	w.g.Expect(w.client.Create(w.t.Context(), service)).To(Succeed())
	for i := range hosts {
		target := &v1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: fmt.Sprintf("web-%d", i)}}
		target.Spec = v1alpha1.TargetSpec{Service: "blog", ServiceUID: v1alpha1.UID(service.UID), Host: v1alpha1.TargetHost{ID: target.Name, Name: target.Name, Address: "10.0.0.1", Port: 22}}
		w.g.Expect(w.client.Create(w.t.Context(), target)).To(Succeed())
	}
	return service
}

// release makes a Release.
func (w *world) release(name, revision string) {
	release := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
	release.Spec = v1alpha1.ReleaseSpec{Service: "blog", Revision: v1alpha1.Revision(revision)}
	w.g.Expect(w.client.Create(w.t.Context(), release)).To(Succeed())
}

func (w *world) get(name string) *v1alpha1.Release {
	release := &v1alpha1.Release{}
	w.g.Expect(w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, release)).To(Succeed())
	return release
}

func (w *world) blog() *v1alpha1.Service {
	service := &v1alpha1.Service{}
	w.g.Expect(w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "blog"}, service)).To(Succeed())
	return service
}

func (w *world) jobs() []batchv1.Job {
	var jobs batchv1.JobList
	w.g.Expect(w.client.List(w.t.Context(), &jobs, client.InNamespace(w.namespace))).To(Succeed())
	return jobs.Items
}

// pass looks at every Release once; a manager that dies in it is started again.
func (w *world) pass() {
	var releases v1alpha1.ReleaseList
	w.g.Expect(w.client.List(w.t.Context(), &releases, client.InNamespace(w.namespace))).To(Succeed())
	if w.hurried != nil {
		w.hurried.SetTime(w.hurried.Now().Add(10 * time.Second))
	}
	for i := range releases.Items {
		_, err := w.r.Reconcile(w.t.Context(), w.get2(releases.Items[i].Name))
		if errors.Is(err, errCrash) || w.crashAt > 0 && w.writes >= w.crashAt {
			w.crashAt = 0
			w.start()
			return
		}
		w.g.Expect(err).NotTo(HaveOccurred())
	}
}

// get2 is get for a Release that may just have gone.
func (w *world) get2(name string) *v1alpha1.Release {
	release := &v1alpha1.Release{}
	if err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, release); err != nil {
		return &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &metav1.Time{Time: time.Now()}}}
	}
	return release
}

// runJobs does what Job controller and build Pods do: each new Job ends at once, with an artifact in the depot.
func (w *world) runJobs() {
	for _, job := range w.jobs() {
		if job.Status.CompletionTime != nil || len(job.Status.Conditions) > 0 {
			continue
		}
		var release v1alpha1.Release
		if w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: job.Labels[v1alpha1.LabelRelease]}, &release) != nil || release.Status.Build == nil {
			continue
		}
		w.out.mu.Lock()
		w.out.started++
		w.out.mu.Unlock()
		now := metav1.Now()
		job.Status.StartTime = &now
		if w.shrinks == string(release.Spec.Revision) && !w.grant.AllowShrink {
			w.refuseShrunk(&job)
			continue
		}
		if w.fail[string(release.Spec.Revision)] {
			job.Status.Failed = 1
			job.Status.Conditions = []batchv1.JobCondition{
				{Type: batchv1.JobFailureTarget, Status: corev1.ConditionTrue, LastTransitionTime: now, Reason: "BackoffLimitExceeded"},
				{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, LastTransitionTime: now, Reason: "BackoffLimitExceeded", Message: "the Job failed"},
			}
		} else {
			w.out.mu.Lock()
			key := release.Status.Build.Key
			w.out.built[key] = depot.Artifact{Digest: fmt.Sprintf("sha256:%064x", []byte(key)[:20]), Files: 3, Bytes: 30, BuildKey: key}
			w.out.mu.Unlock()
			job.Status.Succeeded, job.Status.CompletionTime = 1, &now
			job.Status.Conditions = []batchv1.JobCondition{
				{Type: batchv1.JobSuccessCriteriaMet, Status: corev1.ConditionTrue, LastTransitionTime: now},
				{Type: batchv1.JobComplete, Status: corev1.ConditionTrue, LastTransitionTime: now},
			}
		}
		w.g.Expect(w.client.Status().Update(w.t.Context(), &job)).To(Succeed())
	}
}

// moveTargets does what the rollout and target controllers do: Targets get what rolls, or what is current when they go
// back, at once or as many as atOnce says.
func (w *world) moveTargets() {
	status := w.blog().Status
	goal := status.Rolling
	w.runHooks()
	if goal != nil && w.before(goal) {
		return
	}
	if status.RollingBack {
		goal = status.Current
	}
	var targets v1alpha1.TargetList
	w.g.Expect(w.client.List(w.t.Context(), &targets, client.InNamespace(w.namespace))).To(Succeed())
	moved := 0
	for i := range targets.Items {
		target := &targets.Items[i]
		if goal == nil || status.Stopping != "" && !status.RollingBack {
			return
		}
		if target.Spec.Artifact != nil && target.Spec.Artifact.UID == goal.UID {
			moved++
			continue
		}
		if w.atOnce > 0 && moved >= w.atOnce {
			return
		}
		moved++
		target.Spec.Artifact, target.Spec.Fence = goal, target.Spec.Fence+1
		w.g.Expect(w.client.Update(w.t.Context(), target)).To(Succeed())
		w.deliver(target, goal)
		w.g.Expect(w.client.Status().Update(w.t.Context(), target)).To(Succeed())
	}
}

// deliver reports how a delivery ended.
func (w *world) deliver(target *v1alpha1.Target, order *v1alpha1.ReleaseRecord) {
	status, generation, done := &target.Status, target.Generation, metav1.NewTime(w.r.Clock.Now())
	status.ObservedGeneration, status.Fence, status.SwitchedFence = generation, target.Spec.Fence, target.Spec.Fence
	status.Running = &v1alpha1.RunningArtifact{Digest: order.Digest}
	status.Delivery = &v1alpha1.DeliveryStatus{Fence: target.Spec.Fence, Digest: order.Digest, Outcome: "Succeeded", CompletionTime: &done}
	conditions.True(&status.Conditions, generation, v1alpha1.ConditionReachable, v1alpha1.ReasonUpToDate, "")
	conditions.True(&status.Conditions, generation, v1alpha1.ConditionAvailable, v1alpha1.ReasonUpToDate, "")
	conditions.Summarize(&status.Conditions, generation, conditions.Current, v1alpha1.ReasonUpToDate, "")
	if w.broken == order.Revision && (w.brokenHost == "" || w.brokenHost == target.Spec.Host.Name) {
		status.Delivery.Outcome, status.Delivery.Failures, status.Delivery.Reason = "Failed", 3, v1alpha1.ReasonHookFailed
		conditions.False(&status.Conditions, generation, v1alpha1.ConditionAvailable, v1alpha1.ReasonHookFailed, "broken")
		conditions.Summarize(&status.Conditions, generation, conditions.Waiting, v1alpha1.ReasonHookFailed, "broken")
	}
}

// until passes until done, and fails after a bound of passes.
func (w *world) until(done func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			w.t.Fatalf("it did not come to that: %s", w.describe())
		}
		w.pass()
		w.runJobs()
		w.moveTargets()
	}
}

func (w *world) describe() string {
	var releases v1alpha1.ReleaseList
	w.g.Expect(w.client.List(w.t.Context(), &releases, client.InNamespace(w.namespace))).To(Succeed())
	text := ""
	for _, release := range releases.Items {
		ready := conditions.Get(release.Status.Conditions, v1alpha1.ConditionReady)
		text += fmt.Sprintf("%s: %s: %s: %s; ", release.Name, release.Status.Phase, ready.Reason, ready.Message)
	}
	return text
}

// outcome of a finished Release.
func (w *world) outcome(name string) string {
	return conditions.Get(w.get(name).Status.Conditions, v1alpha1.ConditionSucceeded).Reason
}
