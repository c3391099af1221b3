// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package service

import (
	"fmt"
	"sort"
	"strings"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/frozen"
	"github.com/slipway-dev/slipway/internal/notify"
	"github.com/slipway-dev/slipway/internal/rollout"
)

// summarize writes all of a Service's status that is derived from other objects. It is pure.
func summarize(f *facts) {
	status, generation := &f.service.Status, f.service.Generation
	status.ObservedGeneration = generation
	count(f)
	discovered(f)
	releaseNeeded(f)
	diverged(f)
	driftStorm(f)
	if err := notify.Check(f.service.Spec.Notifications); err != nil {
		conditions.False(&status.Conditions, generation, v1alpha1.ConditionNotifying, v1alpha1.ReasonTemplateInvalid, err.Error())
	} else {
		conditions.Remove(&status.Conditions, v1alpha1.ConditionNotifying)
	}
	if uid := foreign(f); uid != "" {
		conditions.True(&status.Conditions, generation, v1alpha1.ConditionAdoptionRequired, v1alpha1.ReasonForeignOwner, foreignMessage(f, uid))
	} else {
		conditions.Remove(&status.Conditions, v1alpha1.ConditionAdoptionRequired)
	}
	v := judge(f)
	status.State = v.word
	conditions.Summarize(&status.Conditions, generation, v.state, v.reason, v.message)
}

// count counts the Targets and says what they run.
func count(f *facts) {
	status := &f.service.Status
	counts := v1alpha1.TargetCounts{Total: int32(len(f.targets))}
	labels := map[string]int{}
	for i := range f.targets {
		target := &f.targets[i]
		list := target.Status.Conditions
		if isReady(target) {
			counts.Ready++
		}
		if current := status.Current; current != nil && target.Status.Running != nil && target.Status.Running.Digest == current.Digest {
			counts.Updated++
		}
		if !conditions.IsTrue(list, v1alpha1.ConditionAvailable) {
			counts.Unavailable++
		}
		if conditions.IsTrue(list, v1alpha1.ConditionDrifted) {
			counts.Drifted++
		}
		if target.Status.Running != nil && target.Status.Running.Label != "" {
			labels[target.Status.Running.Label]++
		}
	}
	status.Targets = counts
	status.TargetsReady = fmt.Sprintf("%d/%d", counts.Ready, counts.Total)
	status.Running = running(labels)
}

// isReady says whether a Target is Ready for the spec it has now.
func isReady(target *v1alpha1.Target) bool {
	return conditions.IsTrue(target.Status.Conditions, v1alpha1.ConditionReady) && target.Status.ObservedGeneration == target.Generation
}

// running says in one line which artifacts run: one, or a mixture with its parts, the largest first.
func running(labels map[string]int) string {
	names := make([]string, 0, len(labels))
	for name := range labels {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		if labels[names[i]] != labels[names[j]] {
			return labels[names[i]] > labels[names[j]]
		}
		return names[i] < names[j]
	})
	if len(names) <= 1 {
		return conditions.Shorten(strings.Join(names, ""), 256)
	}
	var parts []string
	for _, name := range names {
		parts = append(parts, fmt.Sprintf("%s ×%d", name, labels[name]))
	}
	return conditions.Shorten("mixed: "+strings.Join(parts, ", "), 256)
}

// discovered says whether every source of hosts was read, and what was left out.
func discovered(f *facts) {
	status, generation := &f.service.Status, f.service.Generation
	switch {
	case len(f.fleet.Refusals) > 0:
		conditions.False(&status.Conditions, generation, v1alpha1.ConditionDiscovered, v1alpha1.ReasonNotPermitted, some(f.fleet.Refusals)+": ask an administrator")
	case len(f.fleet.Problems) > 0:
		conditions.False(&status.Conditions, generation, v1alpha1.ConditionDiscovered, v1alpha1.ReasonDiscoveryFailed, some(f.fleet.Problems)+"; the hosts last known are kept")
	case f.fleet.Waiting:
		conditions.Unknown(&status.Conditions, generation, v1alpha1.ConditionDiscovered, v1alpha1.ReasonDiscovering, "the hosts are being looked for")
	case len(f.fleet.Notes) > 0:
		conditions.True(&status.Conditions, generation, v1alpha1.ConditionDiscovered, v1alpha1.ReasonLeftOut, some(f.fleet.Notes))
	default:
		conditions.True(&status.Conditions, generation, v1alpha1.ConditionDiscovered, v1alpha1.ReasonSucceeded, "every source of hosts was read")
	}
}

// some lists the first few.
func some(texts []string) string {
	const shown = 3
	list := strings.Join(texts[:min(shown, len(texts))], "; ")
	if more := len(texts) - shown; more > 0 {
		list += fmt.Sprintf("; and %d more", more)
	}
	return list
}

