// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package processes runs manager and depot as the separate processes that a cluster runs, with exactly the rights of
// config/rbac, against a real API server and real hosts.
package processes

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	coordinationv1 "k8s.io/api/coordination/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/build"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/depot/store"
	"github.com/slipway-dev/slipway/internal/standalone/controlplane"
	"github.com/slipway-dev/slipway/test/env"
	"github.com/slipway-dev/slipway/test/hosts"
	"github.com/slipway-dev/slipway/test/rights"
)

func TestMain(m *testing.M) { env.Main(m) }

// image is taken as it is, without a registry: it is named by its digest.
const image = "example.com/none@sha256:0000000000000000000000000000000000000000000000000000000000000001"

// cluster is a namespace with a Service on three hosts, a depot, and managers.
type cluster struct {
	t         *testing.T
	g         *WithT
	dir       string
	binary    string
	client    client.Client
	namespace string
	fleet     *hosts.Fleet
	service   *v1alpha1.Service
}

// bare is a namespace and the program, without hosts and processes.
func bare(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, g: NewWithT(t), dir: t.TempDir(), client: env.Client(t), namespace: env.Namespace(t)}
	t.Cleanup(c.forget)
	// The lease of an earlier test, whose managers were killed, is not one of a manager of this one.
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "slipway-system", Name: "slipway-manager"}}
	c.g.Expect(client.IgnoreNotFound(c.client.Delete(t.Context(), lease))).To(Succeed())
	c.binary = filepath.Join(c.dir, "slipway")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", c.binary, ".")
	build.Dir = "../.."
	out, err := build.CombinedOutput()
	c.g.Expect(err).NotTo(HaveOccurred(), string(out))
	return c
}

// forget removes what the test declared: nobody empties a deleted namespace here, and the manager of a later test would take it
// for its own.
func (c *cluster) forget() {
	ctx := context.Background()
	var services v1alpha1.ServiceList
	var targets v1alpha1.TargetList
	c.g.Expect(c.client.List(ctx, &services, client.InNamespace(c.namespace))).To(Succeed())
	c.g.Expect(c.client.List(ctx, &targets, client.InNamespace(c.namespace))).To(Succeed())
	var objects []client.Object
	for i := range services.Items {
		objects = append(objects, &services.Items[i])
	}
	for i := range targets.Items {
		objects = append(objects, &targets.Items[i])
	}
	for _, object := range objects {
		c.g.Expect(client.IgnoreNotFound(c.client.Delete(ctx, object))).To(Succeed())
		nobodyLeft := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
		c.g.Expect(client.IgnoreNotFound(c.client.Patch(ctx, object, nobodyLeft))).To(Succeed())
	}
	policy := &v1alpha1.TargetPolicy{ObjectMeta: metav1.ObjectMeta{Name: c.namespace}}
	c.g.Expect(client.IgnoreNotFound(c.client.Delete(ctx, policy))).To(Succeed())
}

func newCluster(t *testing.T, depotFlags ...string) *cluster {
	t.Helper()
	if err := hosts.Available(); err != nil {
		if os.Getenv("SLIPWAY_REQUIRE_ALL") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	c := bare(t)
	var err error
	c.fleet, err = hosts.Start(t.Context(), hosts.Options{Dir: filepath.Join(c.dir, "hosts"), Count: 3})
	c.g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { c.g.Expect(c.fleet.Stop()).To(Succeed()) })
	port := freePort(t, c.fleet.Gateway)
	address := net.JoinHostPort(c.fleet.Gateway, fmt.Sprint(port))
	c.run("depot", env.Depot(t), append([]string{"depot", "--data", filepath.Join(c.dir, "depot"), "--listen", address, "--advertise", address,
		"--health-address", "0"}, depotFlags...)...)
	return c
}

func freePort(t *testing.T, host string) int {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port
}

// run starts a process of ours with a credential of its own. It ends with the test.
func (c *cluster) run(name string, config *rest.Config, args ...string) *exec.Cmd {
	c.t.Helper()
	kubeconfig, err := controlplane.Kubeconfig(config)
	c.g.Expect(err).NotTo(HaveOccurred())
	path := filepath.Join(c.dir, name+".kubeconfig")
	c.g.Expect(os.WriteFile(path, kubeconfig, 0o600)).To(Succeed())
	log, err := os.Create(filepath.Join(c.dir, name+".log"))
	c.g.Expect(err).NotTo(HaveOccurred())
	cmd := exec.Command(c.binary, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+path)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c.g.Expect(cmd.Start()).To(Succeed())
	c.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
		if c.t.Failed() {
			text, _ := os.ReadFile(log.Name())
			c.t.Logf("%s:\n%s", name, text[max(0, len(text)-4000):])
		}
	})
	return cmd
}

