// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package e2e runs the whole job on real parts: slipway standalone with its control plane, builds on Docker, a git
// repository, the depot, and hosts with sshd and rsync. Only kubectl's way in, the API, is used.
package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/standalone"
	"github.com/slipway-dev/slipway/test/env"
)

const hosts = 3

// world is one installation with its hosts; all tests share it and use Services of their own.
type world struct {
	kubeconfig  string
	dir, binary string
	command     *exec.Cmd
	client      client.Client
	hosts       []v1alpha1.StaticHost
}

var shared *world

func TestMain(m *testing.M) {
	if os.Getenv("SLIPWAY_E2E") != "1" {
		fmt.Println("test/e2e: skipped; make test-e2e runs it (SLIPWAY_E2E=1)")
		os.Exit(0)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctrl.SetLogger(logr.Discard()) // the client's own; Slipway's logs are in the state directory
	dir, err := os.MkdirTemp("", "slipway-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	w := &world{dir: dir, binary: filepath.Join(dir, "slipway")}
	defer w.remove()
	if err := w.prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "test/e2e:", err)
		return 1
	}
	shared = w
	code := m.Run()
	if everything := flag.Lookup("test.run").Value.String() == ""; code == 0 && everything {
		if err := w.rights(); err != nil {
			fmt.Fprintln(os.Stderr, "test/e2e:", err)
			return 1
		}
	}
	return code
}

func (w *world) prepare() error {
	if err := script("../..", nil, "go", "build", "-o", w.binary, "."); err != nil {
		return err
	}
	if err := script("../..", []string{"SLIPWAY_BINARY=" + w.binary}, "hack/images/build.sh", "busybox", "slipway"); err != nil {
		return err
	}
	if err := w.hostsDo("up", fmt.Sprint(hosts)); err != nil {
		return err
	}
	list, err := os.ReadFile(filepath.Join(w.dir, "hosts", "hosts.json"))
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(list, &w.hosts); err != nil {
		return err
	}
	if err := w.start(); err != nil {
		return err
	}
	return w.credentials()
}

// credentials makes the Secret and the ConfigMap that Services reach the hosts with.
func (w *world) credentials() error {
	key, err := os.ReadFile(filepath.Join(w.dir, "hosts", "id"))
	if err != nil {
		return err
	}
	known, err := os.ReadFile(filepath.Join(w.dir, "hosts", "known_hosts"))
	if err != nil {
		return err
	}
	meta := metav1.ObjectMeta{Namespace: "default", Name: "hosts"}
	if err := w.client.Create(context.Background(), &corev1.Secret{ObjectMeta: meta, Type: corev1.SecretTypeSSHAuth, Data: map[string][]byte{corev1.SSHAuthPrivateKey: key}}); err != nil {
		return err
	}
	return w.client.Create(context.Background(), &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"known_hosts": string(known)}})
}

// start runs slipway standalone until it is ready.
func (w *world) start() error {
	state := filepath.Join(w.dir, "state")
	output, err := os.OpenFile(filepath.Join(w.dir, "standalone.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer output.Close()
	w.command = exec.Command(w.binary, "standalone", "--dir", state, "--allow-file-sources")
	w.command.Stdout, w.command.Stderr = output, output
	w.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := w.command.Start(); err != nil {
		return err
	}
	var ready standalone.Ready
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for ready.PID != w.command.Process.Pid {
		if content, err := os.ReadFile(filepath.Join(state, "ready.json")); err == nil {
			_ = json.Unmarshal(content, &ready)
		}
		select {
		case <-tick.C:
		case <-deadline:
			content, _ := os.ReadFile(output.Name())
			return fmt.Errorf("slipway standalone was not ready in 2 minutes:\n%s", content)
		}
	}
	config, err := clientcmd.BuildConfigFromFlags("", ready.Kubeconfig)
	if err != nil {
		return err
	}
	w.kubeconfig = ready.Kubeconfig
	w.client, err = client.New(config, client.Options{Scheme: env.Scheme()})
	return err
}

// kill ends it as a power cut would, and waits until it is gone.
func (w *world) kill() {
	_ = w.command.Process.Kill()
	_ = w.command.Wait()
}

// lose ends everything and starts it again with an empty etcd, as after a loss without a backup. The depot's volume and
// the hosts stay.
func (w *world) lose() error {
	w.kill()
	if err := os.RemoveAll(filepath.Join(w.dir, "state", "controlplane", "etcd")); err != nil {
		return err
	}
	if err := w.start(); err != nil {
		return err
	}
	return w.credentials()
}

func (w *world) remove() {
	if w.command != nil && w.command.Process != nil {
		_ = w.command.Process.Signal(syscall.SIGTERM)
		_ = w.command.Wait()
	}
	_ = w.hostsDo("down")
	_ = os.RemoveAll(w.dir)
}

func (w *world) hostsDo(action string, more ...string) error {
	return script("../..", []string{"SLIPWAY_HOSTS=e2e", "SLIPWAY_HOSTS_NET=10.211.8"},
		"hack/demo/hosts.sh", append([]string{action, filepath.Join(w.dir, "hosts")}, more...)...)
}

// onHost is a path of one host, seen from this machine.
func (w *world) onHost(n int, path string) string {
	return filepath.Join(w.dir, "hosts", w.hosts[n].Name, path)
}

func script(dir string, environment []string, name string, args ...string) error {
	c := exec.Command(name, args...)
	c.Dir = dir
	c.Env = append(os.Environ(), environment...)
	c.Stdout, c.Stderr = io.Discard, os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s %v: %w", name, args, err)
	}
	return nil
}
