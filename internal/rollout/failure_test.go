// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// fail has some hosts fail at a digest in one way.
func (w *world) fail(digest, how string, names ...string) *world {
	for _, name := range names {
		w.machines[name].fault = always(digest, how)
	}
	return w
}

// up and down switch hosts on and off.
func (w *world) down(names ...string) {
	for _, name := range names {
		w.say("%s dies", name)
		w.machines[name].up = false
	}
}

func (w *world) up(names ...string) {
	for _, name := range names {
		w.say("%s comes back", name)
		w.machines[name].up = true
	}
}

// sicken has hosts go bad by themselves.
func (w *world) sicken(names ...string) {
	for _, name := range names {
		w.say("%s goes bad", name)
		w.machines[name].broken = true
	}
}

func targets(value intstr.IntOrString) v1alpha1.RolloutStep {
	return v1alpha1.RolloutStep{Targets: &value}
}

func pause(d time.Duration) v1alpha1.RolloutStep {
	return v1alpha1.RolloutStep{Pause: &v1alpha1.RolloutPause{Duration: metav1.Duration{Duration: d}}}
}

// with changes a world before it runs.
func (w *world) with(change func(*world)) *world {
	change(w)
	return w
}

func rollback(w *world) { w.policy = v1alpha1.OnFailureRollback }

