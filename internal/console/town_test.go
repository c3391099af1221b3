// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/artifact"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/depot"
)

// town is a small company whose Services are in every state that the pages know, on a real API server.
type town struct {
	*house
	now time.Time
}

// commit is one that a name stands for.
func commit(name string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(name)))[:40] }

// story is the history of a repository, the oldest first.
var story = []struct{ id, subject, author string }{
	{"a", "Show related posts below an article", "Aiko Tanaka"},
	{"b", "Cache rendered menus for a minute", "Jonas Weber"},
	{"c", "Upgrade to WordPress 6.7.1", "Aiko Tanaka"},
	{"d", "検索結果のページ送りを修正", "佐藤 健"},
	{"e", "Send the newsletter from a queue, not from the request", "Mara Lindqvist"},
	{"f", "Keep uploads out of the full-text index", "Jonas Weber"},
	{"g", "Fix the time zone of scheduled posts", "Aiko Tanaka"},
}

// archive is a depot that has the story.
type archive struct{ shelf }

func position(id string) int {
	for i, s := range story {
		if commit(s.id) == id {
			return i
		}
	}
	return -1
}

func (a *archive) describe(i int) depot.Commit {
	s := story[i]
	return depot.Commit{ID: commit(s.id), Subject: s.subject, Author: s.author, Time: time.Now().Add(-time.Duration(len(story)-i) * 7 * time.Hour)}
}

func (a *archive) Commits(_ context.Context, r depot.CommitRange) ([]depot.Commit, error) {
	var list []depot.Commit
	for i := position(r.To); i > position(r.From) && i >= 0; i-- {
		list = append(list, a.describe(i))
	}
	return list, nil
}

func (a *archive) Refs(_ context.Context, r depot.RefsRequest) ([]depot.Ref, error) {
	all := []depot.Ref{
		{Name: "refs/heads/main", Commit: a.describe(6)}, {Name: "refs/heads/feature/comments", Commit: a.describe(4)},
		{Name: "refs/tags/v1.5.0", Commit: a.describe(5)}, {Name: "refs/tags/v1.4.2", Commit: a.describe(3)}, {Name: "refs/tags/v1.4.1", Commit: a.describe(1)},
	}
	return slices.DeleteFunc(all, func(ref depot.Ref) bool { return !strings.Contains(ref.Name, r.Search) }), nil
}

func (a *archive) Compare(context.Context, depot.Pair) (artifact.Difference, error) {
	return artifact.Difference{
		Changed: 4, Added: 2, Deleted: 1, Bytes: 183_412,
		ChangedPaths: []string{"wp-content/themes/harbour/functions.php", "wp-content/themes/harbour/search.php", "wp-includes/version.php", "composer.lock"},
		AddedPaths:   []string{"wp-content/mu-plugins/queue.php", "wp-content/mu-plugins/queue/worker.php"}, DeletedPaths: []string{"wp-content/plugins/hello.php"},
	}, nil
}

// buildLog is that of a build that failed, with colours.
const buildLog = "\x1b[36mslipway\x1b[0m build of blog at 9f8e7d6c in php:8.3-cli\n$ composer install --no-dev\nInstalling dependencies from lock file\n" +
	"Package operations: 41 installs, 0 updates, 0 removals\n  - Downloading \x1b[32msymfony/mailer\x1b[0m (\x1b[33mv7.1.5\x1b[0m)\n  - Downloading \x1b[32mguzzlehttp/guzzle\x1b[0m (\x1b[33m7.9.2\x1b[0m)\n" +
	"  - Installing \x1b[32msymfony/mailer\x1b[0m (\x1b[33mv7.1.5\x1b[0m): Extracting archive\n\x1b[33mWarning: the lock file is not up to date with the latest changes in composer.json.\x1b[0m\n" +
	"Generating optimized autoload files\n$ npm run build\n> harbour@1.5.0 build\n> vite build\nvite v6.0.1 building for production...\ntransforming (118)...\n" +
	"\x1b[31merror during build:\x1b[0m\n[vite]: Rollup failed to resolve import \"./serach.js\" from \"src/main.js\".\nThis is most likely unintended because it can break your application at runtime.\n" +
	"slipway: the build script failed with exit code 1\n"

