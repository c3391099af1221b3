// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/delivery"
	"github.com/slipway-dev/slipway/test/hosts"
)

// migration is a hook that runs once per Release.
func migration(id, script string) delivery.Once {
	return delivery.Once{
		ID: id, Name: v1alpha1.HookBeforeRollout, PreviousCommit: "before",
		Hook: v1alpha1.ReleaseHook{Script: script, Timeout: metav1.Duration{Duration: 20 * time.Second}},
	}
}

func (s *site) once(order delivery.Order, once delivery.Once) delivery.OnceResult {
	result, err := s.pool.RunOnce(context.Background(), s.reach, order, once, func() {})
	s.ExpectWithOffset(1, err).NotTo(HaveOccurred())
	return result
}

// A hook runs in the new release, which nobody serves by that, and whoever asks again is told how it went the first time.
func TestOnceHooks(t *testing.T) {
	s := newSite(t, hosts.Options{})
	one, two := s.depot.publish(t, first), s.depot.publish(t, map[string]string{"index.php": "two"})
	s.deliver(s.order(one))
	order := s.order(two)
	s.fence--
	order.Fence-- // what the host was ordered last; it is ordered nothing by a hook
	order.Commit, order.Release = "decaf", "blog-2"

	ran := s.once(order, migration("a.BeforeRollout", "echo ran >>/tmp/ran\npwd; cat index.php; readlink wp-config.php\nprintf '%s ' 'a \"b\" \\c' $SLIPWAY_COMMIT $SLIPWAY_PREVIOUS_COMMIT $SLIPWAY_SERVICE"))
	s.Expect(ran).To(Equal(delivery.OnceResult{State: v1alpha1.HookSucceeded, Message: "ended well",
		Output: "/var/www/blog/releases/" + two[7:] + "\ntwo/var/www/blog/shared/wp-config.php\na \"b\" \\c decaf before blog "}))
	s.Expect(s.probe().Digest).To(Equal(one))
	s.Expect(s.once(order, migration("a.BeforeRollout", "echo ran >>/tmp/ran"))).To(Equal(ran), "asked again")
	s.Expect(s.shell("cat /tmp/ran")).To(Equal("ran\n"))

	failed := s.once(order, migration("b.BeforeRollout", "seq 1 99999; echo the last word >&2; exit 3"))
	s.Expect(failed.State).To(Equal(v1alpha1.HookFailed))
	s.Expect(failed.Message).To(Equal("it ended with exit code 3"))
	s.Expect(failed.Output).To(HaveSuffix("99998\n99999\nthe last word"))
	s.Expect(len(failed.Output)).To(BeNumerically("<=", 4096))
	s.Expect(s.once(order, migration("b.BeforeRollout", "true"))).To(Equal(failed), "a hook that failed does not run again")

	late := migration("c.BeforeRollout", "echo begun; sleep 303")
	late.Hook.Timeout.Duration = time.Second
	s.Expect(s.once(order, late)).To(Equal(delivery.OnceResult{State: v1alpha1.HookFailed, Message: "it did not end within 1s and was killed", Output: "begun"}))

	forbidden := migration("d.BeforeRollout", "echo ran >>/tmp/ran")
	forbidden.Forbidden = true
	s.Expect(s.once(order, forbidden).State).To(Equal(v1alpha1.HookCanceled))
	s.Expect(s.once(order, migration("d.BeforeRollout", "echo ran >>/tmp/ran")).State).To(Equal(v1alpha1.HookCanceled), "who asked before and comes late")
	s.Expect(s.shell("cat /tmp/ran")).To(Equal("ran\n"))

	// What the hook needed is there: the delivery takes it.
	pulls := s.depot.pulls.Load()
	s.deliver(s.order(two))
	s.Expect(s.depot.pulls.Load()).To(Equal(pulls))
}

