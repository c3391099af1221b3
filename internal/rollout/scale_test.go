// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// join has new hosts appear, with nothing on them.
func (w *world) join(names ...string) {
	w.say("new: %s", strings.Join(names, " "))
	for _, name := range names {
		w.machines[name] = &machine{up: true}
		w.add(name)
	}
}

// boot has new hosts appear that brought themselves to a revision before anybody looked at them.
func (w *world) boot(revision string, names ...string) {
	w.say("new, booted into %s: %s", revision, strings.Join(names, " "))
	for _, name := range names {
		w.machines[name] = &machine{up: true, running: revision, ordered: revision, fence: 1, switched: 1}
		w.add(name)
	}
}

// leave has hosts go, whatever is under way on them.
func (w *world) leave(names ...string) {
	w.say("gone: %s", strings.Join(names, " "))
	for _, name := range names {
		delete(w.targets, name)
	}
}

// scalings are rollouts in the middle of which hosts come and go.
var scalings = []simulation{
	{"a-host-changes-just-before-it-is-noted-that-it-runs-the-current-release", func() *world {
		w := newWorld(3, number(1)).running("v1")
		w.leave("web-01")
		w.say("its record is made anew")
		w.add("web-01")
		w.release("v2")
		w.check = func(_ Input, plan Plan) {
			for _, m := range plan.Members {
				if m.AsIs {
					w.say("somebody changes files of %s", m.Target)
					w.machines[m.Target].drifted = true
				}
			}
		}
		return w.run(60)
	}},
	{"a-newcomer-is-not-held-up-by-the-steps-of-what-is-current-already", func() *world {
		w := newWorld(4, number(1)).running("v1")
		w.strategy.Steps = []v1alpha1.RolloutStep{targets(number(4)), pause(time.Minute)}
		w.machines["web-01"].drifted, w.machines["web-02"].drifted = true, true
		w.run(4)
		w.release("v1")
		w.join("web-05")
		return w.run(60)
	}},
	{"scale-before-the-first-wave", func() *world {
		w := newWorld(4, number(1)).running("v1")
		w.release("v2")
		w.join("web-05", "web-06")
		w.leave("web-01", "web-03")
		return w.run(40)
	}},
	{"scale-while-a-wave-is-in-flight", func() *world {
		w := newWorld(4, number(2)).running("v1")
		w.release("v2")
		w.run(1)
		w.leave("web-01")
		w.join("web-05")
		return w.run(40)
	}},
	{"scale-between-two-waves", func() *world {
		w := newWorld(4, number(1)).running("v1")
		w.release("v2")
		w.run(2)
		w.leave("web-01", "web-04") // one that is done, and one that is not
		w.join("web-05")
		return w.run(40)
	}},
	{"scale-out-at-the-last-wave", func() *world {
		w := newWorld(2, number(1)).running("v1")
		w.release("v2")
		w.run(4)
		w.join("web-03")
		return w.run(40)
	}},
	{"scale-in-at-the-last-wave-completes-the-release", func() *world {
		w := newWorld(3, number(1)).running("v1")
		w.release("v2")
		w.run(5)
		w.leave("web-03")
		return w.run(40)
	}},
	{"scale-while-paused", func() *world {
		w := newWorld(4, number(1)).running("v1")
		w.release("v2")
		w.run(1)
		w.say("paused")
		w.paused = true
		w.join("web-05", "web-06")
		w.leave("web-02")
		w.run(10)
		w.say("resumed")
		w.paused = false
		return w.run(40)
	}},
	{"scale-while-a-release-is-stopped", func() *world {
		w := newWorld(4, number(2)).running("v1")
		w.release("v2")
		w.run(1)
		w.stop(v1alpha1.ReasonAborted)
		w.leave("web-01") // in flight: nobody waits for it
		w.join("web-05")
		w.run(10)
		w.say("the next Release")
		w.release("v3")
		return w.run(40)
	}},
	{"a-dead-host-that-leaves-lets-the-rollout-go-on", func() *world {
		w := newWorld(4, number(1)).running("v1")
		w.release("v2")
		w.run(1)
		w.say("web-01 dies")
		w.machines["web-01"].up = false
		w.run(4)
		w.leave("web-01")
		w.join("web-05")
		return w.run(40)
	}},
	{"a-host-that-fails-leaves-and-takes-its-failure-along", func() *world {
		w := newWorld(3, number(1)).running("v1")
		w.machines["web-01"].fault = always("v2", "hook")
		w.release("v2")
		w.run(5)
		w.leave("web-01")
		return w.run(40)
	}},
	{"scale-during-the-first-release-of-all", func() *world {
		w := newWorld(3, number(1))
		w.run(1)
		w.release("v1")
		w.run(1)
		w.leave("web-01")
		w.join("web-04")
		w.run(2)
		w.join("web-05")
		return w.run(40)
	}},
	{"a-first-release-that-was-stopped-reaches-no-newcomer", func() *world {
		w := newWorld(2, number(1))
		w.machines["web-02"].fault = always("v1", "hook")
		w.run(1)
		w.release("v1")
		w.run(4)
		w.stop(v1alpha1.ReasonProgressDeadlineExceeded)
		w.run(2)
		w.join("web-03")
		w.run(4)
		w.release("v2")
		return w.run(40)
	}},
	{"scaled-to-zero-and-back", func() *world {
		w := newWorld(3, number(1)).running("v1")
		w.release("v2")
		w.run(3)
		w.leave("web-01", "web-02", "web-03")
		w.run(3)
		w.join("web-04", "web-05")
		return w.run(40)
	}},
	{"every-host-is-replaced-during-a-rollout", func() *world {
		w := newWorld(3, number(1)).running("v1")
		w.release("v2")
		w.run(2)
		for _, pair := range [][2]string{{"web-01", "web-04"}, {"web-02", "web-05"}, {"web-03", "web-06"}} {
			w.leave(pair[0])
			w.join(pair[1])
			w.run(3)
		}
		return w.run(40)
	}},
	{"two-hosts-then-six-then-three", func() *world {
		w := newWorld(2, percent("25%")).running("v1")
		w.release("v2")
		w.run(1)
		w.join("web-03", "web-04", "web-05", "web-06")
		w.run(7)
		w.leave("web-02", "web-04", "web-06")
		return w.run(40)
	}},
	{"newcomers-that-boot-by-themselves-wait-for-no-budget", func() *world {
		w := newWorld(4, number(1)).running("v1")
		w.machines["web-04"].up = false
		w.release("v2")
		w.run(2)
		w.boot("v1", "web-05", "web-06")
		w.run(4)
		w.leave("web-04")
		return w.run(60)
	}},
	{"newcomers-that-serve-count-though-their-order-fails", func() *world {
		w := newWorld(2, number(1)).running("v1")
		w.release("v2")
		w.boot("v1", "web-03", "web-04")
		w.say("web-03 web-04 refuse four deliveries, whatever they are")
		tries := 0
		for _, name := range []string{"web-03", "web-04"} {
			w.machines[name].refuses = func() bool { tries++; return tries <= 8 }
		}
		return w.run(60)
	}},
	{"newcomers-that-are-still-booting-count-as-unavailable", func() *world {
		w := newWorld(4, percent("50%")).running("v1")
		w.release("v2")
		w.join("web-05", "web-06", "web-07", "web-08")
		for _, name := range []string{"web-05", "web-06", "web-07", "web-08"} {
			w.machines[name].up = false
		}
		w.run(4)
		w.say("they answer")
		for _, name := range []string{"web-05", "web-06", "web-07", "web-08"} {
			w.machines[name].up = true
		}
		return w.run(60)
	}},
	{"a-newcomer-that-never-answers-holds-the-rollout-until-its-deadline", func() *world {
		w := newWorld(4, number(1)).running("v1")
		w.release("v2")
		w.run(2)
		w.join("web-05")
		w.machines["web-05"].up = false
		w.run(6)
		w.stop(v1alpha1.ReasonProgressDeadlineExceeded)
		w.run(4)
		w.say("the next Release, without it")
		w.leave("web-05")
		w.release("v2")
		return w.run(40)
	}},
	{"a-newcomer-that-cannot-take-the-current-release-moves-on", func() *world {
		w := newWorld(3, number(1)).running("v1")
		w.release("v2")
		w.run(1)
		w.join("web-04")
		w.machines["web-04"].fault = always("v1", "pull")
		return w.run(40)
	}},
	{"a-host-that-is-forgotten-for-two-looks-goes-on-where-it-was", func() *world {
		w := newWorld(4, number(1)).running("v1")
		w.release("v2")
		w.run(4)
		w.leave("web-01", "web-03")
		w.run(1)
		w.say("seen again: web-01 web-03")
		w.add("web-01")
		w.add("web-03")
		return w.run(40)
	}},
	{"a-new-machine-under-the-name-of-a-member-is-new", func() *world {
		w := newWorld(4, number(1)).running("v1")
		w.release("v2")
		w.run(1)
		w.leave("web-01") // a member of the wave in flight
		w.join("web-01")
		return w.run(40)
	}},
	{"an-aborted-release-does-not-come-back-with-a-name", func() *world {
		w := newWorld(2, number(1)).running("v1")
		w.release("v2")
		w.run(2)
		w.stop(v1alpha1.ReasonAborted)
		w.run(4)
		w.leave("web-01") // the wave that brought v2 to it is on record still
		w.run(1)
		w.join("web-01")
		return w.run(20)
	}},
}

// A Release of the same artifact, delivered in another way, is not the newcomer's before its turn.
func TestANewcomerThatRunsBothGetsTheCurrentOne(t *testing.T) {
	g := NewWithT(t)
	rolling := record("v1")
	rolling.Frozen = "edited"
	for _, held := range []string{"", v1alpha1.ReasonPaused} {
		got, _ := Slot{Current: record("v1"), Rolling: rolling, Held: held}.Resolve(Host{Target: "web-01", Reachable: true, Available: true, Running: "v1"})
		g.Expect(got).To(Equal(record("v1")))
	}
}