// releaseNeeded says whether the Service was edited in a way that only a new Release brings to the hosts.
func releaseNeeded(f *facts) {
	status := &f.service.Status
	if status.Current == nil || status.Current.Frozen == frozen.Name(f.service.Name, frozen.Spec(f.service)) {
		conditions.Remove(&status.Conditions, v1alpha1.ConditionReleaseNeeded)
		return
	}
	conditions.True(&status.Conditions, f.service.Generation, v1alpha1.ConditionReleaseNeeded, v1alpha1.ReasonSpecEdited,
		"source, build, deploy or rollout were edited since the current Release; create a Release to bring the edit to the hosts")
}

// driftStorm says whether more hosts drifted at once than may be unavailable: that is no accident, and repair waits.
func driftStorm(f *facts) {
	status := &f.service.Status
	spec := f.service.Spec
	if spec.Deploy.Drift == v1alpha1.DriftReport || !rollout.Storm(rollout.StrategyOf(spec.Rollout), f.targets) {
		conditions.Remove(&status.Conditions, v1alpha1.ConditionDriftStorm)
		return
	}
	conditions.True(&status.Conditions, f.service.Generation, v1alpha1.ConditionDriftStorm, v1alpha1.ReasonTooManyDrifted, fmt.Sprintf(
		"%d of %d hosts drifted at once, more than maxUnavailable: nothing is repaired by itself; see what changed them, then create a Release to deliver anew",
		status.Targets.Drifted, status.Targets.Total))
}

// diverged says whether a person's Release runs instead of spec.revision.
func diverged(f *facts) {
	status := &f.service.Status
	requested, current := status.Requested, status.Current
	if f.service.Spec.Track != nil || requested == nil || requested.Release == "" || current == nil || current.Release == requested.Release ||
		current.Revision == requested.Revision || current.Sequence < sequenceOf(f, requested.Release) {
		conditions.Remove(&status.Conditions, v1alpha1.ConditionDiverged)
		return
	}
	conditions.True(&status.Conditions, f.service.Generation, v1alpha1.ConditionDiverged, v1alpha1.ReasonReleasedByPerson, fmt.Sprintf(
		"Release %s (%s) runs, spec.revision says %s (Release %s); it stays so until spec.revision changes", current.Release, current.Revision, requested.Revision, requested.Release))
}

// sequenceOf is the sequence number of a Release by its name; 0 if nothing is known of it any more.
func sequenceOf(f *facts, name string) int64 {
	for i := range f.releases {
		if f.releases[i].Name == name {
			return f.releases[i].Status.Sequence
		}
	}
	for _, entry := range f.service.Status.History {
		if entry.Release == name {
			return entry.Sequence
		}
	}
	return 0
}

// verdict is how a Service is, in one word and one sentence.
type verdict struct {
	state   conditions.State
	word    string
	reason  string
	message string
}

// judge decides how a Service is. The first check that speaks wins.
func judge(f *facts) verdict {
	for _, check := range []func(*facts) *verdict{
		needsAdoption, // hosts of another owner: nothing may be written
		noTargets,     // nothing to run on is never success
		rollingOut,    // a Release moves the Targets
		requestFailed, // spec.revision could not be released
		notReleased,   // nothing was ever released
		targetsBehind, // hosts are not what they should be
		mixed,         // a rollout ended half-way
	} {
		if v := check(f); v != nil {
			return *v
		}
	}
	current := f.service.Status.Current
	return verdict{conditions.Current, "Ready", v1alpha1.ReasonUpToDate, fmt.Sprintf("all %d Targets run %s", len(f.targets), rollout.Label(current))}
}

func needsAdoption(f *facts) *verdict {
	uid := foreign(f)
	if uid == "" {
		return nil
	}
	return &verdict{conditions.Stalled, "AdoptionRequired", v1alpha1.ReasonForeignOwner, foreignMessage(f, uid)}
}

func noTargets(f *facts) *verdict {
	if f.hosts > 0 {
		return nil
	}
	switch {
	case len(f.service.Spec.Targets) == 0:
		return &verdict{conditions.Stalled, "NoTargets", v1alpha1.ReasonNoTargets, "spec.targets names no host: add one"}
	case len(f.fleet.Refusals) > 0:
		return &verdict{conditions.Stalled, "NoTargets", v1alpha1.ReasonNotPermitted, some(f.fleet.Refusals) + ": ask an administrator"}
	case len(f.fleet.Problems) > 0:
		return &verdict{conditions.Waiting, "NoTargets", v1alpha1.ReasonDiscoveryFailed, some(f.fleet.Problems)}
	case f.fleet.Waiting:
		return &verdict{conditions.InProgress, "Discovering", v1alpha1.ReasonDiscovering, "the hosts are being looked for"}
	case len(f.fleet.Notes) > 0:
		return &verdict{conditions.Waiting, "NoTargets", v1alpha1.ReasonNoTargets, "no instance can be a host: " + some(f.fleet.Notes)}
	}
	return &verdict{conditions.Waiting, "NoTargets", v1alpha1.ReasonNoTargets, "no running instance matches spec.targets: compare its tags and Auto Scaling group with the fleet's"}
}

