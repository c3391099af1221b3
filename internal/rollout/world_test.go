// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// tick is how time passes in a simulation. A delivery takes two: one to pull, one to switch.
const tick = 5 * time.Second

// machine is a host as it is, whatever anybody knows of it.
type machine struct {
	up      bool
	running string
	// ordered is the digest it saw with its fence.
	ordered         string
	fence, switched int64
	drifted         bool
	broken          bool // its hook failed: it serves nothing useful
	switching       bool // in this tick
	progress        int
	owner           *v1alpha1.PathOwner
	// fault says how a delivery of a digest fails: "" not, "pull" before the switch, "hook" after it.
	fault func(digest string) string
	// refuses, if it is not nil, has a delivery fail that changes nothing.
	refuses func() bool
}

// serving says whether users get an answer from it.
func (m *machine) serving() bool { return m.up && m.running != "" && !m.broken && !m.switching }

// world is a Service, its hosts and the controllers around the planner, in one thread.
type world struct {
	now      time.Time
	start    time.Time
	service  v1alpha1.Service
	version  int
	versions int
	made     int
	quiet    bool
	paused   bool
	strategy Strategy
	adopt    v1alpha1.UID
	report   bool
	targets  map[string]*v1alpha1.Target
	machines map[string]*machine
	log      strings.Builder
	lastLine string
	lastHeld string
	// policy says what becomes of a Release that fails; empty: nobody gives up by himself.
	policy v1alpha1.FailurePolicy
	// step of the rollout, and since when.
	step      int
	stepSince time.Time
	sequence  int64
	// crash, if it is not nil, says after how many writes of a wave's members the controller dies.
	crash func(members int) int
	// check is told of each plan.
	check func(Input, Plan)
}

func newWorld(hosts int, maxUnavailable intstr.IntOrString) *world {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w := &world{
		now: start, start: start,
		strategy: StrategyOf(v1alpha1.RolloutSpec{MaxUnavailable: maxUnavailable}),
		targets:  map[string]*v1alpha1.Target{}, machines: map[string]*machine{},
	}
	for i := range hosts {
		w.add(fmt.Sprintf("web-%02d", i+1))
	}
	return w
}

// record of a revision: v1 is the artifact v1, delivered as v1 froze it.
func record(revision string) *v1alpha1.ReleaseRecord {
	return &v1alpha1.ReleaseRecord{Release: "blog-" + revision, Revision: revision, Commit: revision, Digest: revision, Frozen: revision}
}

func (w *world) say(format string, args ...any) {
	if w.quiet {
		return
	}
	fmt.Fprintf(&w.log, "%6s  %s\n", w.now.Sub(w.start), fmt.Sprintf(format, args...))
}

// add makes a host and its Target.
func (w *world) add(name string) *machine {
	if w.machines[name] == nil {
		w.machines[name] = &machine{up: true}
	}
	w.made++
	target := &v1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(strconv.Itoa(w.made)), Generation: 1, ResourceVersion: "1"}}
	target.Spec.Host.Name = name
	w.targets[name] = target
	return w.machines[name]
}

// running has all hosts run a completed Release.
func (w *world) running(revision string) *world {
	w.sequence++
	w.service.Status.Current = record(revision)
	w.service.Status.Current.Sequence = w.sequence
	for w.tick(); w.tick(); {
	}
	w.log.Reset()
	w.start = w.now
	return w
}

// release gives the slot to a revision.
func (w *world) release(revision string) {
	w.say("Release %s takes the slot", revision)
	w.sequence++
	rolling := record(revision)
	rolling.Sequence, rolling.UID = w.sequence, v1alpha1.UID(fmt.Sprintf("release-%d", w.sequence))
	w.service.Status.Rolling, w.service.Status.Stopping, w.service.Status.RollingBack, w.paused = rolling, "", false, false
	w.step, w.stepSince = 0, w.now
	w.version++
}

// stop has the rolling Release start nothing more.
func (w *world) stop(reason string) {
	w.say("Release %s stops: %s", w.service.Status.Rolling.Revision, reason)
	w.service.Status.Stopping = reason
	w.version++
}

