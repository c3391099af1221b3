// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// repository is a git repository of one test.
type repository struct {
	t   *testing.T
	dir string
}

func newRepository(t *testing.T) *repository {
	t.Helper()
	r := &repository{t: t, dir: filepath.Join(t.TempDir(), "site.git")}
	r.git("init", "-q", "-b", "main", r.dir)
	return r
}

func (r *repository) git(args ...string) {
	r.t.Helper()
	c := exec.Command("git", args...)
	c.Env = append(os.Environ(), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com", "GIT_CONFIG_GLOBAL=/dev/null")
	if output, err := c.CombinedOutput(); err != nil {
		r.t.Fatalf("git %v: %v\n%s", args, err, output)
	}
}

// commit writes files, where an empty content deletes, and tags the commit.
func (r *repository) commit(tag string, files map[string]string) {
	r.t.Helper()
	for name, content := range files {
		path := filepath.Join(r.dir, name)
		if content == "" {
			_ = os.Remove(path)
			continue
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
	r.git("-C", r.dir, "add", "-A")
	r.git("-C", r.dir, "commit", "-q", "-m", tag)
	r.git("-C", r.dir, "tag", tag)
}

// service declares a Service with the given build script, on all hosts, one at a time.
func (w *world) service(t *testing.T, name string, r *repository, script string, change ...func(*v1alpha1.Service)) *v1alpha1.Service {
	t.Helper()
	service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}}
	service.Spec.Source.Git.URL = "file://" + r.dir
	service.Spec.Build = v1alpha1.BuildSpec{Image: "slipway/busybox:test", Script: script}
	service.Spec.Targets = []v1alpha1.TargetSource{{Hosts: w.hosts}}
	service.Spec.SSH = v1alpha1.SSHSpec{User: "deploy", KeySecretRef: v1alpha1.LocalReference{Name: "hosts"},
		HostKeys: v1alpha1.HostKeys{Policy: v1alpha1.HostKeysKnown, ConfigMapRef: &v1alpha1.LocalReference{Name: "hosts"}}}
	service.Spec.Deploy.Path = v1alpha1.AbsolutePath("/srv/www/" + name)
	for _, c := range change {
		c(service)
	}
	if err := w.client.Create(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	return service
}

func (w *world) release(t *testing.T, name, service, revision string) {
	t.Helper()
	release := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec: v1alpha1.ReleaseSpec{Service: service, Revision: v1alpha1.Revision(revision)}}
	if err := w.client.Create(t.Context(), release); err != nil {
		t.Fatal(err)
	}
}

// finished waits until the Release has ended, however.
func (w *world) finished(t *testing.T, name string) *v1alpha1.Release {
	t.Helper()
	g := NewWithT(t)
	release := &v1alpha1.Release{}
	g.Eventually(func(g Gomega) {
		g.Expect(w.client.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: name}, release)).To(Succeed())
		g.Expect(meta.IsStatusConditionTrue(release.Status.Conditions, "Finished")).To(BeTrue(), "%s: %+v", name, release.Status.Conditions)
	}, 3*time.Minute, 200*time.Millisecond).Should(Succeed())
	return release
}

func (w *world) succeeded(t *testing.T, name string) *v1alpha1.Release {
	t.Helper()
	release := w.finished(t, name)
	condition := meta.FindStatusCondition(release.Status.Conditions, "Succeeded")
	NewWithT(t).Expect(condition.Status).To(Equal(metav1.ConditionTrue), "%s: %s: %s", name, condition.Reason, condition.Message)
	return release
}

// live is what every host serves under that path of the Service's current release.
func (w *world) live(t *testing.T, service, path, want string) {
	t.Helper()
	for n := range w.hosts {
		content, err := os.ReadFile(w.onHost(n, "srv/www/"+service+"/current/"+path))
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
		NewWithT(t).Expect(string(content)).To(Equal(want), w.hosts[n].Name)
	}
}

func (w *world) jobs(t *testing.T, service string) int {
	t.Helper()
	var jobs batchv1.JobList
	NewWithT(t).Expect(w.client.List(t.Context(), &jobs, client.InNamespace("default"))).To(Succeed())
	count := 0
	for _, job := range jobs.Items {
		for _, value := range job.Labels {
			if value == service {
				count++
				break
			}
		}
	}
	return count
}

func TestReleaseUpgradeAndRollBack(t *testing.T) {
	w := shared
	r := newRepository(t)
	r.commit("v1", map[string]string{"index.html": "one\n", "old.html": "old\n"})
	r.commit("v2", map[string]string{"index.html": "two\n", "old.html": ""})
	w.service(t, "site", r, "echo built-$(cat index.html) > built.txt")

	w.release(t, "site-1", "site", "v1")
	w.succeeded(t, "site-1")
	w.live(t, "site", "index.html", "one\n")
	w.live(t, "site", "built.txt", "built-one\n")

	w.release(t, "site-2", "site", "v2")
	w.succeeded(t, "site-2")
	w.live(t, "site", "built.txt", "built-two\n")
	NewWithT(t).Expect(w.onHost(0, "srv/www/site/current/old.html")).NotTo(BeAnExistingFile())

	before := w.jobs(t, "site")
	w.release(t, "site-3", "site", "v1")
	back := w.succeeded(t, "site-3")
	w.live(t, "site", "index.html", "one\n")
	w.live(t, "site", "old.html", "old\n")
	NewWithT(t).Expect(back.Status.Artifact.Reused).To(BeTrue())
	NewWithT(t).Expect(w.jobs(t, "site")).To(Equal(before), "a roll back builds nothing")
}

