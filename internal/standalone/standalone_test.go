// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// childDir, when set, makes this test binary a standalone installation: a process that can be killed.
const childDir = "SLIPWAY_TEST_STANDALONE_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		err := Run(context.Background(), Options{Dir: dir, AdvertiseAddress: "127.0.0.1", Processes: idle})
		_, _ = os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// idle is a process that is ready at once and works until it is told to end.
func idle(context.Context, House) ([]Process, error) {
	return []Process{{Name: "idle", Run: func(ctx context.Context, ready func()) error {
		ready()
		<-ctx.Done()
		return ctx.Err()
	}}}, nil
}

// What was written survives SIGKILL of everything, no child outlives its parent, one directory has one owner, and a
// stop that was asked for leaves nothing behind.
func TestStateSurvivesSIGKILL(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()

	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir)
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	g.Expect(child.Start()).To(Succeed())
	first := waitReady(g, dir, child.Process.Pid)
	mode, err := os.Stat(first.Kubeconfig)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(mode.Mode().Perm()).To(Equal(os.FileMode(0o600)))
	c := connect(g, first)
	g.Expect(c.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kept"}})).To(Succeed())

	err = Run(t.Context(), Options{Dir: dir, Processes: idle})
	g.Expect(err).To(MatchError(ContainSubstring("another slipway standalone runs on")))

	g.Expect(child.Process.Kill()).To(Succeed())
	_ = child.Wait()
	g.Eventually(func() []string { return processesOf(dir) }).WithTimeout(10 * time.Second).Should(BeEmpty())

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var output bytes.Buffer
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Options{Dir: dir, AdvertiseAddress: "127.0.0.1", Output: &output, Processes: idle})
	}()
	second := waitReady(g, dir, os.Getpid())
	g.Expect(second.DepotPort).To(Equal(first.DepotPort), "hosts know the depot by its port")
	var kept corev1.ConfigMap
	g.Expect(connect(g, second).Get(t.Context(), types.NamespacedName{Namespace: "default", Name: "kept"}, &kept)).To(Succeed())

	cancel()
	g.Eventually(ended).WithTimeout(30 * time.Second).Should(Receive(BeNil()))
	g.Expect(processesOf(dir)).To(BeEmpty())
	g.Expect(filepath.Join(dir, "ready.json")).NotTo(BeAnExistingFile())
	g.Expect(output.String()).To(ContainSubstring("slipway standalone is ready: export KUBECONFIG=" + filepath.Join(dir, "kubeconfig")))
}

// Each role has its own rights and no others.
func TestEachRoleHasItsOwnRights(t *testing.T) {
	g := NewWithT(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var house House
	failure := errors.New("that is all")
	finish := make(chan struct{})
	ended := make(chan error, 1)
	dir := t.TempDir()
	go func() {
		ended <- Run(ctx, Options{Dir: dir, AdvertiseAddress: "127.0.0.1", Output: &bytes.Buffer{}, Processes: func(_ context.Context, h House) ([]Process, error) {
			house = h
			return []Process{{Name: "probe", Run: func(_ context.Context, ready func()) error {
				ready()
				<-finish
				return failure
			}}}, nil
		}})
	}()
	waitReady(g, dir, os.Getpid())
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "any"}}
	var secrets corev1.SecretList
	manager, err := client.New(house.Manager, client.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(manager.Create(ctx, secret.DeepCopy())).To(Succeed())
	g.Expect(manager.List(ctx, &secrets)).To(Satisfy(apierrors.IsForbidden), "Secrets are never listed")
	depot, err := client.New(house.Depot, client.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(depot.Get(ctx, client.ObjectKeyFromObject(secret), secret)).To(Satisfy(apierrors.IsForbidden))
	console, err := client.New(house.Console, client.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(console.List(ctx, &corev1.PodList{})).To(Satisfy(apierrors.IsForbidden))

	close(finish)
	g.Eventually(ended).WithTimeout(30*time.Second).Should(Receive(MatchError(failure)), "a process that fails ends all")
	g.Expect(processesOf(dir)).To(BeEmpty())
}

// waitReady passes over the file of a killed run: it names that run's process.
func waitReady(g *WithT, dir string, pid int) (ready Ready) {
	g.Eventually(func() error {
		content, err := os.ReadFile(filepath.Join(dir, "ready.json"))
		if err != nil {
			return err
		}
		if err := json.Unmarshal(content, &ready); err != nil {
			return err
		}
		if ready.PID != pid {
			return fmt.Errorf("process %d is not process %d", ready.PID, pid)
		}
		return nil
	}).WithTimeout(90 * time.Second).WithPolling(100 * time.Millisecond).Should(Succeed())
	return ready
}

func connect(g *WithT, ready Ready) client.Client {
	config, err := clientcmd.BuildConfigFromFlags("", ready.Kubeconfig)
	g.Expect(err).NotTo(HaveOccurred())
	c, err := client.New(config, client.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	return c
}

// processesOf lists the running programs that were given a path below dir.
func processesOf(dir string) (found []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(content), dir+"/") {
			found = append(found, file)
		}
	}
	return found
}
