// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/internal/podrunner"
)

// removeNetwork takes a test's network and its rules away.
func removeNetwork(t *testing.T, engine *client.Client, name string) {
	t.Helper()
	for _, program := range []string{"iptables", "ip6tables"} {
		for exec.Command(program, "-w", "5", "-t", "raw", "-D", "PREROUTING", "-i", name, "-d", metadata[program], "-j", "DROP").Run() == nil {
			continue
		}
	}
	if err := engine.NetworkRemove(context.Background(), name); err != nil && !cerrdefs.IsNotFound(err) {
		t.Errorf("remove the network %s: %v", name, err)
	}
}

func command(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// A metadata service elsewhere or on this very machine answers containers until it is blocked, and not afterwards.
func TestBuildsDoNotReachTheMetadataService(t *testing.T) {
	needsEngine(t)
	if os.Geteuid() != 0 {
		if os.Getenv("SLIPWAY_REQUIRE_ALL") == "1" {
			t.Fatal("SLIPWAY_REQUIRE_ALL=1 and not root: a metadata service cannot be made")
		}
		t.Skip("only root can make a metadata service")
	}
	const address = "169.254.169.254"
	for name, serve := range map[string]func(t *testing.T){
		"elsewhere": func(t *testing.T) {
			command(t, "ip", "netns", "add", "slw-md")
			t.Cleanup(func() { command(t, "ip", "netns", "del", "slw-md") })
			command(t, "ip", "link", "add", "slw-md0", "type", "veth", "peer", "name", "slw-md1", "netns", "slw-md")
			t.Cleanup(func() { command(t, "ip", "link", "del", "slw-md0") })
			command(t, "ip", "link", "set", "slw-md0", "up")
			command(t, "ip", "route", "add", address+"/32", "dev", "slw-md0")
			for _, args := range []string{"addr add " + address + "/32 dev slw-md1", "link set slw-md1 up", "route add default dev slw-md1"} {
				command(t, append([]string{"ip", "-n", "slw-md"}, strings.Fields(args)...)...)
			}
		},
		"here": func(t *testing.T) {
			command(t, "ip", "addr", "add", address+"/32", "dev", "lo")
			t.Cleanup(func() { command(t, "ip", "addr", "del", address+"/32", "dev", "lo") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			engine, err := newEngine("")
			g.Expect(err).NotTo(HaveOccurred())
			r := &Runner{Options: Options{Network: "slw-md-test"}, engine: engine}
			t.Cleanup(func() { removeNetwork(t, engine, r.Network) })
			serve(t)
			bridge, err := r.ensureNetwork(t.Context())
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(bridge).To(Equal(r.Network))

			ping := func(seconds string) int64 {
				return exitCode(t, engine, r.Network, "ping", "-c1", "-W"+seconds, address)
			}
			g.Expect(ping("10")).To(BeZero(), "without the rule it is reachable")
			for range 2 {
				g.Expect(r.ensureNetwork(t.Context())).To(Equal(bridge))
				g.Expect(blockMetadata(t.Context(), bridge)).To(Succeed())
			}
			g.Expect(ping("1")).NotTo(BeZero())
			g.Expect(strings.Count(command(t, "iptables", "-w", "5", "-t", "raw", "-S"), "-i "+bridge+" ")).To(Equal(1))
			g.Expect(exitCode(t, engine, r.Network, "sh", "-c", "! ip -6 addr | grep -q 'scope global'")).To(BeZero(), "there is no IPv6")
		})
	}
}

// exitCode runs a command in a container on the network.
func exitCode(t *testing.T, engine *client.Client, network string, args ...string) int64 {
	t.Helper()
	g := NewWithT(t)
	made, err := engine.ContainerCreate(t.Context(), &container.Config{Image: busybox, Cmd: args},
		&container.HostConfig{NetworkMode: container.NetworkMode(network)}, nil, nil, "")
	g.Expect(err).NotTo(HaveOccurred())
	defer func() {
		g.Expect(engine.ContainerRemove(context.Background(), made.ID, container.RemoveOptions{Force: true})).To(Succeed())
	}()
	ended, failed := engine.ContainerWait(t.Context(), made.ID, container.WaitConditionNextExit)
	g.Expect(engine.ContainerStart(t.Context(), made.ID, container.StartOptions{})).To(Succeed())
	select {
	case result := <-ended:
		return result.StatusCode
	case err := <-failed:
		t.Fatal(err)
	}
	return -1
}

// Without iptables builds run, and Node and Event say what that means.
func TestWithoutIptablesTheNodeSaysSo(t *testing.T) {
	needsEngine(t)
	path := os.Getenv("PATH")
	t.Setenv("PATH", t.TempDir())
	runner(t, "open", t.TempDir())
	t.Cleanup(func() { _ = os.Setenv("PATH", path) }) // the runner's clean-up needs it
	w := newWorld(t, "open")
	want := SatisfyAll(ContainSubstring("nothing keeps builds from a cloud's metadata service at 169.254.169.254"),
		ContainSubstring("install iptables"))
	w.Eventually(func(g Gomega) {
		node, err := w.kube.CoreV1().Nodes().Get(t.Context(), "open", metav1.GetOptions{})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(node.Status.Conditions).To(ContainElement(SatisfyAll(HaveField("Type", podrunner.ConditionMetadataBlocked),
			HaveField("Status", corev1.ConditionFalse), HaveField("Reason", podrunner.ReasonMetadataReachable), HaveField("Message", want))))
		list, err := w.kube.EventsV1().Events("default").List(t.Context(), metav1.ListOptions{FieldSelector: "regarding.name=open"})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(list.Items).To(ContainElement(SatisfyAll(HaveField("Reason", podrunner.ReasonMetadataReachable), HaveField("Note", want))))
	}, "15s", "100ms").Should(Succeed())
	w.create(t, "all-the-same", nil)
	w.ends(t, "all-the-same", batchv1.JobComplete)
}
