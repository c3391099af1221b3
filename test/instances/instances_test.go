// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package instances_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/internal/awstest"
	"github.com/slipway-dev/slipway/test/instances"
)

// world is a cloud with a subnet of real instances.
type world struct {
	*WithT
	t      *testing.T
	cloud  *awstest.Cloud
	subnet *instances.Subnet
	image  *instances.Image
	dir    string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if err := instances.Available(); err != nil {
		if os.Getenv("SLIPWAY_REQUIRE_ALL") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	w := &world{WithT: NewWithT(t), t: t, cloud: awstest.New(), dir: t.TempDir()}
	t.Cleanup(w.cloud.Close)
	var err error
	w.image, err = instances.Debian(t.Context())
	w.Expect(err).NotTo(HaveOccurred())
	w.subnet, err = instances.NewSubnet(instances.Options{Dir: w.dir, Metadata: func(l net.Listener, id string) (io.Closer, error) {
		return w.cloud.ServeMetadata(l, id, awstest.MetadataOptions{})
	}})
	w.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { w.Expect(w.subnet.Close()).To(Succeed()) })
	return w
}

// launch starts an instance and waits for cloud-init.
func (w *world) launch(image *instances.Image, userData string) *instances.Instance {
	w.t.Helper()
	address := w.subnet.Address()
	id := w.cloud.Add(awstest.Instance{PrivateIP: address, UserData: []byte(userData)})
	i, err := w.subnet.Launch(w.t.Context(), image, id, address)
	w.Expect(err).NotTo(HaveOccurred())
	w.t.Cleanup(func() {
		if w.t.Failed() {
			text, _ := os.ReadFile(i.Console())
			w.t.Logf("console of %s:\n%s", i.ID, text)
		}
	})
	w.ready(i)
	return i
}

func (w *world) ready(i *instances.Instance) {
	w.t.Helper()
	w.Expect(i.Ready(w.t.Context())).To(Succeed())
}

// shell runs a script on an instance and returns what it printed, without the last line's end.
func (w *world) shell(i *instances.Instance, script string) string {
	w.t.Helper()
	out, err := i.Shell(w.t.Context(), script)
	w.Expect(err).NotTo(HaveOccurred())
	return strings.TrimSpace(out)
}

const userData = `#cloud-boothook
#!/bin/sh
echo "$INSTANCE_ID $(cat /proc/sys/kernel/random/boot_id)" >>/var/log/boothook
mkdir -p /var/www/site/releases/one
cat /sys/class/dmi/id/board_asset_tag >/var/www/site/releases/one/index.html
ln -sfn releases/one /var/www/site/current
`

// An instance is set up by cloud-init alone, from user-data and metadata of its own, at every boot; a copy of its disk is another
// instance.
func TestInstancesBoot(t *testing.T) {
	w := newWorld(t)
	i := w.launch(w.image, userData)
	w.Expect(w.shell(i, "cloud-id")).To(Equal("aws"))
	w.Expect(w.shell(i, "systemctl is-system-running --wait")).To(Equal("running"), w.shell(i, "systemctl --failed"))
	w.Expect(w.shell(i, "hostname")).To(HavePrefix("ip-10-214-"))
	get := func(i *instances.Instance) func() (string, error) {
		return func() (string, error) {
			answer, err := (&http.Client{Timeout: time.Second}).Get("http://" + i.Address + "/")
			if err != nil {
				return "", err
			}
			defer answer.Body.Close()
			text, err := io.ReadAll(answer.Body)
			return strings.TrimSpace(string(text)), err
		}
	}
	w.Eventually(get(i), "20s").Should(Equal(i.ID), "nginx serves what user-data put there, on the instance's own address")
	console, err := os.ReadFile(i.Console())
	w.Expect(err).NotTo(HaveOccurred())

	// The image holds no host keys: cloud-init makes each instance's own.
	key := w.shell(i, "cat /etc/ssh/ssh_host_ed25519_key.pub")
	w.Expect(string(console)).To(ContainSubstring("BEGIN SSH HOST KEY KEYS"))
	w.Eventually(func() string { return banner(i.Address) }, "20s").Should(HavePrefix("SSH-2.0-OpenSSH"))

	before := w.shell(i, "cat /var/log/boothook")
	w.Expect(before).To(HavePrefix(i.ID + " "))
	w.Expect(i.Reboot(t.Context())).To(Succeed())
	w.ready(i)
	boots := strings.Split(w.shell(i, "cat /var/log/boothook"), "\n")
	w.Expect(boots).To(HaveLen(2), "the hook runs at every boot, and the disk is the same")
	w.Expect(boots[0]).To(Equal(before))
	w.Expect(boots[1]).NotTo(Equal(before), "another boot has another id")
	w.Expect(w.shell(i, "cat /etc/ssh/ssh_host_ed25519_key.pub")).To(Equal(key))

	baked, err := i.Bake(filepath.Join(w.dir, "baked"))
	w.Expect(err).NotTo(HaveOccurred())
	other := w.launch(baked, userData)
	w.Expect(w.shell(other, "tail -n 1 /var/log/boothook")).To(HavePrefix(other.ID+" "), "cloud-init sees that it is another instance")
	w.Expect(w.shell(other, "cat /etc/ssh/ssh_host_ed25519_key.pub")).NotTo(Equal(key))
	w.Eventually(get(other), "20s").Should(Equal(other.ID))
}

// An instance has the machine's kernel and nothing else of it.
func TestInstancesChangeNothingOfTheMachine(t *testing.T) {
	w := newWorld(t)
	hostname, err := os.Hostname()
	w.Expect(err).NotTo(HaveOccurred())
	i := w.launch(w.image, userData)
	w.Expect(os.Hostname()).To(Equal(hostname))
	for _, script := range []string{"echo 1 >/proc/sys/kernel/sysrq", "mkdir /sys/fs/cgroup/../x", "ls " + w.dir, "echo 1 >/sys/class/net/lo/mtu"} {
		_, err := i.Shell(t.Context(), script)
		w.Expect(err).To(HaveOccurred(), script)
	}
	pid := i.PID()
	w.Expect(i.Terminate()).To(Succeed())
	w.Expect(i.PID()).To(BeZero())
	w.Expect(filepath.Join("/proc", strconv.Itoa(pid))).NotTo(BeAnExistingFile())
	w.Expect(w.subnet.Instance(i.ID)).To(BeNil())
}

func banner(address string) string {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "tcp", net.JoinHostPort(address, "22"))
	if err != nil {
		return ""
	}
	defer conn.Close()
	text := make([]byte, 64)
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	n, _ := conn.Read(text)
	return string(text[:n])
}
