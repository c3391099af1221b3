// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/phase"
	"github.com/slipway-dev/slipway/internal/rollout"
)

// Codes that the plugin ends with.
const (
	// Done: the Release succeeded, or the command did what it was asked.
	Done = 0
	// Trouble: the command itself failed.
	Trouble = 1
	// Bad: the Release failed or was rolled back.
	Bad = 2
	// Otherwise: the Release ended in another way: aborted or superseded.
	Otherwise = 3
)

// codeOf is what a Release that has ended makes the plugin end with.
func codeOf(release *v1alpha1.Release) int {
	switch phase.OfRelease(release) {
	case phase.Succeeded:
		return Done
	case phase.Failed, phase.RolledBack:
		return Bad
	}
	return Otherwise
}

// message is what a Release does, or how it ended, in a sentence.
func message(release *v1alpha1.Release) string {
	condition := v1alpha1.ConditionReady
	if phase.Ended(release) {
		condition = v1alpha1.ConditionSucceeded
	}
	return conditions.Get(release.Status.Conditions, condition).Message
}

// line is a Release in one line.
func line(release *v1alpha1.Release, p palette) string {
	is := phase.OfRelease(release)
	text := fmt.Sprintf("%s %s", release.Name, p.paint(is, is.Glyph+" "+is.Word()))
	if t := release.Status.Targets; t.Total > 0 {
		text += fmt.Sprintf(" %d/%d", t.Updated, t.Total)
	}
	if m := message(release); m != "" {
		text += ": " + m
	}
	return plain(text)
}

// rowsShown is how many hosts a tree has where nobody says how high the terminal is.
const rowsShown = 20

// tree writes a Release with its hosts, those in trouble first, in at most so many lines of so many columns.
func tree(w io.Writer, release *v1alpha1.Release, targets []v1alpha1.Target, p palette, lines, columns int) {
	var out []string
	is := phase.OfRelease(release)
	out = append(out, fmt.Sprintf("%s/%s  %s", release.Namespace, release.Name, p.paint(is, is.Glyph+" "+is.Word())))
	about := fmt.Sprintf("%s → %s", release.Spec.Revision, release.Status.ShortCommit)
	if d := release.Status.Described; d != nil && d.Subject != "" {
		about += "  " + d.Subject
	}
	out = append(out, about)
	if m := message(release); m != "" {
		out = append(out, m)
	}
	if t := release.Status.Targets; t.Total > 0 {
		const width = 30
		full := int(t.Updated) * width / int(t.Total)
		done := fmt.Sprintf("%d of %d hosts run it, %d unavailable", t.Updated, t.Total, t.Unavailable)
		if phase.Ended(release) { // others may have come since
			done = fmt.Sprintf("%d of %d hosts ran it at its end, %d do now", t.Updated, t.Total, running(release, targets))
		}
		out = append(out, fmt.Sprintf("[%s%s] %s", strings.Repeat("#", full), strings.Repeat(".", width-full), done))
	}
	hosts := hostLines(release, targets, p)
	room := max(lines-len(out)-1, 3)
	for i, host := range hosts {
		if i == room-1 && len(hosts) > room {
			out = append(out, fmt.Sprintf("└─ and %d more", len(hosts)-i))
			break
		}
		branch := "├─ "
		if i == len(hosts)-1 {
			branch = "└─ "
		}
		out = append(out, branch+host)
	}
	for _, one := range out {
		_, _ = fmt.Fprintln(w, fit(plain(one), columns))
	}
}

// running counts the hosts that run what a Release brought.
func running(release *v1alpha1.Release, targets []v1alpha1.Target) int {
	n := 0
	for i := range targets {
		if runs := targets[i].Status.Running; runs != nil && release.Status.Artifact != nil && runs.Digest == release.Status.Artifact.Digest {
			n++
		}
	}
	return n
}

// order of tones in lists: trouble first.
var order = map[string]int{"bad": 0, "warn": 1, "busy": 2, "calm": 3, "good": 4}

func hostLines(release *v1alpha1.Release, targets []v1alpha1.Target, p palette) []string {
	type row struct {
		tone int
		name string
		text string
	}
	var rows []row
	for i := range targets {
		target := &targets[i]
		is := phase.OfTarget(target)
		text := fmt.Sprintf("%s  %s", target.Spec.Host.Name, p.paint(is, is.Glyph+" "+is.Word()))
		if running := target.Status.Running; running != nil {
			text += "  " + rollout.LabelOf("", running.Commit)
			if release.Status.Artifact != nil && running.Digest == release.Status.Artifact.Digest {
				text += " (this)"
			}
		}
		if is.Tone == "bad" || is.Tone == "warn" {
			text += "  " + conditions.Get(target.Status.Conditions, v1alpha1.ConditionReady).Message
		}
		rows = append(rows, row{order[is.Tone], target.Spec.Host.Name, text})
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Or(a.tone-b.tone, cmp.Compare(a.name, b.name)) })
	var lines []string
	for _, r := range rows {
		lines = append(lines, r.text)
	}
	return lines
}