func TestBadInputEndsWithAReason(t *testing.T) {
	w := shared
	r := newRepository(t)
	r.commit("v1", map[string]string{"index.html": "one\n"})
	for _, c := range []struct {
		name, script, revision, reason string
		change                         func(*v1alpha1.Service)
	}{
		{name: "no-revision", revision: "v9", reason: v1alpha1.ReasonRevisionNotFound},
		{name: "failing", script: "echo the reason is here; exit 3", revision: "v1", reason: v1alpha1.ReasonBuildFailed},
		{name: "hanging", script: "exec sleep 600", revision: "v1", reason: v1alpha1.ReasonBuildTimedOut,
			change: func(s *v1alpha1.Service) { s.Spec.Build.Timeout = metav1.Duration{Duration: 10 * time.Second} }},
		{name: "empty", script: "rm -rf ./*", revision: "v1", reason: v1alpha1.ReasonArtifactRefused},
		{name: "link-out", script: "ln -s ../../etc/passwd leak", revision: "v1", reason: v1alpha1.ReasonArtifactRefused},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.service(t, c.name, r, c.script, func(s *v1alpha1.Service) {
				if c.change != nil {
					c.change(s)
				}
			})
			w.release(t, c.name+"-1", c.name, c.revision)
			release := w.finished(t, c.name+"-1")
			succeeded := meta.FindStatusCondition(release.Status.Conditions, "Succeeded")
			t.Logf("%s: %s", succeeded.Reason, succeeded.Message)
			g := NewWithT(t)
			g.Expect(succeeded.Status).To(Equal(metav1.ConditionFalse))
			g.Expect(succeeded.Reason).To(Equal(c.reason))
			g.Expect(meta.IsStatusConditionTrue(release.Status.Conditions, "Stalled")).To(BeTrue())
			g.Expect(w.onHost(0, "srv/www/"+c.name+"/current")).NotTo(BeAnExistingFile())
		})
	}
}

// A registry that does not answer may come back, so the Release goes on trying for five minutes; it says why at once.
func TestMissingImageIsNamedAtOnce(t *testing.T) {
	w := shared
	r := newRepository(t)
	r.commit("v1", map[string]string{"index.html": "one\n"})
	w.service(t, "no-image", r, "", func(s *v1alpha1.Service) { s.Spec.Build.Image = "slipway/there-is-none:1" })
	w.release(t, "no-image-1", "no-image", "v1")
	g := NewWithT(t)
	release := &v1alpha1.Release{}
	g.Eventually(func(g Gomega) {
		g.Expect(w.client.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "no-image-1"}, release)).To(Succeed())
		built := meta.FindStatusCondition(release.Status.Conditions, "Built")
		g.Expect(built).NotTo(BeNil())
		// Which of them depends on whether the registry is reached from here.
		g.Expect(built.Reason).To(Or(Equal(v1alpha1.ReasonImageNotFound), Equal(v1alpha1.ReasonRegistryUnreachable)), built.Message)
	}, time.Minute, 200*time.Millisecond).Should(Succeed())
	before := release.DeepCopy()
	release.Spec.Abort = true
	g.Expect(w.client.Patch(t.Context(), release, client.MergeFrom(before))).To(Succeed())
	w.finished(t, "no-image-1")
}

func TestRefusedAtAdmission(t *testing.T) {
	w := shared
	for name, change := range map[string]func(*v1alpha1.Service){
		"helper-protocol": func(s *v1alpha1.Service) { s.Spec.Source.Git.URL = "ext::sh -c touch%20/tmp/x" },
		"option":          func(s *v1alpha1.Service) { s.Spec.Source.Git.URL = "--upload-pack=touch /tmp/x" },
		"root-path":       func(s *v1alpha1.Service) { s.Spec.Deploy.Path = "/var" },
		"up-path":         func(s *v1alpha1.Service) { s.Spec.Deploy.Path = "/srv/../etc" },
	} {
		t.Run(name, func(t *testing.T) {
			service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}}
			service.Spec.Source.Git.URL = "https://git.example.com/x.git"
			service.Spec.Build.Image = "slipway/busybox:test"
			service.Spec.SSH = v1alpha1.SSHSpec{User: "deploy", KeySecretRef: v1alpha1.LocalReference{Name: "hosts"},
				HostKeys: v1alpha1.HostKeys{ConfigMapRef: &v1alpha1.LocalReference{Name: "hosts"}}}
			service.Spec.Deploy.Path = "/srv/www/x"
			change(service)
			err := w.client.Create(t.Context(), service)
			NewWithT(t).Expect(err).To(HaveOccurred())
			NewWithT(t).Expect(strings.ToLower(err.Error())).To(ContainSubstring("must be"))
		})
	}
}
