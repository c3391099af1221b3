// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/phase"
	"github.com/slipway-dev/slipway/internal/standalone/controlplane"
	"github.com/slipway-dev/slipway/test/env"
)

func TestMain(m *testing.M) { env.Main(m) }

// desk is somebody at a terminal that is none, in a namespace with a Service.
type desk struct {
	*WithT
	t         *testing.T
	c         client.Client
	namespace string
}

func newDesk(t *testing.T) *desk {
	d := &desk{WithT: NewWithT(t), t: t, c: env.Client(t), namespace: env.Namespace(t)}
	service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: d.namespace, Name: "blog"}}
	service.Spec.Source.Git.URL = "https://git.example.com/blog.git"
	service.Spec.Build = v1alpha1.BuildSpec{Image: "busybox"}
	service.Spec.Targets = []v1alpha1.TargetSource{{Hosts: []v1alpha1.StaticHost{{Name: "web-1", Address: "10.0.0.1"}}}}
	service.Spec.SSH = v1alpha1.SSHSpec{User: "deploy", KeySecretRef: v1alpha1.LocalReference{Name: "key"}, HostKeys: v1alpha1.HostKeys{Policy: v1alpha1.HostKeysFirstUse}}
	service.Spec.Deploy.Path = "/srv/www/blog"
	d.Expect(d.c.Create(t.Context(), service)).To(Succeed())
	return d
}

// kubeconfig of a user.
func (d *desk) kubeconfig(config *rest.Config) string {
	d.t.Helper()
	data, err := controlplane.Kubeconfig(config)
	d.Expect(err).NotTo(HaveOccurred())
	file := filepath.Join(d.t.TempDir(), "kubeconfig")
	d.Expect(os.WriteFile(file, data, 0o600)).To(Succeed())
	return file
}

// run runs the plugin as the administrator and returns what it printed and with what code it ended.
func (d *desk) run(ctx context.Context, args ...string) (out string, code int, err error) {
	var buffer bytes.Buffer
	root := Command(env.Scheme())
	root.SetOut(&buffer)
	root.SetErr(&buffer)
	root.SetArgs(append(args, "-n", d.namespace, "--kubeconfig", d.kubeconfig(env.Config(d.t))))
	err = root.ExecuteContext(ctx)
	var ended *Ended
	switch {
	case errors.As(err, &ended):
		return buffer.String(), ended.Code, nil
	case err != nil:
		return buffer.String(), Trouble, err
	}
	return buffer.String(), Done, nil
}

// becomes gives a Release a status, as the manager would.
func (d *desk) becomes(release *v1alpha1.Release, change func(r *v1alpha1.Release)) {
	d.t.Helper()
	before := release.DeepCopy()
	change(release)
	d.Expect(d.c.Status().Patch(d.t.Context(), release, client.MergeFrom(before))).To(Succeed())
}

func (d *desk) release(name string) *v1alpha1.Release {
	d.t.Helper()
	r := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: d.namespace, Name: name}, Spec: v1alpha1.ReleaseSpec{Service: "blog", Revision: "v1"}}
	d.Expect(d.c.Create(d.t.Context(), r)).To(Succeed())
	return r
}

func end(reason, message string) func(r *v1alpha1.Release) {
	return func(r *v1alpha1.Release) {
		conditions.True(&r.Status.Conditions, 1, v1alpha1.ConditionFinished, reason, message)
		conditions.False(&r.Status.Conditions, 1, v1alpha1.ConditionSucceeded, reason, message)
	}
}

func TestAReleaseIsWatchedToItsEnd(t *testing.T) {
	d := newDesk(t)
	type result struct {
		out  string
		code int
		err  error
	}
	ended := make(chan result, 1)
	go func() {
		out, code, err := d.run(t.Context(), "release", "blog", "v1", "--reason", "ticket 812")
		ended <- result{out, code, err}
	}()
	var made v1alpha1.ReleaseList
	d.Eventually(func() int {
		d.Expect(d.c.List(t.Context(), &made, client.InNamespace(d.namespace))).To(Succeed())
		return len(made.Items)
	}, 20*time.Second, 50*time.Millisecond).Should(Equal(1))
	r := &made.Items[0]
	d.Expect(r.Spec.Reason).To(Equal("ticket 812"))
	d.becomes(r, func(r *v1alpha1.Release) {
		r.Status.Targets = v1alpha1.TargetCounts{Total: 3, Updated: 1}
		conditions.True(&r.Status.Conditions, 1, v1alpha1.ConditionPublished, "S", "")
		conditions.False(&r.Status.Conditions, 1, v1alpha1.ConditionReady, "RollingOut", "1 of 3\nhosts \x1b[2Jmove")
	})
	d.Consistently(ended, "2500ms").ShouldNot(Receive(), "it is not over")
	d.becomes(r, end(v1alpha1.ReasonRolledBack, "2 failed"))
	var got result
	d.Eventually(ended, "20s").Should(Receive(&got))
	d.Expect(got.err).NotTo(HaveOccurred())
	d.Expect(got.code).To(Equal(Bad))
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	d.Expect(lines[len(lines)-2]).To(HaveSuffix(r.Name + " ◐ Rolling out 1/3: 1 of 3 hosts [2Jmove"))
	d.Expect(lines[len(lines)-1]).To(HaveSuffix(r.Name + " ↩ Rolled back 1/3: 2 failed"))
	d.Expect(len(lines)).To(BeNumerically("<=", 3), "a line for each change, and not for each look")
}