func newTown(t *testing.T) *town {
	files := &archive{}
	files.log = buildLog
	w := &town{house: newHouseOf(t, files, &files.shelf), now: time.Now().Truncate(time.Second)}
	for _, namespace := range []string{"web", "shop"} {
		w.Expect(client.IgnoreAlreadyExists(w.c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))).To(Succeed())
	}
	for _, role := range []string{"slipway-releaser", "slipway-approver", "slipway-editor"} {
		binding := &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "operator-" + role}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "operator"}},
		}
		w.Expect(w.c.Create(t.Context(), binding)).To(Succeed())
		t.Cleanup(func() { w.Expect(w.c.Delete(context.Background(), binding)).To(Succeed()) })
	}
	w.blog()
	w.others()
	t.Cleanup(func() { w.clear("web", "shop") })
	return w
}

func (w *town) ago(d time.Duration) *metav1.Time {
	at := metav1.NewTime(w.now.Add(-d))
	return &at
}

// service makes a Service; change sets what is special about it, of its status too.
func (w *town) service(namespace, name string, change func(s *v1alpha1.Service)) *v1alpha1.Service {
	w.t.Helper()
	s := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	s.Spec.Source.Git.URL = "https://git.example.com/" + namespace + "/" + name + ".git"
	s.Spec.Build = v1alpha1.BuildSpec{Image: "php:8.3-cli", Script: "composer install --no-dev\nnpm run build\n"}
	s.Spec.Targets = []v1alpha1.TargetSource{{Hosts: []v1alpha1.StaticHost{{Name: "web-1", Address: "10.0.0.11"}, {Name: "web-2", Address: "10.0.0.12"}}}}
	s.Spec.SSH = v1alpha1.SSHSpec{User: "deploy", KeySecretRef: v1alpha1.LocalReference{Name: "deploy-key"}, HostKeys: v1alpha1.HostKeys{Policy: v1alpha1.HostKeysFirstUse}}
	s.Spec.Deploy.Path = v1alpha1.AbsolutePath("/srv/www/" + name)
	s.Status.State, s.Status.Running, s.Status.TargetsReady = "Ready", "v1.4.2 ("+commit("d")[:8]+")", "2/2"
	s.Status.Targets = v1alpha1.TargetCounts{Total: 2, Ready: 2, Updated: 2}
	conditions.True(&s.Status.Conditions, 1, v1alpha1.ConditionReady, "UpToDate", "All 2 hosts run v1.4.2 and are healthy")
	if change != nil {
		change(s)
	}
	status := s.Status
	w.Expect(w.c.Create(w.t.Context(), s, client.FieldOwner(s.Annotations["made-by"]))).To(Succeed())
	before := s.DeepCopy()
	s.Status = status
	w.Expect(w.c.Status().Patch(w.t.Context(), s, client.MergeFrom(before))).To(Succeed())
	return s
}