func (w *world) names() []string {
	names := make([]string, 0, len(w.targets))
	for name := range w.targets {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// list is what a fresh cache shows; it is good for this tick only.
func (w *world) list() []v1alpha1.Target {
	list := make([]v1alpha1.Target, 0, len(w.targets))
	for _, name := range w.names() {
		list = append(list, *w.targets[name])
	}
	return list
}

// keep is what a cache that fell behind goes on showing.
func (w *world) keep() []v1alpha1.Target {
	list := w.list()
	for i := range list {
		list[i] = *list[i].DeepCopy()
	}
	return list
}

// tick lets one tick pass and says whether anything is still to be expected.
func (w *world) tick() bool {
	w.now = w.now.Add(tick)
	busy := false
	for _, name := range w.names() {
		busy = w.visit(w.targets[name], w.machines[name]) || busy
	}
	w.state()
	moved, waiting := w.plan(w.service.DeepCopy(), w.version, w.list())
	led := w.lead()
	return busy || moved || waiting || led
}

// run steps until nothing is to be expected any more, or for a number of ticks.
func (w *world) run(ticks int) *world {
	for range ticks {
		if !w.tick() {
			break
		}
	}
	return w
}

// plan is the rollout controller: it completes the recorded wave, and only then plans another. It sees a Service and
// Targets that may be old; its writes fail if they are.
func (w *world) plan(service *v1alpha1.Service, version int, targets []v1alpha1.Target) (moved, waiting bool) {
	if writes := Unwritten(service.Status.Wave, targets); len(writes) > 0 {
		w.say("  completes wave %d", service.Status.Wave.Number)
		w.write(targets, writes, len(writes))
		return true, false
	}
	for _, member := range Missing(service.Status.Wave, targets) {
		if target := w.targets[member.Target]; target != nil && IsMember(member, target) { // a look past the cache
			w.say("  %s of wave %d is not in the cache yet", member.Target, service.Status.Wave.Number)
			return true, false
		}
	}
	input := Input{
		Slot: SlotOf(service, w.paused), Strategy: w.strategy, Step: w.step, Hosts: Hosts(targets), AdoptFrom: w.adopt, Now: w.now,
		ReportOnly: func(string) bool { return w.report },
	}
	plan := Compute(input)
	if w.check != nil {
		w.check(input, plan)
	}
	w.held(plan)
	if len(plan.Members) == 0 {
		return false, plan.After > 0
	}
	if version != w.version {
		w.say("  a wave is refused: the Service was read before it changed")
		return true, false
	}
	number := int64(1)
	if service.Status.Wave != nil {
		number = service.Status.Wave.Number + 1
	}
	wave := NewWave(number, plan)
	w.service.Status.Wave = wave
	w.version++
	w.say("wave %d: %s", number, wave.Reason)
	writes := Unwritten(wave, targets)
	n := len(writes)
	if w.crash != nil {
		if n = w.crash(len(writes)); n < len(writes) {
			w.say("  the controller dies after %d of %d writes", n, len(writes))
		}
	}
	w.write(targets, writes, n)
	return true, false
}

// write orders the first n, each on condition that its Target is as it was seen.
func (w *world) write(targets []v1alpha1.Target, writes []Write, n int) {
	for _, write := range writes[:n] {
		seen := targets[write.Index]
		target, there := w.targets[seen.Name]
		if !there || target.ResourceVersion != seen.ResourceVersion || target.UID != seen.UID {
			continue
		}
		target.Spec.Artifact, target.Spec.Fence, target.Spec.AsIs, target.Spec.Wave = &write.Record, write.Fence, write.AsIs, write.Wave
		target.Generation++
		w.touch(target)
	}
}

func (w *world) touch(target *v1alpha1.Target) {
	w.versions++
	target.ResourceVersion = strconv.Itoa(w.versions)
}

// lead is the release controller: it goes through the steps, completes a Release, has it rolled back, or lets go of one
// that stopped. It says whether something is to be expected of it.
func (w *world) lead() bool {
	status := &w.service.Status
	if status.Rolling == nil {
		return false
	}
	targets := w.list()
	slot := SlotOf(&w.service, w.paused)
	standing := Stand(slot, w.strategy, targets, w.now)
	switch {
	case status.RollingBack:
		way := Back(slot, w.strategy, targets, w.now)
		if way.Returning > 0 {
			return way.After > 0
		}
		w.say("Release %s is rolled back%s", status.Rolling.Revision, stuck(way.Stuck))
		status.History = append(status.History, v1alpha1.ReleaseOutcome{UID: status.Rolling.UID, Outcome: v1alpha1.ReasonRolledBack})
		w.vacate()
	case status.Stopping != "" && Settled(&w.service, targets, status.Rolling):
		w.say("Release %s leaves the slot", status.Rolling.Revision)
		w.vacate()
	case status.Stopping != "":
	case w.policy != "" && standing.Over() && len(standing.Failed) > 0:
		w.giveUp(standing.Sentence())
	case standing.Done() && w.step >= len(w.strategy.Steps):
		w.say("Release %s is complete%s", status.Rolling.Revision, stuck(slices.Concat(standing.Failed, standing.Skipped, standing.Absent)))
		status.Previous, status.Current = status.Current, status.Rolling
		w.vacate()
	default:
		return w.walk(&standing)
	}
	return true
}

// walk goes through the steps.
func (w *world) walk(standing *Standing) bool {
	if w.paused || w.step >= len(w.strategy.Steps) {
		return standing.Baking > 0
	}
	words, done, after := w.strategy.Step(w.step, w.stepSince, standing, w.now)
	if done {
		w.say("  done: %s", words)
		w.step, w.stepSince = w.step+1, w.now
	}
	return done || after > 0 || standing.Baking > 0
}

// giveUp ends the rolling Release as the policy says.
func (w *world) giveUp(why string) {
	status := &w.service.Status
	if w.policy == v1alpha1.OnFailureStop || status.Current == nil || Same(status.Current, status.Rolling) {
		w.say("Release %s stops: %s", status.Rolling.Revision, why)
	} else {
		w.say("Release %s is given up: %s", status.Rolling.Revision, why)
		status.RollingBack = true
	}
	status.Stopping = v1alpha1.ReasonTooManyFailed
	w.version++
}

// vacate frees the slot.
func (w *world) vacate() {
	status := &w.service.Status
	status.Rolling, status.Stopping, status.RollingBack = nil, "", false
	w.version++
}

func stuck(faults []Fault) string {
	if len(faults) == 0 {
		return ""
	}
	return " without " + Names(faults)
}

// state logs what the hosts run, when that changed.
func (w *world) state() {
	if w.quiet {
		return
	}
	var line []string
	for _, name := range w.names() {
		t, m := w.targets[name], w.machines[name]
		text := m.running
		if text == "" {
			text = "-"
		}
		if t.Spec.Artifact != nil && t.Spec.Artifact.Digest != m.running {
			text += ">" + t.Spec.Artifact.Digest
		}
		switch {
		case !m.up:
			text += "(down)"
		case m.broken:
			text += "(broken)"
		case m.drifted:
			text += "(drifted)"
		}
		line = append(line, name+"="+text)
	}
	if text := strings.Join(line, " "); text != w.lastLine {
		w.lastLine = text
		if text == "" {
			text = "no hosts"
		}
		w.say("  %s", text)
	}
}

// held logs why hosts wait, when that changed.
func (w *world) held(plan Plan) {
	if w.quiet {
		return
	}
	var lines []string
	names := map[string][]string{}
	for _, hold := range plan.Holds {
		if names[hold.Reason] == nil {
			lines = append(lines, hold.Reason)
		}
		names[hold.Reason] = append(names[hold.Reason], hold.Target)
	}
	for i, reason := range lines {
		lines[i] = fmt.Sprintf("  held: %s: %s", strings.Join(names[reason], " "), reason)
	}
	if plan.Storm {
		lines = append(lines, "  drift storm")
	}
	text := strings.Join(lines, "\n")
	if text != w.lastHeld {
		w.lastHeld = text
		for _, line := range lines {
			w.say("%s", line)
		}
	}
}

func condition(target *v1alpha1.Target, kind string, status bool, now time.Time, reason string) {
	value := metav1.ConditionFalse
	if status {
		value = metav1.ConditionTrue
	}
	last := meta.FindStatusCondition(target.Status.Conditions, kind)
	if last == nil || last.Status != value {
		meta.RemoveStatusCondition(&target.Status.Conditions, kind)
		target.Status.Conditions = append(target.Status.Conditions,
			metav1.Condition{Type: kind, Status: value, Reason: reason, LastTransitionTime: metav1.NewTime(now)})
		return
	}
	last.Reason = reason
}
