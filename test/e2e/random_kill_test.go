// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// TestKilledAtRandomMoments ends everything as power cuts would, again and again, while revisions come and go. All the
// while a watcher on the hosts' own file systems demands that what is live is one whole release.
func TestKilledAtRandomMoments(t *testing.T) {
	w, g := shared, NewWithT(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	r := newRepository(t)
	const pages = 200
	for _, tag := range []string{"v1", "v2"} {
		files := map[string]string{"index.html": tag + "\n"}
		for i := range pages {
			files[fmt.Sprintf("page-%d.html", i)] = tag + "\n"
		}
		r.commit(tag, files)
	}
	w.service(t, "killed", r, "cat index.html > built.txt")
	w.release(t, "killed-0", "killed", "v1")
	w.succeeded(t, "killed-0")

	stop, torn := make(chan struct{}), make(chan string, 1)
	go func() { torn <- w.watchWhole("killed", pages, stop) }()
	tag := "v1"
	for round := 1; round <= 4; round++ {
		tag = map[string]string{"v1": "v2", "v2": "v1"}[tag]
		name := fmt.Sprintf("killed-%d", round)
		w.release(t, name, "killed", tag)
		after := time.NewTimer(time.Duration(random.IntN(6000)) * time.Millisecond)
		<-after.C
		w.kill()
		g.Expect(w.start()).To(Succeed())
		w.succeeded(t, name)
		w.live(t, "killed", "built.txt", tag+"\n")
	}
	close(stop)
	g.Expect(<-torn).To(BeEmpty())
	g.Expect(w.jobs(t, "killed")).To(BeNumerically("<=", 2), "each revision is built once")
}

// watchWhole reads what every host serves, over and over, until stop. It returns what it saw torn; "" is nothing.
func (w *world) watchWhole(service string, pages int, stop <-chan struct{}) string {
	for {
		select {
		case <-stop:
			return ""
		default:
		}
		for n := range w.hosts {
			current := w.onHost(n, "srv/www/"+service+"/current")
			link, err := os.Readlink(current)
			if err != nil {
				return fmt.Sprintf("%s: no link: %v", w.hosts[n].Name, err)
			}
			// One release, by the name that the link had, so that a switch in between is no tear.
			release := filepath.Join(filepath.Dir(current), link)
			first, err := os.ReadFile(filepath.Join(release, "built.txt"))
			if os.IsNotExist(err) {
				if now, _ := os.Readlink(current); now != link {
					continue // switched and pruned meanwhile
				}
			}
			for i := 0; i < pages; i += 17 {
				page, err := os.ReadFile(filepath.Join(release, fmt.Sprintf("page-%d.html", i)))
				if err != nil || string(page) != string(first) {
					if now, _ := os.Readlink(current); now != link {
						break
					}
					return fmt.Sprintf("%s: page-%d.html is %q, built.txt %q: %v", w.hosts[n].Name, i, strings.TrimSpace(string(page)), strings.TrimSpace(string(first)), err)
				}
			}
		}
	}
}