// failing are simulations of Releases that go wrong.
var failing = []simulation{
	{"a-rollback-counts-no-host-that-fell-behind-before", func() *world {
		w := newWorld(5, number(2)).running("v1").with(rollback)
		w.strategy.MaxFailed = number(1)
		w.down("web-05")
		w.release("v2")
		w.run(60)
		w.fail("v3", "hook", "web-01", "web-02")
		w.release("v3")
		return w.run(60)
	}},
	{"the-first-host-fails-and-goes-back", func() *world {
		w := newWorld(4, number(1)).running("v1").with(rollback)
		w.fail("v2", "hook", w.names()...)
		w.release("v2")
		return w.run(60)
	}},
	{"an-unhealthy-host-is-a-verdict-and-goes-back-at-once", func() *world {
		w := newWorld(4, number(1)).running("v1").with(rollback)
		w.fail("v2", "health", w.names()...)
		w.release("v2")
		return w.run(60)
	}},
	{"a-release-that-fails-late-returns-every-host-in-waves", func() *world {
		w := newWorld(8, percent("25%")).running("v1").with(rollback)
		w.fail("v2", "hook", "web-07")
		w.release("v2")
		return w.run(80)
	}},
	{"one-host-fails-within-the-budget-and-is-left-behind", func() *world {
		w := newWorld(6, number(2)).running("v1").with(rollback)
		w.strategy.MaxFailed = number(1)
		w.fail("v2", "pull", "web-02")
		w.release("v2")
		w.run(40)
		w.say("web-02 is mended")
		w.machines["web-02"].fault = nil
		return w.run(20)
	}},
	{"two-hosts-fail-where-one-may", func() *world {
		w := newWorld(8, number(3)).running("v1").with(rollback)
		w.strategy.MaxFailed = number(1)
		w.fail("v2", "hook", "web-02", "web-05")
		w.release("v2")
		return w.run(80)
	}},
	{"a-share-of-the-hosts-may-fail", func() *world {
		w := newWorld(10, number(4)).running("v1").with(rollback)
		w.strategy.MaxFailed = percent("25%")
		w.fail("v2", "pull", "web-03", "web-08")
		w.release("v2")
		return w.run(60)
	}},
	{"stop-leaves-all-hosts-where-they-are", func() *world {
		w := newWorld(4, number(1)).running("v1")
		w.policy = v1alpha1.OnFailureStop
		w.fail("v2", "hook", "web-02")
		w.release("v2")
		return w.run(60)
	}},
	{"a-first-release-that-fails-has-nothing-to-go-back-to", func() *world {
		w := newWorld(3, number(1)).with(rollback)
		w.run(1)
		w.fail("v1", "hook", "web-01")
		w.release("v1")
		return w.run(60)
	}},
	{"a-dead-host-within-the-budget-is-skipped-and-caught-up", func() *world {
		w := newWorld(5, number(2)).running("v1").with(rollback)
		w.strategy.MaxFailed = number(1)
		w.down("web-03")
		w.run(1)
		w.release("v2")
		w.run(60)
		w.up("web-03")
		return w.run(20)
	}},
	{"a-dead-host-beyond-the-budget-holds-the-others-until-it-is-back", func() *world {
		w := newWorld(5, number(2)).running("v1").with(rollback)
		w.down("web-03")
		w.run(26)
		w.release("v2")
		w.run(4)
		w.up("web-03")
		return w.run(40)
	}},
	{"a-host-that-dies-of-the-release-fails-it", func() *world {
		w := newWorld(5, number(2)).running("v1").with(rollback)
		w.release("v2")
		w.run(2)
		w.down("web-01")
		w.run(40)
		w.up("web-01")
		return w.run(20)
	}},
	{"a-host-that-misses-two-releases-gets-the-second", func() *world {
		w := newWorld(4, number(2)).running("v1").with(rollback)
		w.strategy.MaxFailed = number(1)
		w.down("web-04")
		w.run(26)
		w.release("v2")
		w.run(30)
		w.release("v3")
		w.run(2)
		w.up("web-04")
		return w.run(40)
	}},
	{"hosts-that-never-answered-are-left-out-of-a-first-release", func() *world {
		w := newWorld(4, number(2)).with(rollback)
		w.strategy.MaxFailed = number(1)
		w.down("web-02")
		w.run(26)
		w.release("v1")
		w.run(20)
		w.up("web-02")
		return w.run(20)
	}},
	{"a-host-goes-back-when-it-answers-again", func() *world {
		w := newWorld(5, number(2)).running("v1").with(rollback)
		w.fail("v2", "hook", "web-03")
		w.release("v2")
		w.run(2)
		w.down("web-02")
		w.run(60)
		w.up("web-02")
		return w.run(20)
	}},
	{"a-host-that-fails-to-go-back-is-named", func() *world {
		w := newWorld(4, number(2)).running("v1").with(rollback)
		w.release("v2")
		w.run(3)
		w.fail("v2", "hook", "web-03")
		w.fail("v1", "pull", "web-01")
		w.run(60)
		w.say("web-01 is mended")
		w.machines["web-01"].fault = nil
		return w.run(20)
	}},
	{"the-rolled-back-release-comes-back-only-for-a-person", func() *world {
		w := newWorld(3, number(1)).running("v1").with(rollback)
		w.fail("v2", "hook", "web-01")
		w.release("v2")
		w.run(60)
		w.say("web-01 is mended; web-04 appears; web-02 is made anew")
		w.machines["web-01"].fault = nil
		w.add("web-04")
		w.add("web-02")
		w.run(20)
		w.say("a person releases v2 again")
		w.release("v2")
		return w.run(60)
	}},
	{"a-newer-release-takes-over-from-a-rollback", func() *world {
		w := newWorld(6, number(1)).running("v1").with(rollback)
		w.fail("v2", "hook", "web-04")
		w.release("v2")
		w.run(13)
		w.stop(v1alpha1.ReasonSuperseded)
		w.run(4)
		w.release("v3")
		return w.run(60)
	}},
	{"the-controller-dies-in-the-middle-of-a-rollback", func() *world {
		w := newWorld(6, number(3)).running("v1").with(rollback)
		w.fail("v2", "hook", "web-05")
		w.release("v2")
		w.run(9)
		w.crash = func(int) int { w.crash = nil; return 1 }
		return w.run(60)
	}},
	{"newcomers-during-a-rollback-get-the-current-release", func() *world {
		w := newWorld(4, number(1)).running("v1").with(rollback)
		w.fail("v2", "hook", "web-03")
		w.release("v2")
		w.run(13)
		w.join("web-05")
		w.leave("web-01")
		return w.run(60)
	}},
	{"a-rollback-under-a-drift-storm-goes-on", func() *world {
		w := newWorld(6, number(2)).running("v1").with(rollback)
		w.fail("v2", "hook", "web-04")
		w.release("v2")
		w.run(8)
		for _, name := range []string{"web-01", "web-02", "web-05", "web-06"} {
			w.machines[name].drifted = true
		}
		return w.run(60)
	}},
	{"the-same-artifact-released-again-has-nothing-to-go-back-to", func() *world {
		w := newWorld(3, number(1)).running("v1").with(rollback)
		w.machines["web-02"].drifted = true
		w.run(1)
		w.fail("v1", "hook", "web-02")
		w.release("v1")
		return w.run(60)
	}},
}
