// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/internal/delivery"
	"github.com/slipway-dev/slipway/test/hosts"
)

func pemOf(block *pem.Block) []byte { return pem.EncodeToMemory(block) }

// Law 1: whenever everything on a host dies, what is live is one whole artifact, and the next delivery goes through.
func TestKilledAtAnyMoment(t *testing.T) {
	s := newSite(t, hosts.Options{})
	contents := map[string]string{}
	files := func(n int) map[string]string {
		all := map[string]string{}
		for i := range 60 {
			all[fmt.Sprintf("dir%d/file%d.php", i%7, i)] = fmt.Sprintf("content %d of %d", i, n*(i%3))
		}
		all["index.php"] = fmt.Sprint(n)
		return all
	}
	var digests []string
	for n := range 3 {
		digests = append(digests, s.depot.publish(t, files(n)))
		contents[digests[n]] = fmt.Sprint(n)
	}
	s.deliver(s.order(digests[0]))
	random := rand.New(rand.NewPCG(2026, 11))
	pool := s.newPool(t, delivery.Options{Handshake: 5 * time.Second})
	for round := range 12 {
		order := s.order(digests[(round+1)%3])
		after := time.Duration(random.IntN(700)) * time.Millisecond
		killed := make(chan struct{})
		time.AfterFunc(after, func() {
			defer close(killed)
			_, _ = s.host.Shell(context.Background(), "root", "pkill -KILL -u deploy")
		})
		_, err := pool.Deliver(context.Background(), s.reach, order, nil)
		<-killed
		seen := s.probe()
		s.Expect(seen.Drift).To(BeNil(), "killed after %s: %v", after, err)
		s.Expect(contents).To(HaveKey(seen.Digest))
		s.Expect(s.shell("cat /var/www/blog/current/index.php")).To(Equal(contents[seen.Digest]))
		s.Expect(seen.Fence).To(BeNumerically("<=", order.Fence))
		s.deliver(order)
		s.Expect(s.shell("cat /var/www/blog/current/index.php")).To(Equal(contents[order.Digest]))
	}
	s.Expect(s.shell("ls -d /dev/shm/slipway.* 2>/dev/null || :")).To(BeEmpty(), "what killed scripts left is gone")
}