// The claim comes before the hook, and outlives it: a host that was switched off meanwhile does not begin again.
func TestOnceHookIsNotBegunTwice(t *testing.T) {
	s := newSite(t, hosts.Options{})
	digest := s.depot.publish(t, first)
	order := s.order(digest)
	order.Fence, s.fence = 0, 0
	var begun atomic.Int32
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		_, err := s.pool.RunOnce(ctx, s.reach, order, migration("a.BeforeRollout", "echo ran >>/tmp/ran; sleep 3; echo over >>/tmp/ran"), func() { begun.Add(1) })
		ended <- err
	}()
	s.Eventually(begun.Load, "20s").Should(BeEquivalentTo(1))
	s.Eventually(func() string { return s.shell("cat /tmp/ran 2>/dev/null || :") }, "10s").Should(Equal("ran\n"))
	cancel() // the manager ends; the hook goes on
	var failure *delivery.Failure
	s.Expect(<-ended).To(BeAssignableToTypeOf(failure))
	s.Expect(s.once(order, migration("a.BeforeRollout", "echo ran >>/tmp/ran"))).To(HaveField("State", v1alpha1.HookSucceeded), "whoever asks meanwhile waits for it")
	s.Expect(s.shell("cat /tmp/ran")).To(Equal("ran\nover\n"))

	go func() {
		_, err := s.pool.RunOnce(t.Context(), s.reach, order, migration("b.BeforeRollout", "echo $$ >/tmp/pid; sleep 304"), func() {})
		ended <- err
	}()
	s.Eventually(func() string { return s.shell("cat /tmp/pid 2>/dev/null || :") }, "20s").ShouldNot(BeEmpty())
	// As if the power went: the script and the hook end at once.
	s.shell("for p in $(ps ax -o pid=,args= | sed -n 's/^ *\\([0-9]*\\) .*[I]FS= read -r n .*/\\1/p'); do kill -KILL $p; done; kill -KILL $(cat /tmp/pid) || :")
	s.Expect(<-ended).To(HaveField("Unknown", true))
	again := s.once(order, migration("b.BeforeRollout", "echo ran >>/tmp/ran"))
	s.Expect(again.State).To(Equal(v1alpha1.HookUnknown))
	s.Expect(again.Message).To(ContainSubstring("interrupted"))
	s.Expect(s.shell("cat /tmp/ran")).To(Equal("ran\nover\n"))
}

// What keeps a hook from beginning is told, and it may begin later.
func TestOnceHookThatCannotBegin(t *testing.T) {
	s := newSite(t, hosts.Options{})
	one, missing := s.depot.publish(t, first), "sha256:"+strings.Repeat("ab", 32)
	s.deliver(s.order(one))
	fail := func(order delivery.Order, id string) delivery.Failure {
		_, err := s.pool.RunOnce(context.Background(), s.reach, order, migration(id, "echo ran >>/tmp/ran"), func() {})
		s.ExpectWithOffset(1, err).To(BeAssignableToTypeOf(&delivery.Failure{}))
		return *err.(*delivery.Failure) //nolint:errorlint // just asserted
	}
	order := s.order(missing)
	s.Expect(fail(order, "a.BeforeRollout")).To(And(HaveField("Reason", v1alpha1.ReasonDepotUnavailable), HaveField("Unknown", false)))
	order = s.order(one)
	order.Fence = 0
	s.Expect(fail(order, "a.BeforeRollout")).To(And(HaveField("Reason", v1alpha1.ReasonFencedOff), HaveField("Unknown", false)), "a leader of before")
	s.Expect(fail(s.order(one), "../a")).To(HaveField("Terminal", true))
	s.Expect(s.once(s.order(one), migration("a.BeforeRollout", "echo ran >>/tmp/ran")).State).To(Equal(v1alpha1.HookSucceeded))
	s.Expect(s.shell("cat /tmp/ran")).To(Equal("ran\n"))
}

// What was staged is not live, and the delivery that follows pulls nothing.
func TestStage(t *testing.T) {
	s := newSite(t, hosts.Options{})
	one, two := s.depot.publish(t, first), s.depot.publish(t, map[string]string{"index.php": "two"})
	s.deliver(s.order(one))
	order := s.order(two)
	result, err := s.pool.Stage(t.Context(), s.reach, order, nil)
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(result.Observation.Digest).To(Equal(one))
	s.Expect(result.BytesReceived).To(BeNumerically(">", 0))
	s.Expect(s.probe()).To(SatisfyAll(HaveField("Digest", one), HaveField("Held", ConsistOf(one, two)), HaveField("Drift", BeNil())))
	pulls := s.depot.pulls.Load()
	s.Expect(s.deliver(order).BytesReceived).To(BeZero())
	s.Expect(s.depot.pulls.Load()).To(Equal(pulls))
	order.Fence--
	_, err = s.pool.Stage(t.Context(), s.reach, order, nil)
	s.Expect(err).To(HaveField("Reason", v1alpha1.ReasonFencedOff), "a leader of before")
}
