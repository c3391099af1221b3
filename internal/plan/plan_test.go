// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/rollout"
)

var (
	noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	old  = &v1alpha1.ReleaseRecord{Release: "blog-1", UID: "1", Sequence: 1, Revision: "v1", Commit: "1111111111", Digest: "one", Frozen: "f"}
	next = &v1alpha1.ReleaseRecord{Release: "blog-2", UID: "2", Sequence: 2, Revision: "v2", Commit: "2222222222", Digest: "two", Frozen: "f"}
)

// fleet is a Service whose hosts all run the old release, but for what change says.
func fleet(n int, strategy rollout.Strategy, change ...func(hosts []rollout.Host)) rollout.Input {
	in := rollout.Input{Slot: rollout.Slot{Current: old, Rolling: next}, Strategy: strategy, Now: noon}
	for i := range n {
		in.Hosts = append(in.Hosts, rollout.Host{
			Target: fmt.Sprintf("blog-web-%04d", i), Name: fmt.Sprintf("web-%04d", i), Zone: []string{"a", "b", "c"}[i%3], Desired: old, Fence: 1, HostFence: 1, SwitchedFence: 1,
			Running: old.Digest, Complete: true, CompletedAt: noon.Add(-time.Hour), Reachable: true, Available: true, Ready: true,
		})
	}
	for _, c := range change {
		c(in.Hosts)
	}
	return in
}

// told is a plan as a person reads it.
func told(in rollout.Input) string {
	var p v1alpha1.ReleasePlan
	Rollout(in, &p)
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d\n", p.Moving, p.Hosts)
	for _, batch := range p.Batches {
		fmt.Fprintf(&b, "%d %s: %s\n", batch.Hosts, strings.Join(batch.Names, " "), batch.Reason)
	}
	for _, stay := range p.Staying {
		fmt.Fprintf(&b, "- %s: %s\n", stay.Host, stay.Reason)
	}
	for _, guard := range p.Guards {
		fmt.Fprintf(&b, "! %s\n", guard)
	}
	return b.String()
}

func TestRollouts(t *testing.T) {
	one, half := intstr.FromInt32(1), intstr.FromString("50%")
	strategy := rollout.StrategyOf(v1alpha1.RolloutSpec{MaxUnavailable: intstr.FromInt32(2), BakeTime: metav1.Duration{Duration: time.Minute}})
	stepped := strategy
	stepped.Steps = []v1alpha1.RolloutStep{{Targets: &one}, {Pause: &v1alpha1.RolloutPause{Duration: metav1.Duration{Duration: 10 * time.Minute}}},
		{Targets: &half}, {Pause: &v1alpha1.RolloutPause{UntilApproved: true}}}
	down := func(hosts []rollout.Host) {
		hosts[1].Reachable, hosts[1].Available, hosts[1].UnreachableSince = false, false, noon.Add(-time.Second)
	}
	for name, c := range map[string]struct {
		in   rollout.Input
		want []string
	}{
		"batches of two over the zones": {fleet(5, strategy), []string{"5 of 5", "2 web-0000 web-0001: ", "2 web-0002 web-0003: ", "1 web-0004: "}},
		"steps and pauses": {fleet(4, stepped), []string{"4 of 4", "1 web-0000: ", "0 : step 2 of 4: pause for 10m0s", "1 web-0001: ",
			"0 : step 4 of 4: pause until it is approved by two people, as nobody knows", "2 web-0002 web-0003: "}},
		"one does not answer": {fleet(3, strategy, down), []string{"0 of 3", "- web-0000: ", "- web-0001: it does not answer", "- web-0002: ", "! the rollout would fail: 1 skipped (web-0001: it does not answer); 0 of 3 may"}},
		"all run it": {fleet(2, strategy, func(hosts []rollout.Host) {
			for i := range hosts {
				hosts[i].Desired, hosts[i].Running = next, next.Digest
			}
		}), []string{"0 of 2"}},
		"the first of all": {func() rollout.Input {
			in := fleet(3, strategy, func(hosts []rollout.Host) {
				for i := range hosts {
					hosts[i] = rollout.Host{Target: hosts[i].Target, Name: hosts[i].Name, Reachable: true}
				}
			})
			in.Slot.Current = nil
			return in
		}(), []string{"3 of 3", "3 web-0000 web-0001 web-0002: "}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			lines := strings.Split(strings.TrimSpace(told(c.in)), "\n")
			g.Expect(lines).To(HaveLen(len(c.want)), "%s", strings.Join(lines, "\n"))
			for i := range c.want {
				g.Expect(lines[i]).To(HavePrefix(c.want[i]))
			}
		})
	}
}

// A plan of thousands of hosts is short enough for a status, and soon there.
func TestAPlanIsBounded(t *testing.T) {
	g := NewWithT(t)
	for _, unavailable := range []intstr.IntOrString{intstr.FromInt32(1), intstr.FromString("25%")} {
		var p v1alpha1.ReleasePlan
		in := fleet(5000, rollout.StrategyOf(v1alpha1.RolloutSpec{MaxUnavailable: unavailable}))
		Rollout(in, &p)
		g.Expect(p.Moving).To(Equal(int32(5000)))
		g.Expect(len(p.Batches)).To(BeNumerically("<=", maxBatches))
		data, err := json.Marshal(p)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(len(data)).To(BeNumerically("<", 64<<10))
	}
}

func BenchmarkRollout(b *testing.B) {
	in := fleet(5000, rollout.StrategyOf(v1alpha1.RolloutSpec{MaxUnavailable: intstr.FromInt32(1)}))
	for b.Loop() {
		Rollout(in, &v1alpha1.ReleasePlan{})
	}
}

func TestPrint(t *testing.T) {
	g := NewWithT(t)
	release := &v1alpha1.Release{Spec: v1alpha1.ReleaseSpec{Service: "blog", Revision: "v2"}}
	release.Status.Plan = &v1alpha1.ReleasePlan{
		Commit: "2222222222", Ref: "refs/tags/v2", Build: "nothing would be built", Digest: "sha256:2", Hosts: 30, Moving: 29,
		Files:   &v1alpha1.PlannedFiles{Added: 1, Changed: 3, Bytes: 4711, AddedPaths: []string{"日本 \x1b[31m\u202e\".php"}, ChangedPaths: []string{"a"}},
		Batches: []v1alpha1.PlannedBatch{{Hosts: 3, Names: []string{"web-1", "web-2"}}, {Reason: "step 2 of 2: pause for 1m0s"}, {Hosts: 26, Reason: "and so on with the others"}},
		Staying: []v1alpha1.PlannedStay{{Host: "web-9", Reason: "it does not answer"}}, Guards: []string{"the Service is locked: \nincident"}, Warnings: []string{"careful"},
	}
	var b strings.Builder
	g.Expect(Print(&b, release)).To(Succeed())
	g.Expect(b.String()).To(Equal(`Release v2 of Service blog
  commit    2222222222 (refs/tags/v2)
  build     nothing would be built
  artifact  sha256:2
  files     1 added, 3 changed, 0 deleted; at most 4711 bytes to each host
            + 日本 \x1b[31m\u202e".php
            ~ a
            ~ and 2 more

29 of 30 hosts would move
     1  3: web-1 web-2 and 1 more
        step 2 of 2: pause for 1m0s
     2  26: and so on with the others
  stays web-9: it does not answer

What would hold it up or end it
  - the Service is locked: \nincident

To know before
  - careful

Nothing was done.
`))
}