// manager starts a manager.
func (c *cluster) manager(name string, more ...string) *exec.Cmd {
	return c.run(name, env.Manager(c.t), append([]string{"manager", "--metrics-address", "0", "--health-address", "0", "--slipway-image", "slipway:test",
		"--lease-duration", "6s", "--lease-renew-deadline", "4s", "--lease-retry-period", "1s", "--ec2-period", "1s"}, more...)...)
}

// leader waits until somebody other than not holds the lease.
func (c *cluster) leader(not string) string {
	c.t.Helper()
	holder := ""
	c.g.Eventually(func(g Gomega) {
		var lease coordinationv1.Lease
		g.Expect(c.client.Get(context.Background(), client.ObjectKey{Namespace: "slipway-system", Name: "slipway-manager"}, &lease)).To(Succeed())
		g.Expect(lease.Spec.HolderIdentity).To(HaveValue(Not(BeEmpty())))
		holder = *lease.Spec.HolderIdentity
		g.Expect(holder).NotTo(Equal(not))
	}, time.Minute, 100*time.Millisecond).Should(Succeed())
	return holder
}

// declare makes the Service. Its hosts take their time to switch, so that there is a middle of a wave.
func (c *cluster) declare() {
	c.t.Helper()
	meta := metav1.ObjectMeta{Namespace: c.namespace, Name: "hosts"}
	c.g.Expect(c.client.Create(c.t.Context(), &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"known_hosts": c.fleet.KnownHostsText()}})).To(Succeed())
	var list []v1alpha1.StaticHost
	for _, h := range c.fleet.Hosts {
		port := int32(h.Port)
		list = append(list, v1alpha1.StaticHost{Name: h.Name, Address: h.Address, Port: &port})
	}
	s := c.blog()
	s.Spec.Targets = []v1alpha1.TargetSource{{Hosts: list}}
	s.Spec.SSH.HostKeys = v1alpha1.HostKeys{Policy: v1alpha1.HostKeysKnown, ConfigMapRef: &v1alpha1.LocalReference{Name: "hosts"}}
	// A pull that is frozen together with the manager, whose agent lends the key, holds its host for this long at most.
	s.Spec.Deploy.Timeout = metav1.Duration{Duration: 20 * time.Second}
	s.Spec.Deploy.Hooks.AfterSwitch = &v1alpha1.HostHook{Script: "sleep 2", Timeout: metav1.Duration{Duration: time.Minute}}
	c.g.Expect(c.client.Create(c.t.Context(), s)).To(Succeed())
	c.service = s
}

// blog is a Service without hosts, whose key is in a Secret.
func (c *cluster) blog() *v1alpha1.Service {
	c.t.Helper()
	key, err := os.ReadFile(c.fleet.PrivateKey)
	c.g.Expect(err).NotTo(HaveOccurred())
	c.g.Expect(c.client.Create(c.t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: "hosts"}, Type: corev1.SecretTypeSSHAuth, Data: map[string][]byte{corev1.SSHAuthPrivateKey: key},
	})).To(Succeed())
	s := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: "blog"}}
	s.Spec.Source.Git.URL = "https://git.example.com/blog.git"
	s.Spec.Build.Image = image
	s.Spec.SSH.User, s.Spec.SSH.KeySecretRef.Name = "deploy", "hosts"
	s.Spec.Deploy.Path = "/var/www/blog"
	return s
}

// built puts the artifact of a commit into the depot, as if it had been built before: builds are tested elsewhere.
func (c *cluster) built(commit, content string) {
	c.t.Helper()
	c.builtFiles(commit, map[string]string{"index.html": content})
}

func (c *cluster) builtFiles(commit string, files map[string]string) {
	c.t.Helper()
	artifacts, err := store.Open(filepath.Join(c.dir, "depot", "store"), clock.RealClock{})
	c.g.Expect(err).NotTo(HaveOccurred())
	key := build.Key(build.Input{
		Commit: commit, Source: c.service.Spec.Source, Build: c.service.Spec.Build,
		Image: build.Image{Digest: image[strings.Index(image, "@")+1:]},
	})
	grant := depot.BuildGrant{Service: v1alpha1.UID(c.service.UID), BuildKey: key, Attempt: 1, Commit: commit}
	tree, err := artifacts.Staging(grant)
	c.g.Expect(err).NotTo(HaveOccurred())
	for name, content := range files {
		c.g.Expect(os.MkdirAll(filepath.Dir(filepath.Join(tree, name)), 0o755)).To(Succeed())
		c.g.Expect(os.WriteFile(filepath.Join(tree, name), []byte(content), 0o644)).To(Succeed())
	}
	_, err = artifacts.Finish(grant)
	c.g.Expect(err).NotTo(HaveOccurred())
}

// release releases a commit: a full id needs no repository to resolve it.
func (c *cluster) release(name, commit string) {
	c.t.Helper()
	release := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: name}}
	release.Spec = v1alpha1.ReleaseSpec{Service: "blog", Revision: v1alpha1.Revision(commit)}
	c.g.Expect(c.client.Create(c.t.Context(), release)).To(Succeed())
}