// releaseOf makes a Release of a Service, of a commit of the story.
func (w *town) releaseOf(s *v1alpha1.Service, sequence int64, revision, id string, change func(r *v1alpha1.Release)) *v1alpha1.Release {
	w.t.Helper()
	i := slices.IndexFunc(story, func(c struct{ id, subject, author string }) bool { return c.id == id })
	r := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: fmt.Sprintf("%s-%d", s.Name, sequence)}}
	r.Spec = v1alpha1.ReleaseSpec{Service: s.Name, Revision: v1alpha1.Revision(revision), RequestedBy: "aiko@example.com"}
	r.Status.Sequence, r.Status.Commit, r.Status.Ref = sequence, commit(id), "refs/heads/"+revision
	if strings.HasPrefix(revision, "v") {
		r.Status.Ref = "refs/tags/" + revision
	}
	r.Status.Described = &v1alpha1.CommitStatus{Subject: story[i].subject, Author: story[i].author, Time: w.ago(time.Duration(len(story)-i) * 7 * time.Hour)}
	r.Status.StartTime = w.ago(3 * time.Minute)
	r.Status.Build = &v1alpha1.BuildStatus{Key: "sha256:" + commit("key"+id), Image: "php:8.3-cli", Attempt: 1, Job: r.Name + "-build", StartTime: w.ago(170 * time.Second)}
	conditions.True(&r.Status.Conditions, 1, v1alpha1.ConditionResolved, v1alpha1.ReasonSucceeded, revision+" is "+commit(id)[:8])
	if change != nil {
		change(r)
	}
	status := r.Status
	w.Expect(w.c.Create(w.t.Context(), r)).To(Succeed())
	before := r.DeepCopy()
	r.Status = status
	w.Expect(w.c.Status().Patch(w.t.Context(), r, client.MergeFrom(before))).To(Succeed())
	return r
}

// built says that a Release has its artifact.
func (w *town) built(r *v1alpha1.Release) {
	r.Status.Build.CompletionTime = w.ago(125 * time.Second)
	r.Status.Artifact = &v1alpha1.ArtifactStatus{Digest: "sha256:" + commit("artifact"+r.Status.Commit) + strings.Repeat("0", 24), Files: 3214, Bytes: 48_211_934}
	conditions.True(&r.Status.Conditions, 1, v1alpha1.ConditionBuilt, v1alpha1.ReasonSucceeded, "built")
	conditions.True(&r.Status.Conditions, 1, v1alpha1.ConditionPublished, v1alpha1.ReasonSucceeded, "published")
}

// ended says how a Release ended, and when.
func (w *town) ended(r *v1alpha1.Release, reason, why, message string, ago time.Duration) {
	r.Status.CompletionTime, r.Status.StartTime, r.Status.Described.Time = w.ago(ago), w.ago(ago+150*time.Second), w.ago(ago+5*time.Hour)
	for _, c := range []string{v1alpha1.ConditionBuilt, v1alpha1.ConditionPublished, v1alpha1.ConditionRolledOut, v1alpha1.ConditionVerified} {
		if reason == v1alpha1.ReasonSucceeded {
			conditions.True(&r.Status.Conditions, 1, c, v1alpha1.ReasonSucceeded, "")
		}
	}
	conditions.Set(&r.Status.Conditions, 1, v1alpha1.ConditionSucceeded, map[bool]metav1.ConditionStatus{true: "True", false: "False"}[reason == v1alpha1.ReasonSucceeded], why, message)
	conditions.True(&r.Status.Conditions, 1, v1alpha1.ConditionFinished, reason, message)
	conditions.True(&r.Status.Conditions, 1, v1alpha1.ConditionReady, reason, message)
}

