// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/delivery"
	"github.com/slipway-dev/slipway/test/hosts"
)

// A script that still runs for a stale leader can't switch once a newer order has left its fence.
func TestStaleScript(t *testing.T) {
	s := newSite(t, hosts.Options{})
	one, two := s.depot.publish(t, first), s.depot.publish(t, map[string]string{"index.php": "two"})
	stale := s.order(one)
	stale.Deploy.Hooks.BeforeSwitch = &v1alpha1.HostHook{Script: "echo >/tmp/waiting; while [ ! -e /tmp/go ]; do sleep 0.05; done"}
	ended := make(chan error, 1)
	go func() {
		_, err := s.pool.Deliver(context.Background(), s.reach, stale, nil)
		ended <- err
	}()
	s.Eventually(func() string { return s.shell("ls /tmp") }, "20s", "50ms").Should(ContainSubstring("waiting"))
	newer := s.order(two)
	var once sync.Once
	result, err := s.pool.Deliver(context.Background(), s.reach, newer, func(step string) {
		if step == "Lock" { // its fence is left; now the stale one goes on
			once.Do(func() { go s.shell("touch /tmp/go") })
		}
	})
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(result.Observation.Digest).To(Equal(two))
	var failure *delivery.Failure
	s.Expect(errors.As(<-ended, &failure)).To(BeTrue())
	s.Expect(failure.Reason).To(Equal(v1alpha1.ReasonFencedOff))
	s.Expect(failure.HostFence).To(Equal(newer.Fence))
	s.Expect(failure.Switched).To(BeFalse())
	s.Expect(s.probe().Digest).To(Equal(two))
}

// The same order twice at once ends once, in the same state for both.
func TestSameOrderTwiceAtOnce(t *testing.T) {
	s := newSite(t, hosts.Options{})
	order := s.order(s.depot.publish(t, first))
	order.Deploy.Hooks.AfterSwitch = &v1alpha1.HostHook{Script: "echo ran >>/tmp/after"}
	var both sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		both.Go(func() { _, errs[i] = s.pool.Deliver(context.Background(), s.reach, order, nil) })
	}
	both.Wait()
	s.Expect(errs).To(HaveEach(BeNil()))
	s.Expect(s.shell("cat /tmp/after")).To(Equal("ran\n"))
	s.Expect(s.shell("ls /var/www/blog/releases | wc -l")).To(Equal("1\n"))
}

// Of two Services that claim one path at once, one gets it and the other is told whose it is.
func TestOnePathTwoServices(t *testing.T) {
	s := newSite(t, hosts.Options{})
	order := s.order(s.depot.publish(t, first))
	errs := make([]error, 4)
	var all sync.WaitGroup
	for i := range errs {
		order := order
		order.Owner.Service = v1alpha1.UID("5f6c1a5e-0000-4000-8000-00000000001" + string(rune('0'+i)))
		all.Go(func() { _, errs[i] = s.pool.Deliver(context.Background(), s.reach, order, nil) })
	}
	all.Wait()
	won := 0
	for _, err := range errs {
		var failure *delivery.Failure
		if !errors.As(err, &failure) {
			s.Expect(err).NotTo(HaveOccurred())
			won++
			continue
		}
		s.Expect(failure.Reason).To(Or(Equal(v1alpha1.ReasonForeignOwner), Equal(v1alpha1.ReasonExistingContent)))
	}
	s.Expect(won).To(Equal(1))
}

// uid 0 under another name than root is refused: whoever says "deploy" does not mean root.
func TestRootRefused(t *testing.T) {
	s := newSite(t, hosts.Options{})
	order := s.order(s.depot.publish(t, first))
	_, err := s.host.Shell(context.Background(), "root", "sed 's/^deploy:x:3001:/deploy:x:0:/' /etc/passwd >/tmp/p && cat /tmp/p >/etc/passwd")
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(s.refuse(order, v1alpha1.ReasonLoginRefused).Terminal).To(BeTrue())
	s.Expect(s.host.Path("/var/www/blog")).NotTo(BeADirectory())
}
