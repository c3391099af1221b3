// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ansible asks Debian's own Ansible whether it understands `slipway inventory`, and runs a playbook on real hosts.
package ansible

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/standalone/controlplane"
	"github.com/slipway-dev/slipway/test/env"
	"github.com/slipway-dev/slipway/test/hosts"
)

func TestMain(m *testing.M) { env.Main(m) }

// world is a Service with two hosts, one of them ready, and an inventory script.
type world struct {
	*WithT
	t      *testing.T
	script string
	env    []string
	fleet  *hosts.Fleet
}

func newWorld(t *testing.T) *world {
	t.Helper()
	_, err := exec.LookPath("ansible-playbook")
	if err == nil {
		err = hosts.Available()
	}
	if err != nil {
		if os.Getenv("SLIPWAY_REQUIRE_ALL") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	w := &world{WithT: NewWithT(t), t: t, script: filepath.Join(dir, "slipway-hosts")}
	w.fleet, err = hosts.Start(t.Context(), hosts.Options{Dir: filepath.Join(dir, "hosts"), Count: 2})
	w.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { w.Expect(w.fleet.Stop()).To(Succeed()) })

	binary := filepath.Join(dir, "slipway")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".")
	build.Dir = "../.."
	out, err := build.CombinedOutput()
	w.Expect(err).NotTo(HaveOccurred(), string(out))
	namespace := env.Namespace(t)
	w.declare(namespace)
	kubeconfig, err := controlplane.Kubeconfig(env.Config(t))
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(os.WriteFile(filepath.Join(dir, "kubeconfig"), kubeconfig, 0o600)).To(Succeed())
	w.Expect(os.WriteFile(w.script, fmt.Appendf(nil, "#!/bin/sh\nexec %s inventory --namespace %s \"$@\"\n", binary, namespace), 0o755)).To(Succeed())
	w.env = append(os.Environ(), "KUBECONFIG="+filepath.Join(dir, "kubeconfig"), "ANSIBLE_HOME="+filepath.Join(dir, "ansible"),
		"ANSIBLE_SSH_ARGS=-o UserKnownHostsFile="+w.fleet.KnownHosts, "ANSIBLE_PRIVATE_KEY_FILE="+w.fleet.PrivateKey, "ANSIBLE_NOCOLOR=1", "LC_ALL=C.UTF-8")
	return w
}

// declare writes what the controllers would.
func (w *world) declare(namespace string) {
	c := env.Client(w.t)
	service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "blog"}, Spec: v1alpha1.ServiceSpec{
		Source: v1alpha1.SourceSpec{Git: v1alpha1.GitSource{URL: "https://git.example.com/blog.git"}}, Build: v1alpha1.BuildSpec{Image: "php:8.3-cli"},
		SSH:    v1alpha1.SSHSpec{User: "deploy", KeySecretRef: v1alpha1.LocalReference{Name: "blog-ssh"}, HostKeys: v1alpha1.HostKeys{Policy: v1alpha1.HostKeysFirstUse}},
		Deploy: v1alpha1.DeploySpec{Path: "/var/www/blog"},
	}}
	w.Expect(c.Create(w.t.Context(), service)).To(Succeed())
	for i, host := range w.fleet.Hosts {
		target := &v1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "blog-" + host.Name}, Spec: v1alpha1.TargetSpec{
			Service: "blog", ServiceUID: v1alpha1.UID(service.UID),
			Host: v1alpha1.TargetHost{ID: host.Name, Name: host.Name, Address: host.Address, Port: int32(host.Port)},
		}}
		w.Expect(c.Create(w.t.Context(), target)).To(Succeed())
		before := target.DeepCopy()
		target.Status.Running = &v1alpha1.RunningArtifact{Release: "blog-v1"}
		target.Status.Instance = &v1alpha1.InstanceStatus{ID: "i-0123456789abcdef0", Zone: "ap-northeast-1a"}
		if i == 0 {
			conditions.Summarize(&target.Status.Conditions, 1, conditions.Current, v1alpha1.ReasonUpToDate, "")
		}
		w.Expect(c.Status().Patch(w.t.Context(), target, client.MergeFrom(before))).To(Succeed())
	}
}

// run runs a program of Ansible's.
func (w *world) run(program string, args ...string) string {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), program, args...)
	cmd.Env, cmd.Dir, cmd.Stderr = w.env, filepath.Dir(w.script), os.Stderr
	out, err := cmd.Output()
	w.Expect(err).NotTo(HaveOccurred(), string(out))
	return string(out)
}

func TestAnsibleUnderstands(t *testing.T) {
	w := newWorld(t)
	one, two := w.fleet.Hosts[0], w.fleet.Hosts[1]

	var inventory map[string]struct{ Hosts []string }
	w.Expect(json.Unmarshal([]byte(w.run("ansible-inventory", "-i", w.script, "--list")), &inventory)).To(Succeed())
	w.Expect(inventory["ready"].Hosts).To(ConsistOf(one.Name))
	w.Expect(inventory["not_ready"].Hosts).To(ConsistOf(two.Name))
	w.Expect(inventory["zone_ap_northeast_1a"].Hosts).To(ConsistOf(one.Name, two.Name))
	var host struct {
		Address string `json:"ansible_host"`
		User    string `json:"ansible_user"`
	}
	w.Expect(json.Unmarshal([]byte(w.run("ansible-inventory", "-i", w.script, "--host", two.Name)), &host)).To(Succeed())
	w.Expect(host.Address).To(Equal(two.Address))
	w.Expect(host.User).To(Equal("deploy"))

	playbook := filepath.Join(filepath.Dir(w.script), "playbook.yaml")
	w.Expect(os.WriteFile(playbook, []byte("- hosts: ready\n  gather_facts: false\n  tasks:\n"+
		"  - raw: echo '{{ inventory_hostname }} {{ slipway_services[0].path }}' >/tmp/played\n"), 0o600)).To(Succeed())
	w.run("ansible-playbook", "-i", w.script, playbook)
	played, err := os.ReadFile(one.Path("/tmp/played"))
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(string(played)).To(Equal(one.Name + " /var/www/blog\n"))
	w.Expect(two.Path("/tmp/played")).NotTo(BeAnExistingFile(), "it is not ready")
}