// host makes a Target of a Service.
func (w *town) host(s *v1alpha1.Service, name, address string, order, runs *v1alpha1.Release, wave int64, change func(target *v1alpha1.Target)) {
	w.t.Helper()
	target := &v1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name + "-" + name, Labels: map[string]string{v1alpha1.LabelService: s.Name}}}
	target.Spec = v1alpha1.TargetSpec{Service: s.Name, ServiceUID: v1alpha1.UID(s.UID), Host: v1alpha1.TargetHost{ID: name, Name: name, Address: address, Port: 22}, Fence: 12, Wave: wave}
	if order != nil {
		target.Spec.Artifact = &v1alpha1.ReleaseRecord{
			Release: order.Name, UID: v1alpha1.UID(order.UID), Revision: string(order.Spec.Revision), Commit: order.Status.Commit, Digest: order.Status.Artifact.Digest, Frozen: "f",
		}
	}
	target.Status.ObservedGeneration = 1
	if runs != nil {
		target.Status.Running = &v1alpha1.RunningArtifact{
			Digest: runs.Status.Artifact.Digest, Commit: runs.Status.Commit, Release: runs.Name, Label: fmt.Sprintf("%s (%s)", runs.Spec.Revision, runs.Status.Commit[:8]), Since: w.ago(90 * time.Second),
		}
	}
	conditions.True(&target.Status.Conditions, 1, v1alpha1.ConditionReachable, v1alpha1.ReasonSucceeded, "answers over SSH")
	conditions.True(&target.Status.Conditions, 1, v1alpha1.ConditionAvailable, v1alpha1.ReasonSucceeded, "serves")
	if runs != nil && order != nil && runs.Name == order.Name {
		conditions.True(&target.Status.Conditions, 1, v1alpha1.ConditionReady, v1alpha1.ReasonUpToDate, "runs "+target.Status.Running.Label)
		target.Status.Delivery = &v1alpha1.DeliveryStatus{
			Fence: 12, Digest: order.Status.Artifact.Digest, Outcome: "Succeeded", StartTime: w.ago(100 * time.Second), CompletionTime: w.ago(92 * time.Second), BytesReceived: 183_412,
			Steps: []v1alpha1.DeliveryStep{
				{Name: "Connect", Milliseconds: 84}, {Name: "Check", Milliseconds: 12}, {Name: "Pull", Milliseconds: 1930, Message: "received 179.1 KiB of 46.0 MiB, the rest was there"},
				{Name: "Verify", Milliseconds: 410, Message: "3214 files"}, {Name: "Shared", Milliseconds: 9}, {Name: "Switch", Milliseconds: 3}, {Name: "Reload", Milliseconds: 61}, {Name: "Health", Milliseconds: 2210, Message: "GET /healthz: 200"},
			},
		}
	} else {
		conditions.False(&target.Status.Conditions, 1, v1alpha1.ConditionReady, v1alpha1.ReasonWaitingForWave, "waits for its turn")
	}
	if change != nil {
		change(target)
	}
	status := target.Status
	w.Expect(w.c.Create(w.t.Context(), target)).To(Succeed())
	before := target.DeepCopy()
	target.Status = status
	w.Expect(w.c.Status().Patch(w.t.Context(), target, client.MergeFrom(before))).To(Succeed())
}

// delivering and broken are what a host may be at.
func (w *town) delivering(target *v1alpha1.Target) {
	conditions.False(&target.Status.Conditions, 1, v1alpha1.ConditionReady, v1alpha1.ReasonDelivering, "Pull: 31.4 of 46.0 MiB")
}

func (w *town) broken(target *v1alpha1.Target) {
	message := "afterSwitch failed with exit code 1: PHP Fatal error:  Uncaught Error: Class \"Queue\" not found in /srv/www/blog/current/wp-content/mu-plugins/queue.php:14"
	conditions.False(&target.Status.Conditions, 1, v1alpha1.ConditionReady, "HookFailed", message)
	conditions.False(&target.Status.Conditions, 1, v1alpha1.ConditionAvailable, "HookFailed", message)
	target.Status.Delivery = &v1alpha1.DeliveryStatus{
		Fence: 12, Outcome: "Failed", Reason: "HookFailed", Step: "AfterSwitch", Failures: 2, StartTime: w.ago(80 * time.Second), CompletionTime: w.ago(70 * time.Second), BytesReceived: 183_412,
		Steps: []v1alpha1.DeliveryStep{
			{Name: "Connect", Milliseconds: 91}, {Name: "Pull", Milliseconds: 1822, Message: "received 179.1 KiB of 46.0 MiB, the rest was there"}, {Name: "Verify", Milliseconds: 404, Message: "3214 files"},
			{Name: "Switch", Milliseconds: 4}, {Name: "AfterSwitch", Milliseconds: 1204, Message: message},
		},
	}
}