func TestCodes(t *testing.T) {
	d := newDesk(t)
	for reason, code := range map[string]int{
		v1alpha1.ReasonSucceeded: Done, v1alpha1.ReasonFailed: Bad, v1alpha1.ReasonRolledBack: Bad, v1alpha1.ReasonAborted: Otherwise, v1alpha1.ReasonSuperseded: Otherwise,
	} {
		r := d.release("r-" + strings.ToLower(reason))
		d.becomes(r, end(reason, "it ended"))
		out, got, err := d.run(t.Context(), "status", r.Name, "-o", "json")
		d.Expect(err).NotTo(HaveOccurred())
		d.Expect(got).To(Equal(code), reason)
		var printed v1alpha1.Release
		d.Expect(json.Unmarshal([]byte(out), &printed)).To(Succeed(), out)
		d.Expect(printed.Name).To(Equal(r.Name))
	}
	_, code, err := d.run(t.Context(), "status", "no-such")
	d.Expect(code).To(Equal(Trouble))
	d.Expect(err).To(MatchError(ContainSubstring("no-such")))
	_, _, err = d.run(t.Context(), "release", "nothing", "v1")
	d.Expect(err).To(MatchError(ContainSubstring(`there is no Service "nothing"`)))
	_, _, err = d.run(t.Context(), "pause", "r-aborted")
	d.Expect(err).To(MatchError(And(ContainSubstring("has ended (Aborted)"), ContainSubstring("kubectl slipway release blog REVISION"))))
	_, _, err = d.run(t.Context(), "pause")
	d.Expect(err).To(MatchError(ContainSubstring("kubectl slipway pause RELEASE")))
}

// TestWhatARollBackWouldGoBackTo names it for who wants to undo a Release that has ended.
func TestWhatARollBackWouldGoBackTo(t *testing.T) {
	g := NewWithT(t)
	released := func(sequence int64, service, digest, reason string) v1alpha1.Release {
		r := v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", service, sequence)}, Spec: v1alpha1.ReleaseSpec{Service: service}}
		r.Status.Sequence, r.Status.Artifact = sequence, &v1alpha1.ArtifactStatus{Digest: digest}
		end(reason, "")(&r)
		return r
	}
	list := []v1alpha1.Release{
		released(1, "blog", "a", v1alpha1.ReasonSucceeded), released(2, "blog", "b", v1alpha1.ReasonSucceeded), released(3, "blog", "c", v1alpha1.ReasonFailed),
		released(4, "shop", "d", v1alpha1.ReasonSucceeded), released(5, "blog", "b", v1alpha1.ReasonSucceeded),
	}
	g.Expect(lastGood(list, &list[4]).Name).To(Equal("blog-1"), "what brought the same is nothing to go back to")
	g.Expect(lastGood(list, &list[2]).Name).To(Equal("blog-2"))
	g.Expect(lastGood(list, &list[0])).To(BeNil())
}

func TestVerbs(t *testing.T) {
	d := newDesk(t)
	r := d.release("one")
	read := func() v1alpha1.ReleaseSpec {
		d.Expect(d.c.Get(t.Context(), client.ObjectKeyFromObject(r), r)).To(Succeed())
		return r.Spec
	}
	do := func(args ...string) {
		t.Helper()
		out, code, err := d.run(t.Context(), args...)
		d.Expect(err).NotTo(HaveOccurred())
		d.Expect(code).To(Equal(Done), out)
	}
	do("pause", "one")
	d.Expect(read().Paused).To(BeTrue())
	do("resume", "one")
	d.Expect(read().Paused).To(BeFalse())
	_, _, err := d.run(t.Context(), "approve", "one")
	d.Expect(err).To(MatchError(ContainSubstring("waits for no approval")))
	read()
	d.becomes(r, func(r *v1alpha1.Release) {
		r.Status.Step = &v1alpha1.StepStatus{Index: 1, Since: metav1.Now()}
		conditions.False(&r.Status.Conditions, 1, v1alpha1.ConditionReady, v1alpha1.ReasonAwaitingApproval, "waits")
	})
	_, _, err = d.run(t.Context(), "approve", "one", "--gate", "Step-7")
	d.Expect(err).To(MatchError(ContainSubstring("waits at the gate Step-2")))
	do("approve", "one", "--reason", "looks well")
	d.Expect(read().Approvals).To(ConsistOf(And(HaveField("Gate", "Step-2"), HaveField("By", "slipway:admin"), HaveField("Reason", "looks well"))))
	do("rollback", "one")
	d.Expect(read().RollBack).To(BeTrue())
	do("abort", "one")
	d.Expect(read().Abort).To(BeTrue())
}

