// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// stepped are simulations of rollouts in steps, with hosts that bake, over zones.
var stepped = []simulation{
	{"one-canary-then-a-pause-then-the-rest", func() *world {
		w := newWorld(6, number(2)).running("v1").with(rollback)
		w.strategy.Steps = []v1alpha1.RolloutStep{targets(number(1)), pause(30 * time.Second)}
		w.release("v2")
		return w.run(80)
	}},
	{"shares-of-the-hosts-step-by-step", func() *world {
		w := newWorld(10, number(3)).running("v1").with(rollback)
		w.strategy.Steps = []v1alpha1.RolloutStep{targets(percent("10%")), pause(20 * time.Second), targets(percent("45%")), pause(10 * time.Second)}
		w.release("v2")
		return w.run(80)
	}},
	{"a-canary-that-fails-costs-one-host", func() *world {
		w := newWorld(10, number(5)).running("v1").with(rollback)
		w.strategy.Steps = []v1alpha1.RolloutStep{targets(number(1)), pause(time.Hour)}
		w.fail("v2", "hook", w.names()...)
		w.release("v2")
		return w.run(80)
	}},
	{"a-canary-that-fails-within-the-budget-has-another-in-its-place", func() *world {
		w := newWorld(6, number(3)).running("v1").with(rollback)
		w.strategy.MaxFailed = number(2)
		w.strategy.Steps = []v1alpha1.RolloutStep{targets(number(1)), pause(20 * time.Second)}
		w.fail("v2", "hook", "web-01")
		w.release("v2")
		return w.run(80)
	}},
	{"canaries-that-fail-come-one-by-one", func() *world {
		w := newWorld(6, number(3)).running("v1").with(rollback)
		w.strategy.MaxFailed = number(1)
		w.strategy.Steps = []v1alpha1.RolloutStep{targets(number(1)), pause(20 * time.Second)}
		w.fail("v2", "hook", w.names()...)
		w.release("v2")
		return w.run(80)
	}},
	{"a-canary-goes-bad-during-the-pause", func() *world {
		w := newWorld(5, number(2)).running("v1").with(rollback)
		w.strategy.Steps = []v1alpha1.RolloutStep{targets(number(1)), pause(time.Minute)}
		w.release("v2")
		w.run(8)
		w.sicken("web-01")
		return w.run(40)
	}},
	{"a-canary-leaves-during-the-pause", func() *world {
		w := newWorld(4, number(1)).running("v1").with(rollback)
		w.strategy.Steps = []v1alpha1.RolloutStep{targets(number(1)), pause(time.Minute)}
		w.release("v2")
		w.run(6)
		w.leave("web-01")
		w.join("web-05")
		return w.run(60)
	}},
	{"the-group-grows-during-a-canary", func() *world {
		w := newWorld(4, number(2)).running("v1").with(rollback)
		w.strategy.Steps = []v1alpha1.RolloutStep{targets(percent("25%")), pause(40 * time.Second)}
		w.release("v2")
		w.run(5)
		w.join("web-05", "web-06", "web-07", "web-08")
		return w.run(60)
	}},
	{"abort-during-a-pause-leaves-the-canary", func() *world {
		w := newWorld(4, number(1)).running("v1").with(rollback)
		w.strategy.Steps = []v1alpha1.RolloutStep{targets(number(1)), pause(time.Hour)}
		w.release("v2")
		w.run(6)
		w.stop(v1alpha1.ReasonAborted)
		return w.run(20)
	}},
	{"a-person-pauses-within-a-step", func() *world {
		w := newWorld(5, number(1)).running("v1").with(rollback)
		w.strategy.Steps = []v1alpha1.RolloutStep{targets(number(2)), pause(20 * time.Second)}
		w.release("v2")
		w.run(3)
		w.say("paused")
		w.paused = true
		w.run(6)
		w.say("resumed")
		w.paused = false
		return w.run(60)
	}},
	{"a-first-release-goes-through-its-steps-too", func() *world {
		w := newWorld(4, number(1)).with(rollback)
		w.strategy.Steps = []v1alpha1.RolloutStep{targets(number(1)), pause(20 * time.Second)}
		w.run(1)
		w.release("v1")
		return w.run(40)
	}},
	{"a-pause-before-anything-moves", func() *world {
		w := newWorld(3, number(1)).running("v1").with(rollback)
		w.strategy.Steps = []v1alpha1.RolloutStep{pause(20 * time.Second)}
		w.release("v2")
		return w.run(40)
	}},
	{"a-canary-waits-until-somebody-else-has-approved", func() *world {
		w := newWorld(4, number(1)).running("v1").with(rollback)
		w.strategy.Steps = []v1alpha1.RolloutStep{targets(number(1)), {Pause: &v1alpha1.RolloutPause{UntilApproved: true}}}
		w.strategy.Approvals.RequestedBy = "alice"
		approve := func(by string) {
			w.say("%s approves", by)
			w.strategy.Approvals.Given = append(w.strategy.Approvals.Given, v1alpha1.Approval{Gate: "Step-2", By: by})
		}
		w.release("v2")
		w.run(30)
		approve("alice")
		w.run(10)
		approve("bob")
		return w.run(40)
	}},
	{"each-batch-bakes", func() *world {
		w := newWorld(6, number(2)).running("v1").with(rollback)
		w.strategy.BakeTime = 20 * time.Second
		w.release("v2")
		return w.run(80)
	}},
	{"a-host-that-goes-bad-in-its-bake-time-fails-the-release", func() *world {
		w := newWorld(6, number(2)).running("v1").with(rollback)
		w.strategy.BakeTime = 30 * time.Second
		w.release("v2")
		w.run(4)
		w.sicken("web-02")
		return w.run(40)
	}},
	{"a-host-that-goes-bad-in-the-last-bake-time-fails-the-release", func() *world {
		w := newWorld(3, number(1)).running("v1").with(rollback)
		w.strategy.BakeTime = 20 * time.Second
		w.release("v2")
		w.run(18)
		w.sicken("web-01")
		return w.run(60)
	}},
	{"a-host-that-goes-bad-within-the-budget-stays-behind", func() *world {
		w := newWorld(4, number(2)).running("v1").with(rollback)
		w.strategy.BakeTime, w.strategy.MaxFailed = 20*time.Second, number(1)
		w.release("v2")
		w.run(4)
		w.sicken("web-01")
		return w.run(40)
	}},
	{"a-dead-host-catches-up-during-a-canary", func() *world {
		w := newWorld(5, number(3)).running("v1").with(rollback)
		w.strategy.MaxFailed = number(2)
		w.down("web-05")
		w.run(26)
		w.release("v2")
		w.run(30)
		w.strategy.Steps = []v1alpha1.RolloutStep{targets(number(1)), pause(time.Minute)}
		w.release("v3")
		w.run(3)
		w.up("web-05")
		return w.run(60)
	}},
	{"waves-are-spread-over-zones", func() *world {
		w := newWorld(9, number(3))
		for i, name := range w.names() {
			w.targets[name].Status.Instance = &v1alpha1.InstanceStatus{Zone: []string{"a", "a", "a", "a", "b", "b", "b", "c", "c"}[i]}
		}
		w.running("v1").with(rollback)
		w.release("v2")
		return w.run(40)
	}},
}