func (w *town) lost(target *v1alpha1.Target) {
	message := "ssh: connect to 10.0.0.33 port 22: no route to host"
	conditions.False(&target.Status.Conditions, 1, v1alpha1.ConditionReachable, v1alpha1.ReasonUnreachable, message)
	conditions.False(&target.Status.Conditions, 1, v1alpha1.ConditionReady, v1alpha1.ReasonUnreachable, message)
	conditions.False(&target.Status.Conditions, 1, v1alpha1.ConditionAvailable, v1alpha1.ReasonUnreachable, message)
}

// blog is in the middle of a rollout to eight hosts, and has a past.
func (w *town) blog() {
	canary := intstr.FromInt32(1)
	s := w.service("web", "blog", func(s *v1alpha1.Service) {
		s.Annotations = map[string]string{"made-by": "kustomize-controller"}
		s.Spec.Track = &v1alpha1.TrackSpec{Branch: "main"}
		var hosts []v1alpha1.StaticHost
		for i := range 8 {
			hosts = append(hosts, v1alpha1.StaticHost{Name: fmt.Sprintf("web-%d", i+1), Address: fmt.Sprintf("10.0.0.%d", i+11)})
		}
		s.Spec.Targets = []v1alpha1.TargetSource{{Hosts: hosts}}
		s.Spec.Rollout.Steps = []v1alpha1.RolloutStep{{Targets: &canary}, {Pause: &v1alpha1.RolloutPause{Duration: metav1.Duration{Duration: 5 * time.Minute}}}}
		s.Status.State, s.Status.TargetsReady = "RollingOut", "5/8"
		s.Status.Targets = v1alpha1.TargetCounts{Total: 8, Ready: 5, Updated: 3}
		s.Status.Current = &v1alpha1.ReleaseRecord{Release: "blog-4", Sequence: 4, Revision: "v1.4.2", Commit: commit("d"), Digest: "sha256:" + commit("artifact"+commit("d")) + strings.Repeat("0", 24), Frozen: "f"}
		conditions.False(&s.Status.Conditions, 1, v1alpha1.ConditionReady, "RollingOut", "Release blog-6 is on 3 of 8 hosts; 2 are being moved")
		for i, e := range []struct {
			action  v1alpha1.AuditAction
			by, rel string
			what    string
			reason  string
		}{
			{"Requested", "aiko@example.com", "blog-6", "main", "newsletter queue, ticket 812"}, {"RolledBack", "jonas@example.com", "blog-5", "", "fatal errors in the queue plugin"},
			{"Requested", "system:serviceaccount:web:ci", "blog-5", "main", ""}, {"Unlocked", "mara@example.com", "", "", ""}, {"Locked", "mara@example.com", "", "", "database moves to the new cluster"},
			{"Requested", "aiko@example.com", "blog-4", "v1.4.2", "search pages, ticket 799"}, {"Requested", v1alpha1.RequestedByManager, "blog-3", "main", ""},
		} {
			s.Status.Audit = append(s.Status.Audit, v1alpha1.AuditEntry{Time: *w.ago(time.Duration(i*i) * 9 * time.Hour / 2), Action: e.action, By: e.by, Release: e.rel, What: e.what, Reason: e.reason})
		}
	})
	var past *v1alpha1.Release
	for i, p := range []struct {
		revision, id, reason, why, message string
		ago                                time.Duration
	}{
		{"v1.4.0", "a", v1alpha1.ReasonSucceeded, v1alpha1.ReasonSucceeded, "8 of 8 hosts run it", 26 * 24 * time.Hour},
		{"v1.4.1", "b", v1alpha1.ReasonSucceeded, v1alpha1.ReasonSucceeded, "8 of 8 hosts run it", 15 * 24 * time.Hour},
		{"main", "c", v1alpha1.ReasonFailed, v1alpha1.ReasonBuildFailed, "the build failed: the script ended with exit code 1", 6 * 24 * time.Hour},
		{"v1.4.2", "d", v1alpha1.ReasonSucceeded, v1alpha1.ReasonSucceeded, "8 of 8 hosts run it", 5 * 24 * time.Hour},
		{"main", "e", v1alpha1.ReasonRolledBack, v1alpha1.ReasonRolledBack, "2 of 8 hosts failed, more than maxFailures 1: the hosts that were moved are back on v1.4.2", 20 * time.Hour},
	} {
		r := w.releaseOf(s, int64(i+1), p.revision, p.id, func(r *v1alpha1.Release) {
			if p.why != v1alpha1.ReasonBuildFailed {
				w.built(r)
			}
			r.Status.Targets = v1alpha1.TargetCounts{Total: 8, Ready: 8, Updated: 8}
			if p.reason == v1alpha1.ReasonRolledBack {
				r.Spec.RequestedBy, r.Status.Targets.Updated = "system:serviceaccount:web:ci", 0
				r.Status.Failures = []v1alpha1.TargetFailure{
					{Target: "blog-web-2", Host: "web-2", Reason: "HookFailed", Message: "afterSwitch failed with exit code 1: PHP Fatal error:  Uncaught Error: Class \"Queue\" not found"},
					{Target: "blog-web-6", Host: "web-6", Reason: "Unreachable", Message: "ssh: connect to 10.0.0.16 port 22: no route to host"},
				}
			}
			if p.why == v1alpha1.ReasonBuildFailed {
				r.Status.Targets.Updated = 0
			}
			w.ended(r, p.reason, p.why, p.message, p.ago)
		})
		if p.revision == "v1.4.2" {
			past = r
		}
	}
	now := w.releaseOf(s, 6, "main", "g", func(r *v1alpha1.Release) {
		w.built(r)
		r.Spec.Reason = "newsletter queue, ticket 812"
		r.Status.Targets = v1alpha1.TargetCounts{Total: 8, Ready: 5, Updated: 3}
		r.Status.Step = &v1alpha1.StepStatus{Index: 2, Since: *w.ago(time.Minute), Message: "all hosts"}
		conditions.False(&r.Status.Conditions, 1, v1alpha1.ConditionReady, v1alpha1.ReasonProgressing, "3 of 8 hosts run it; web-4 and web-5 are being moved, 3 wait for them: maxUnavailable is 2")
		conditions.False(&r.Status.Conditions, 1, v1alpha1.ConditionRolledOut, v1alpha1.ReasonProgressing, "3 of 8 hosts")
	})
	for i := range 8 {
		name, address := fmt.Sprintf("web-%d", i+1), fmt.Sprintf("10.0.0.%d", i+11)
		switch {
		case i == 0:
			w.host(s, name, address, now, now, 20, nil)
		case i < 3:
			w.host(s, name, address, now, now, 21, nil)
		case i < 5:
			w.host(s, name, address, now, past, 22, w.delivering)
		default:
			w.host(s, name, address, past, past, 4, nil)
		}
	}
	plan := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "blog-plan-x7k2p", Annotations: map[string]string{v1alpha1.AnnotationDryRun: "true"}}}
	plan.Spec = v1alpha1.ReleaseSpec{Service: "blog", Revision: "main"}
	w.Expect(w.c.Create(w.t.Context(), plan)).To(Succeed())
	before := plan.DeepCopy()
	plan.Status.Plan = &v1alpha1.ReleasePlan{
		Commit: commit("g"), Ref: "refs/heads/main", Build: "php:8.3-cli builds it: this commit was not built yet", Hosts: 8, Moving: 8,
		Batches: []v1alpha1.PlannedBatch{
			{Hosts: 1, Names: []string{"web-1"}, Reason: "the canary"}, {Reason: "waits 5m for the canary to prove itself"}, {Hosts: 2, Names: []string{"web-2", "web-3"}, Reason: "maxUnavailable is 2"},
			{Hosts: 2, Names: []string{"web-4", "web-5"}}, {Hosts: 3, Names: []string{"web-6", "web-7", "web-8"}},
		},
		Warnings: []string{"web-6 has not answered for 4 minutes: it will be moved once it does."},
		Files:    &v1alpha1.PlannedFiles{Changed: 3, Added: 2, Deleted: 1, Bytes: 183_412, ChangedPaths: []string{"composer.lock", "wp-content/themes/harbour/search.php", "wp-includes/version.php"}, AddedPaths: []string{"wp-content/mu-plugins/queue.php", "wp-content/mu-plugins/queue/worker.php"}, DeletedPaths: []string{"wp-content/plugins/hello.php"}},
	}
	w.Expect(w.c.Status().Patch(w.t.Context(), plan, client.MergeFrom(before))).To(Succeed())
	waiting := plan.DeepCopy()
	waiting.ObjectMeta = metav1.ObjectMeta{Namespace: "web", Name: "blog-plan-wait1", Annotations: plan.Annotations}
	w.Expect(w.c.Create(w.t.Context(), waiting)).To(Succeed())
}