// updated waits until at least n Targets run the Release.
func (c *cluster) updated(name string, n int32) {
	c.t.Helper()
	c.g.Eventually(func(g Gomega) {
		g.Expect(c.get(g, name).Status.Targets.Updated).To(BeNumerically(">=", n))
	}, time.Minute, 50*time.Millisecond).Should(Succeed())
}

func (c *cluster) get(g Gomega, name string) *v1alpha1.Release {
	release := &v1alpha1.Release{}
	g.Expect(c.client.Get(context.Background(), client.ObjectKey{Namespace: c.namespace, Name: name}, release)).To(Succeed())
	return release
}

// succeeded waits for a good end.
func (c *cluster) succeeded(name string) {
	c.t.Helper()
	c.g.Eventually(func(g Gomega) {
		release := c.get(g, name)
		g.Expect(conditions.IsTrue(release.Status.Conditions, v1alpha1.ConditionSucceeded)).To(BeTrue(), "%+v", release.Status.Conditions)
	}, 90*time.Second, 200*time.Millisecond).Should(Succeed())
}

// live is what every host serves.
func (c *cluster) live() []string {
	c.t.Helper()
	var out []string
	for _, h := range c.fleet.Hosts {
		content, err := os.ReadFile(h.Path("/var/www/blog/current/index.html"))
		c.g.Expect(err).NotTo(HaveOccurred())
		out = append(out, string(content))
	}
	return out
}

// fences are what the hosts have seen, as their own files say.
func (c *cluster) fences() []string {
	var out []string
	for _, h := range c.fleet.Hosts {
		content, _ := os.ReadFile(h.Path("/var/www/blog/.slipway/fence"))
		first, _, _ := strings.Cut(string(content), "\n")
		out = append(out, first)
	}
	return out
}

// TestLeadersThatFreezeAndDie freezes the leading manager in mid-wave past its lease. Another takes over and ends the
// rollout; when the first one wakes up it leads no more, and no host goes back. Then a leader is killed in mid-wave.
func TestLeadersThatFreezeAndDie(t *testing.T) {
	c := newCluster(t)
	first := c.manager("manager-1")
	leading := c.leader("")
	second := c.manager("manager-2")
	c.declare()
	one, two := strings.Repeat("1", 40), strings.Repeat("2", 40)
	c.built(one, "one\n")
	c.built(two, "two\n")
	c.release("blog-1", one)
	c.succeeded("blog-1")
	c.g.Expect(c.live()).To(HaveEach("one\n"))

	c.release("blog-2", two)
	c.updated("blog-2", 1)
	c.g.Expect(first.Process.Signal(syscall.SIGSTOP)).To(Succeed())
	c.leader(leading)
	c.succeeded("blog-2")
	c.g.Expect(c.live()).To(HaveEach("two\n"))
	fences := c.fences()

	c.g.Expect(first.Process.Signal(syscall.SIGCONT)).To(Succeed())
	ended := make(chan error, 1)
	go func() { ended <- first.Wait() }()
	c.g.Eventually(ended, time.Minute).Should(Receive(HaveOccurred()), "who lost the lease ends, and is started again as a standby")
	c.g.Expect(c.live()).To(HaveEach("two\n"))
	c.g.Expect(c.fences()).To(Equal(fences))

	c.release("back", one) // the new leader goes on working
	c.succeeded("back")
	c.g.Expect(c.live()).To(HaveEach("one\n"))

	// The leader is killed in mid-wave: who stood by ends the rollout, with fences that only grew.
	standby := c.manager("manager-3")
	leading = c.leader("")
	fences = c.fences()
	c.release("blog-3", two)
	c.updated("blog-3", 1)
	c.g.Expect(second.Process.Kill()).To(Succeed())
	c.leader(leading)
	c.succeeded("blog-3")
	c.g.Expect(c.live()).To(HaveEach("two\n"))
	for i, fence := range c.fences() {
		c.g.Expect(number(c.g, fence)).To(BeNumerically(">", number(c.g, fences[i])))
	}
	c.g.Expect(standby.Process.Signal(syscall.Signal(0))).To(Succeed())
	c.rights()
}

// number of a line "fence N".
func number(g *WithT, line string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(line, "fence "))
	g.Expect(err).NotTo(HaveOccurred(), line)
	return n
}

// rights were enough: nothing that manager and depot asked for was denied.
func (c *cluster) rights() {
	c.t.Helper()
	for _, account := range []string{"slipway-manager", "slipway-depot"} {
		used, denied, err := rights.Used(env.ControlPlane(c.t).AuditLog(), account)
		c.g.Expect(err).NotTo(HaveOccurred())
		c.g.Expect(used).NotTo(BeEmpty())
		c.g.Expect(denied).To(BeEmpty())
	}
}