func rollingOut(f *facts) *verdict {
	rolling := f.service.Status.Rolling
	if rolling == nil {
		return nil
	}
	if current := f.service.Status.Current; f.service.Status.RollingBack && current != nil {
		return &verdict{conditions.InProgress, "RollingBack", v1alpha1.ReasonRollingBack, fmt.Sprintf("Release %s failed (%s); the Targets return to %s",
			rolling.Release, f.service.Status.Stopping, rollout.Label(current))}
	}
	return &verdict{conditions.InProgress, "RollingOut", v1alpha1.ReasonRollingOut, fmt.Sprintf("Release %s brings %s", rolling.Release, rollout.Label(rolling))}
}

func requestFailed(f *facts) *verdict {
	requested := f.service.Status.Requested
	if requested == nil || requested.Release == "" || f.service.Status.Current != nil && f.service.Status.Current.Sequence > sequenceOf(f, requested.Release) {
		return nil
	}
	for _, entry := range f.service.Status.History {
		if entry.Release == requested.Release && entry.Outcome != v1alpha1.ReasonSucceeded && entry.Outcome != v1alpha1.ReasonSuperseded {
			return &verdict{conditions.Stalled, "ReleaseFailed", v1alpha1.ReasonReleaseFailed,
				fmt.Sprintf("Release %s of %s: %s: %s", entry.Release, requested.Revision, entry.Reason, entry.Message)}
		}
	}
	return nil
}

func notReleased(f *facts) *verdict {
	if f.service.Status.Current != nil {
		return nil
	}
	for i := range f.releases {
		if !conditions.IsTrue(f.releases[i].Status.Conditions, v1alpha1.ConditionFinished) {
			return &verdict{conditions.InProgress, "Releasing", v1alpha1.ReasonProgressing, fmt.Sprintf("Release %s: %s", f.releases[i].Name, f.releases[i].Status.Phase)}
		}
	}
	if f.service.Spec.Revision != "" && f.service.Status.Requested == nil {
		return &verdict{conditions.InProgress, "Probing", v1alpha1.ReasonProbing, "the hosts are looked at before the first Release"}
	}
	if f.service.Spec.Track != nil {
		tracking := conditions.Get(f.service.Status.Conditions, v1alpha1.ConditionTracking)
		return &verdict{conditions.Waiting, "NotReleased", v1alpha1.ReasonNotReleased, "no Release has completed yet: " + tracking.Message}
	}
	return &verdict{conditions.Waiting, "NotReleased", v1alpha1.ReasonNotReleased, "no Release has completed yet: create one, or set spec.revision"}
}

func targetsBehind(f *facts) *verdict {
	var behind []string
	for i := range f.targets {
		if target := &f.targets[i]; !isReady(target) {
			ready := conditions.Get(target.Status.Conditions, v1alpha1.ConditionReady)
			behind = append(behind, fmt.Sprintf("%s: %s: %s", target.Spec.Host.Name, ready.Reason, ready.Message))
		}
	}
	behind = append(behind, missing(f)...)
	if len(behind) == 0 {
		return nil
	}
	sort.Strings(behind)
	message := fmt.Sprintf("%d of %d Targets are not ready; %s", len(behind), f.hosts, strings.Join(behind[:min(3, len(behind))], "; "))
	return &verdict{conditions.Waiting, "Degraded", v1alpha1.ReasonTargetsNotReady, message}
}

// missing stands for hosts whose Target the cache does not show yet.
func missing(f *facts) []string {
	if n := f.hosts - len(f.targets); n > 0 {
		return []string{fmt.Sprintf("%d hosts are new", n)}
	}
	return nil
}

func mixed(f *facts) *verdict {
	current := f.service.Status.Current
	other := 0
	for i := range f.targets {
		if want := f.targets[i].Spec.Artifact; want == nil || want.Digest != current.Digest {
			other++
		}
	}
	if other == 0 {
		return nil
	}
	return &verdict{conditions.Stalled, "Mixed", v1alpha1.ReasonMixed, fmt.Sprintf(
		"%d of %d Targets run another artifact than Release %s, because a rollout ended half-way; create a Release of the revision that should run",
		other, len(f.targets), current.Release)}
}

// short is the first eight digits of a commit.
func short(commit string) string { return commit[:min(8, len(commit))] }