// others are Services that need somebody, each in its own way, and some that do not.
func (w *town) others() {
	state := func(state, reason, message, ready string) func(s *v1alpha1.Service) {
		return func(s *v1alpha1.Service) {
			s.Status.State, s.Status.TargetsReady = state, ready
			conditions.False(&s.Status.Conditions, 1, v1alpha1.ConditionReady, reason, message)
		}
	}
	record := func(s *v1alpha1.Service) {
		s.Status.Current = &v1alpha1.ReleaseRecord{Release: s.Name + "-1", Revision: "v1.4.2", Commit: commit("d"), Digest: "sha256:" + commit("artifact"+commit("d")) + strings.Repeat("0", 24), Frozen: "f"}
	}
	old := func(s *v1alpha1.Service) *v1alpha1.Release {
		return w.releaseOf(s, 1, "v1.4.2", "d", func(r *v1alpha1.Release) {
			w.built(r)
			r.Spec.RequestedBy = "jonas@example.com"
			r.Status.Targets = v1alpha1.TargetCounts{Total: 2, Ready: 2, Updated: 2}
			w.ended(r, v1alpha1.ReasonSucceeded, v1alpha1.ReasonSucceeded, "2 of 2 hosts run it", 50*time.Hour)
		})
	}

	cart := w.service("shop", "cart", func(s *v1alpha1.Service) {
		record(s)
		state("RollingOut", "RollingOut", "Release cart-2 waits for an approval", "2/2")(s)
	})
	before := old(cart)
	waits := w.releaseOf(cart, 2, "main", "f", func(r *v1alpha1.Release) {
		w.built(r)
		r.Status.Targets = v1alpha1.TargetCounts{Total: 2, Ready: 2, Updated: 1}
		r.Status.Step = &v1alpha1.StepStatus{Index: 1, Since: *w.ago(6 * time.Minute), Message: "waits for an approval"}
		conditions.False(&r.Status.Conditions, 1, v1alpha1.ConditionReady, v1alpha1.ReasonAwaitingApproval, "1 of 2 hosts runs it; the next step waits for one approval by somebody other than aiko@example.com")
	})
	w.host(cart, "cart-1", "10.0.1.11", waits, waits, 9, nil)
	w.host(cart, "cart-2", "10.0.1.12", before, before, 2, nil)

	checkout := w.service("shop", "checkout", func(s *v1alpha1.Service) {
		record(s)
		state("RollingOut", "RollingOut", "Release checkout-2 is paused", "2/3")(s)
	})
	before = old(checkout)
	paused := w.releaseOf(checkout, 2, "v1.5.0", "f", func(r *v1alpha1.Release) {
		w.built(r)
		r.Spec.Paused = true
		r.Status.Targets = v1alpha1.TargetCounts{Total: 3, Ready: 2, Updated: 1, Unavailable: 1}
		r.Status.Failures = []v1alpha1.TargetFailure{{Target: "checkout-co-2", Host: "co-2", Reason: "HookFailed", Message: "afterSwitch failed with exit code 1: PHP Fatal error:  Uncaught Error: Class \"Queue\" not found"}}
		conditions.False(&r.Status.Conditions, 1, v1alpha1.ConditionReady, v1alpha1.ReasonPaused, "Paused: 1 of 3 hosts runs it; co-2 failed: HookFailed")
	})
	w.host(checkout, "co-1", "10.0.2.11", paused, paused, 9, nil)
	w.host(checkout, "co-2", "10.0.2.12", paused, before, 10, w.broken)
	w.host(checkout, "co-3", "10.0.2.13", before, before, 2, nil)

	search := w.service("shop", "search", func(s *v1alpha1.Service) {
		record(s)
		s.Spec.Lock = &v1alpha1.Lock{Reason: "database moves to the new cluster", Owner: "mara@example.com", Until: w.ago(-20 * time.Hour)}
	})
	old(search)
	w.releaseOf(search, 2, "main", "g", func(r *v1alpha1.Release) {
		w.built(r)
		r.Status.Targets = v1alpha1.TargetCounts{Total: 2, Ready: 2}
		r.Status.HeldUntil = search.Spec.Lock.Until
		conditions.False(&r.Status.Conditions, 1, v1alpha1.ConditionReady, v1alpha1.ReasonLocked, "the Service is locked by mara@example.com: database moves to the new cluster")
	})

	wiki := w.service("web", "wiki", func(s *v1alpha1.Service) {
		record(s)
		state("Degraded", "Degraded", "1 of 3 hosts is not ready; wiki-3: Unreachable: no route to host", "2/3")(s)
	})
	runs := old(wiki)
	w.host(wiki, "wiki-1", "10.0.0.31", runs, runs, 3, nil)
	w.host(wiki, "wiki-2", "10.0.0.32", runs, runs, 3, nil)
	w.host(wiki, "wiki-3", "10.0.0.33", runs, runs, 3, w.lost)

	api := w.service("web", "api", func(s *v1alpha1.Service) {
		record(s)
		state("Releasing", "Releasing", "Release api-2 is being built", "2/2")(s)
	})
	old(api)
	w.releaseOf(api, 2, "main", "g", func(r *v1alpha1.Release) {
		r.Status.Targets = v1alpha1.TargetCounts{Total: 2}
		conditions.False(&r.Status.Conditions, 1, v1alpha1.ConditionReady, v1alpha1.ReasonBuilding, "php:8.3-cli builds it, for 2m 50s")
	})

	w.service("web", "newsletter", func(s *v1alpha1.Service) {
		s.Status = v1alpha1.ServiceStatus{}
		s.Status.State, s.Status.TargetsReady = "NotReleased", "0/2"
		conditions.False(&s.Status.Conditions, 1, v1alpha1.ConditionReady, "NotReleased", "Nothing was released yet")
	})
	mixed := w.service("shop", "images", func(s *v1alpha1.Service) {
		record(s)
		state("Mixed", "Mixed", "Hosts run different releases: Release images-2 was aborted on 3 of 5 hosts", "5/5")(s)
	})
	first := old(mixed)
	second := w.releaseOf(mixed, 2, "v1.5.0", "f", func(r *v1alpha1.Release) {
		w.built(r)
		r.Status.Targets = v1alpha1.TargetCounts{Total: 5, Ready: 5, Updated: 3}
		w.ended(r, v1alpha1.ReasonAborted, v1alpha1.ReasonAborted, "Aborted: 3 of 5 hosts run it", 30*time.Hour)
	})
	for i := range 5 {
		r := first
		if i < 3 {
			r = second
		}
		w.host(mixed, fmt.Sprintf("img-%d", i+1), fmt.Sprintf("10.0.3.%d", i+11), r, r, int64(4+i), nil)
	}
	for _, name := range []string{"accounts", "billing", "docs", "gateway"} {
		old(w.service("web", name, record))
	}
}
