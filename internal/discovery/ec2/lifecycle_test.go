// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package ec2_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/internal/awstest"
	"github.com/slipway-dev/slipway/internal/discovery"
	"github.com/slipway-dev/slipway/internal/lifecycle"
)

func TestHooks(t *testing.T) {
	w := newWorld(t, time.Hour)
	w.cloud.AddHook("web", awstest.Hook{Name: "up", Timeout: 300 * time.Second})
	w.cloud.AddHook("web", awstest.Hook{Name: "down", Transition: awstest.Terminating, Timeout: time.Minute})
	id := w.cloud.Add(awstest.Instance{Group: "web", Lifecycle: "Pending:Wait"})

	hooks, err := w.sweeper.Hooks(t.Context(), tokyo, "web")
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(hooks).To(Equal(map[string]lifecycle.Hook{
		"up":   {Name: "up", Transition: lifecycle.Launching, Timeout: 300 * time.Second},
		"down": {Name: "down", Transition: lifecycle.Terminating, Timeout: time.Minute},
	}))
	w.Expect(w.sweeper.Heartbeat(t.Context(), tokyo, "web", "up", id)).To(Succeed())
	w.Expect(w.cloud.Heartbeats(id, "up")).To(Equal(1))
	w.Expect(w.sweeper.Complete(t.Context(), tokyo, "web", "up", id, lifecycle.Continue)).To(Succeed())
	w.Expect(w.cloud.Actions()).To(Equal([]awstest.Action{{Instance: id, Hook: "up", Result: "CONTINUE"}}))
	w.Expect(w.sweeper.Complete(t.Context(), tokyo, "web", "up", id, lifecycle.Abandon)).To(MatchError(lifecycle.ErrNoAction))
	w.Expect(w.sweeper.Heartbeat(t.Context(), tokyo, "web", "up", id)).To(MatchError(lifecycle.ErrNoAction))
}

// A call that AWS refuses says which right is missing, and where.
func TestHooksThatMayNotBeCompleted(t *testing.T) {
	w := newWorld(t, time.Hour)
	w.cloud.AddHook("web", awstest.Hook{Name: "up"})
	id := w.cloud.Add(awstest.Instance{Group: "web", Lifecycle: "Pending:Wait"})
	w.cloud.Refuse("CompleteLifecycleAction", awstest.Denied, 1)
	err := w.sweeper.Complete(t.Context(), tokyo, "web", "up", id, lifecycle.Continue)
	w.Expect(err).To(MatchError(And(ContainSubstring("ap-northeast-1"), ContainSubstring("UnauthorizedOperation"))))
	w.Expect(w.cloud.Actions()).To(BeEmpty())
}

// The group does not list the instances of its warm pool: the sweep asks for them.
func TestWarmPoolsAreSwept(t *testing.T) {
	w := newWorld(t, 50*time.Millisecond)
	w.cloud.AddWarmPool("web", "Stopped")
	id := w.cloud.Add(awstest.Instance{Tags: role("blog"), Group: "web", Lifecycle: "Warmed:Pending:Wait"})
	state := func() string {
		for _, i := range w.blog().Instances {
			if i.ID == id {
				return i.Lifecycle
			}
		}
		return ""
	}
	w.Eventually(state, patience).Should(Equal("Warmed:Pending:Wait"))
	w.cloud.Change(id, func(i *awstest.Instance) { i.State, i.Lifecycle = "stopped", "Warmed:Stopped" })
	w.Eventually(func() bool {
		for _, i := range w.blog().Instances {
			if i.ID == id && i.State == discovery.Running {
				return true
			}
		}
		return false
	}, patience).Should(BeFalse())
}
