// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package hosts_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/awstest"
	"github.com/slipway-dev/slipway/internal/boot"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/test/instances"
)

// account is a desk with a subnet of real instances: systemd, cloud-init and nginx are Debian's own.
type account struct {
	*machine
	subnet *instances.Subnet
	dir    string
	// known are the instances that the manager has heard of.
	known []string
}

func newAccount(t *testing.T) *account {
	t.Helper()
	if err := instances.Available(); err != nil {
		if os.Getenv("SLIPWAY_REQUIRE_ALL") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	a := &account{machine: &machine{}, dir: t.TempDir()}
	var err error
	a.subnet, err = instances.NewSubnet(instances.Options{Dir: a.dir, Metadata: func(l net.Listener, id string) (io.Closer, error) {
		return a.cloud.ServeMetadata(l, id, awstest.MetadataOptions{})
	}})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { NewWithT(t).Expect(a.subnet.Close()).To(Succeed()) })
	a.desk = newDeskAt(t, a.subnet.Gateway)
	return a
}

// release completes a Release of the Service whose hosts serve it with nginx: the manager orders it to those that it knows.
func (a *account) release(content string, sequence int64) {
	a.t.Helper()
	a.published("site", content, sequence, func(w *depot.Word) {
		w.Policies[0].PathPrefixes = []string{"/var/www"}
		w.Deploy["f1"] = v1alpha1.DeploySpec{Path: "/var/www/site", ServeUnits: []string{"nginx.service"}}
		for _, id := range a.known {
			w.Hosts = append(w.Hosts, depot.HostWord{ID: id, Digest: w.Current.Digest, Frozen: "f1", Fence: sequence + 1})
		}
	})
}

// launch starts an instance with our user-data, which waits for so many seconds at most.
func (a *account) launch(image *instances.Image, seconds string) *instances.Instance {
	a.t.Helper()
	text, err := boot.UserData(a.endpoint)
	a.Expect(err).NotTo(HaveOccurred())
	a.Expect(text).To(ContainSubstring("-gt 120 "))
	address := a.subnet.Address()
	id := a.cloud.Add(awstest.Instance{
		PrivateIP: address, Tags: map[string]string{"Role": "site"}, UserData: []byte(strings.Replace(text, "-gt 120 ", "-gt "+seconds+" ", 1)),
	})
	i, err := a.subnet.Launch(a.t.Context(), image, id, address)
	a.Expect(err).NotTo(HaveOccurred())
	a.t.Cleanup(func() {
		if a.t.Failed() {
			text, _ := os.ReadFile(i.Console())
			a.t.Logf("console of %s:\n%s\n%s", i.ID, text, a.said(i))
		}
	})
	return i
}

// said is cloud-init's log.
func (a *account) said(i *instances.Instance) string {
	text, _ := os.ReadFile(i.Path("/var/log/cloud-init-output.log"))
	return string(text)
}

// visitor asks an instance for its page all the time.
type visitor struct {
	mu   sync.Mutex
	seen map[string]int
	stop func()
}

func visit(t *testing.T, address string) *visitor {
	v := &visitor{seen: map[string]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	c := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			answer, err := c.Get("http://" + address + "/")
			if err != nil {
				continue
			}
			text, err := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if err == nil && answer.StatusCode == http.StatusOK {
				v.mu.Lock()
				v.seen[string(text)]++
				v.mu.Unlock()
			}
		}
	}()
	v.stop = func() { cancel(); <-ended }
	t.Cleanup(v.stop)
	return v
}

func (v *visitor) pages() map[string]int {
	v.mu.Lock()
	defer v.mu.Unlock()
	pages := map[string]int{}
	for page, n := range v.seen {
		pages[page] = n
	}
	return pages
}

// While the depot is up no visitor ever sees a release that was current before a host started: at the first boot, after a
// reboot across a completed Release, and on an instance of an image that was made of a live host.
func TestNobodySeesAnOldRelease(t *testing.T) {
	a := newAccount(t)
	debian, err := instances.Debian(t.Context())
	a.Expect(err).NotTo(HaveOccurred())
	a.release("one", 1)
	first := a.launch(debian, "120")
	v := visit(t, first.Address)
	a.Eventually(v.pages, 2*time.Minute).Should(HaveKey("one"))
	a.Expect(first.Ready(t.Context())).To(Succeed())
	v.stop()
	a.Expect(v.pages()).To(HaveLen(1))

	a.Expect(first.Shutdown(t.Context())).To(Succeed())
	a.known = []string{first.ID}
	a.release("two", 2)
	v = visit(t, first.Address)
	a.Expect(first.Boot(t.Context())).To(Succeed())
	a.Eventually(v.pages, 2*time.Minute).Should(HaveKeyWithValue("two", BeNumerically(">", 10)))
	a.Expect(first.Ready(t.Context())).To(Succeed())
	v.stop()
	a.Expect(v.pages()).To(HaveLen(1), "nginx waited for the release")

	baked, err := first.Bake(filepath.Join(a.dir, "baked"))
	a.Expect(err).NotTo(HaveOccurred())
	a.release("three", 3)
	second := a.launch(baked, "120")
	v = visit(t, second.Address)
	a.Eventually(v.pages, 2*time.Minute).Should(HaveKeyWithValue("three", BeNumerically(">", 10)))
	a.Expect(second.Ready(t.Context())).To(Succeed())
	v.stop()
	a.Expect(v.pages()).To(HaveLen(1), "what the image holds is never served")
	bindings := a.store.Bindings(t.Context(), 0)
	a.Expect(bindings).To(HaveLen(2))
	a.Expect(bindings[0].HostKey).NotTo(Equal(bindings[1].HostKey))
}

// Without the depot a host serves its last release, later than it would have, and gets the new one as soon as it can.
func TestWithoutTheDepotTheLastReleaseIsServed(t *testing.T) {
	a := newAccount(t)
	debian, err := instances.Debian(t.Context())
	a.Expect(err).NotTo(HaveOccurred())
	a.release("one", 1)
	i := a.launch(debian, "3")
	v := visit(t, i.Address)
	a.Eventually(v.pages, 2*time.Minute).Should(HaveKey("one"))
	v.stop()
	a.Expect(i.Ready(t.Context())).To(Succeed())
	a.stop()
	a.Expect(i.Reboot(t.Context())).To(Succeed())
	v = visit(t, i.Address)
	a.Eventually(v.pages, 2*time.Minute).Should(HaveKey("one"))
	a.Expect(a.said(i)).To(ContainSubstring("slipway: again in 2 s"))
}
