// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden logs anew")

func percent(text string) intstr.IntOrString { return intstr.FromString(text) }

func number(n int) intstr.IntOrString { return intstr.FromInt32(int32(n)) }

// always fails the delivery of one digest in one way.
func always(digest, how string) func(string) string {
	return func(d string) string {
		if d == digest {
			return how
		}
		return ""
	}
}

// simulation is a whole rollout. Its log is read by people: testdata/<name>.log.
type simulation struct {
	name string
	run  func() *world
}

var simulations = []simulation{
	{"first-release-moves-all-at-once", func() *world {
		w := newWorld(4, percent("25%"))
		w.run(1)
		w.release("v1")
		return w.run(20)
	}},
	{"a-quarter-at-a-time", func() *world {
		w := newWorld(8, percent("25%")).running("v1")
		w.release("v2")
		return w.run(40)
	}},
	{"a-percentage-rounds-down-to-at-least-one", func() *world {
		w := newWorld(3, percent("25%")).running("v1")
		w.release("v2")
		return w.run(40)
	}},
	{"concurrency-bounds-a-first-release", func() *world {
		w := newWorld(6, percent("25%"))
		w.strategy.Concurrency = 2
		w.run(1)
		w.release("v1")
		return w.run(40)
	}},
	{"a-host-that-was-down-before-counts", func() *world {
		w := newWorld(4, number(1)).running("v1")
		w.machines["web-02"].up = false
		w.run(1)
		w.release("v2")
		w.run(10)
		w.say("web-02 comes back")
		w.machines["web-02"].up = true
		return w.run(40)
	}},
	{"a-failing-hook-stops-the-rollout-and-the-way-back-is-free", func() *world {
		w := newWorld(4, number(1)).running("v1")
		for _, name := range w.names() {
			w.machines[name].fault = always("v2", "hook")
		}
		w.release("v2")
		w.run(8)
		w.stop(v1alpha1.ReasonProgressDeadlineExceeded)
		w.run(2)
		w.release("v1")
		return w.run(40)
	}},
	{"a-pull-that-fails-is-tried-again-and-holds-its-place", func() *world {
		w := newWorld(4, number(1)).running("v1")
		failures := 0
		w.machines["web-01"].fault = func(string) string {
			if failures++; failures <= 3 {
				return "pull"
			}
			return ""
		}
		w.release("v2")
		return w.run(40)
	}},
	{"pause-lets-hosts-in-flight-finish", func() *world {
		w := newWorld(6, number(2)).running("v1")
		w.release("v2")
		w.run(1)
		w.say("paused")
		w.paused = true
		w.run(6)
		w.say("resumed")
		w.paused = false
		return w.run(40)
	}},
	{"a-new-host-during-a-pause-gets-the-current-release", func() *world {
		w := newWorld(3, number(1)).running("v1")
		w.release("v2")
		w.run(1)
		w.say("paused; web-04 appears")
		w.paused = true
		w.add("web-04")
		w.run(10)
		w.say("resumed")
		w.paused = false
		return w.run(40)
	}},
	{"abort-leaves-hosts-where-they-are-until-the-next-release", func() *world {
		w := newWorld(4, number(1)).running("v1")
		w.release("v2")
		w.run(4)
		w.stop(v1alpha1.ReasonAborted)
		w.run(10)
		w.say("the next Release")
		w.release("v3")
		return w.run(40)
	}},
	{"a-host-that-never-got-to-an-aborted-release-goes-back", func() *world {
		w := newWorld(3, number(1)).running("v1")
		w.machines["web-01"].fault = always("v2", "pull")
		w.release("v2")
		w.run(4)
		w.stop(v1alpha1.ReasonAborted)
		return w.run(20)
	}},
	{"superseded-in-mid-wave", func() *world {
		w := newWorld(6, number(2)).running("v1")
		w.release("v2")
		w.run(1)
		w.stop(v1alpha1.ReasonSuperseded)
		w.run(3)
		w.release("v3")
		return w.run(40)
	}},
	{"hosts-come-and-go-during-a-rollout", func() *world {
		w := newWorld(4, number(1)).running("v1")
		w.release("v2")
		w.run(3)
		w.say("web-05 appears, web-02 leaves")
		w.add("web-05")
		delete(w.targets, "web-02")
		return w.run(40)
	}},
	{"one-drifted-host-is-repaired", func() *world {
		w := newWorld(4, number(1)).running("v1")
		w.machines["web-03"].drifted = true
		return w.run(20)
	}},
	{"two-drifted-hosts-are-repaired-one-by-one", func() *world {
		w := newWorld(8, percent("25%")).running("v1")
		w.strategy.MaxUnavailable = number(2)
		w.machines["web-03"].drifted = true
		w.machines["web-06"].drifted = true
		w.machines["web-01"].up = false
		return w.run(20)
	}},
	{"forty-drifted-hosts-wait-for-a-person", func() *world {
		w := newWorld(40, percent("25%")).running("v1")
		for _, name := range w.names() {
			w.machines[name].drifted = true
		}
		w.run(20)
		w.say("a person releases v1 again")
		w.release("v1")
		return w.run(60)
	}},
	{"drift-is-only-reported-where-that-is-the-policy", func() *world {
		w := newWorld(3, number(1)).running("v1")
		w.report = true
		w.machines["web-01"].drifted = true
		return w.run(10)
	}},
	{"a-machine-made-anew-under-its-name-gets-its-release", func() *world {
		w := newWorld(3, number(1)).running("v1")
		w.machines["web-02"] = &machine{up: true}
		return w.run(20)
	}},
	{"a-wave-is-completed-after-a-crash", func() *world {
		w := newWorld(6, number(3)).running("v1")
		w.crash = func(int) int { w.crash = nil; return 1 }
		w.release("v2")
		return w.run(40)
	}},
	{"a-stale-leader-left-a-higher-fence", func() *world {
		w := newWorld(3, number(1)).running("v1")
		w.release("v2")
		w.run(1)
		w.say("a leader that lost its lease writes fence 9 to web-01")
		w.machines["web-01"].fence, w.machines["web-01"].ordered = 9, "v9"
		return w.run(40)
	}},
	{"records-made-anew-keep-what-hosts-run", func() *world {
		w := newWorld(4, number(1)).running("v1")
		w.release("v2")
		w.run(3)
		w.say("the Targets are deleted and made anew")
		for _, name := range w.names() {
			w.add(name)
		}
		return w.run(40)
	}},
	{"foreign-hosts-wait-for-consent-and-keep-their-content", func() *world {
		w := newWorld(3, number(1))
		for _, name := range w.names() {
			m := w.machines[name]
			m.running, m.fence, m.ordered, m.switched = "v1", 7, "v1", 7
			m.owner = &v1alpha1.PathOwner{OwnerID: "old", ServiceUID: "old-service"}
		}
		w.service.Status.Current = record("v1")
		w.run(3)
		w.say("spec.adopt.fromUID names the old Service")
		w.adopt = "old-service"
		return w.run(40)
	}},
	{"no-hosts-is-never-success", func() *world {
		w := newWorld(0, number(1))
		w.release("v1")
		w.run(3)
		w.say("web-01 appears")
		w.add("web-01")
		return w.run(10)
	}},
}

func TestSimulations(t *testing.T) {
	for _, simulation := range slices.Concat(simulations, scalings, failing, stepped) {
		t.Run(simulation.name, func(t *testing.T) {
			g := NewWithT(t)
			w := simulation.run()
			w.state()
			path := filepath.Join("testdata", simulation.name+".log")
			if *update {
				g.Expect(os.MkdirAll("testdata", 0o755)).To(Succeed())
				g.Expect(os.WriteFile(path, []byte(w.log.String()), 0o644)).To(Succeed())
			}
			want, err := os.ReadFile(path)
			g.Expect(err).NotTo(HaveOccurred(), "write the golden logs with: go test ./internal/rollout -update")
			g.Expect(w.log.String()).To(Equal(string(want)))
		})
	}
}