func TestATreeFitsTheTerminal(t *testing.T) {
	g := NewWithT(t)
	r := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "blog-7"}, Spec: v1alpha1.ReleaseSpec{Service: "blog", Revision: "v7"}}
	r.Status.ShortCommit, r.Status.Targets = "9f8e7d6c", v1alpha1.TargetCounts{Total: 30, Updated: 10, Unavailable: 1}
	r.Status.Described = &v1alpha1.CommitStatus{Subject: strings.Repeat("long ", 50)}
	var targets []v1alpha1.Target
	for n := range 30 {
		target := v1alpha1.Target{}
		target.Spec.Host.Name = "web-" + string(rune('a'+n%26)) + strings.Repeat("x", n/26)
		conditions.True(&target.Status.Conditions, 0, v1alpha1.ConditionReady, "S", "")
		if n == 29 {
			conditions.False(&target.Status.Conditions, 0, v1alpha1.ConditionReady, "X", "it burns")
			conditions.False(&target.Status.Conditions, 0, v1alpha1.ConditionReachable, "X", "it burns")
		}
		targets = append(targets, target)
	}
	for _, colour := range []palette{false, true} {
		var out bytes.Buffer
		tree(&out, r, targets, colour, 24, 80)
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		g.Expect(len(lines)).To(BeNumerically("<=", 24))
		for _, line := range lines {
			bare := line
			for _, code := range []string{"0", "31", "32", "33", "34", "90"} {
				bare = strings.ReplaceAll(bare, "\x1b["+code+"m", "")
			}
			g.Expect(len([]rune(bare))).To(BeNumerically("<=", 80), line)
		}
		g.Expect(out.String()).To(ContainSubstring("[##########....................] 10 of 30 hosts run it, 1 unavailable"))
		g.Expect(lines[3]).To(And(ContainSubstring("web-dx"), ContainSubstring("it burns")), "trouble first")
		g.Expect(lines[len(lines)-1]).To(HavePrefix("└─ and "))
		g.Expect(strings.Contains(out.String(), "\x1b")).To(Equal(bool(colour)))
	}
}

func TestEveryPhaseHasAWord(t *testing.T) {
	for _, p := range []phase.Phase{phase.Queued, phase.Building, phase.Awaiting, phase.Held, phase.Rolling, phase.RollingBack, phase.Paused, phase.Succeeded, phase.Failed,
		phase.Aborted, phase.Superseded, phase.RolledBack, phase.Unknown, phase.Well, phase.Degraded, phase.Mixed, phase.NoTargets, phase.NotReleased, phase.Adoption} {
		NewWithT(t).Expect(p.Word()).NotTo(BeEmpty(), p.Key)
	}
}

// TestNamesAreCompleted asks as a shell does.
func TestNamesAreCompleted(t *testing.T) {
	d := newDesk(t)
	file := d.kubeconfig(env.Config(t))
	d.becomes(d.release("over"), func(r *v1alpha1.Release) {
		conditions.True(&r.Status.Conditions, 1, v1alpha1.ConditionFinished, v1alpha1.ReasonSucceeded, "")
	})
	d.release("goes")
	complete := func(args ...string) string {
		var out bytes.Buffer
		root := Command(env.Scheme())
		root.SetOut(&out)
		root.SetErr(io.Discard)
		root.SetArgs(append([]string{"__complete"}, args...))
		d.Expect(root.ExecuteContext(t.Context())).To(Succeed())
		return strings.Join(strings.Fields(out.String()), " ")
	}
	where := []string{"-n", d.namespace, "--kubeconfig", file}
	with := func(command string, args ...string) string {
		return complete(append(append([]string{command}, where...), args...)...)
	}
	d.Expect(with("release", "")).To(Equal("blog :4"))
	d.Expect(with("release", "blog", "")).To(Equal("v1 :4"))
	d.Expect(with("release", "other", "")).To(Equal(":4"))
	d.Expect(with("pause", "")).To(Equal("goes :4"))
	d.Expect(strings.Fields(with("status", ""))).To(ConsistOf("goes", "over", ":4"))
	d.Expect(with("pause", "goes", "")).To(Equal(":4"))
	d.Expect(complete("pause", "--kubeconfig", "/nowhere", "")).To(Equal(":4"), "no cluster, no names, and no noise")
}
