// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// Print writes a plan for people. What repositories and people wrote can do nothing to their terminal.
func Print(w io.Writer, release *v1alpha1.Release) error {
	p, b := release.Status.Plan, &strings.Builder{}
	fmt.Fprintf(b, "Release %s of Service %s\n", safe(string(release.Spec.Revision)), release.Spec.Service)
	if p.Commit != "" {
		fmt.Fprintf(b, "  commit    %s", p.Commit)
		if p.Ref != "" {
			fmt.Fprintf(b, " (%s)", safe(p.Ref))
		}
		b.WriteString("\n")
	}
	if p.Build != "" {
		fmt.Fprintf(b, "  build     %s\n", safe(p.Build))
	}
	if p.Digest != "" {
		fmt.Fprintf(b, "  artifact  %s\n", p.Digest)
	}
	if f := p.Files; f != nil {
		fmt.Fprintf(b, "  files     %d added, %d changed, %d deleted; at most %d bytes to each host\n", f.Added, f.Changed, f.Deleted, f.Bytes)
		paths(b, "+", f.Added, f.AddedPaths)
		paths(b, "~", f.Changed, f.ChangedPaths)
		paths(b, "-", f.Deleted, f.DeletedPaths)
	}
	fmt.Fprintf(b, "\n%d of %d hosts would move\n", p.Moving, p.Hosts)
	number := 0
	for _, batch := range p.Batches {
		if batch.Hosts == 0 {
			fmt.Fprintf(b, "        %s\n", safe(batch.Reason))
			continue
		}
		number++
		fmt.Fprintf(b, "  %4d  %d: %s\n", number, batch.Hosts, members(batch))
	}
	for _, stay := range p.Staying {
		fmt.Fprintf(b, "  stays %s: %s\n", safe(stay.Host), safe(stay.Reason))
	}
	list(b, "What would hold it up or end it", p.Guards)
	list(b, "To know before", p.Warnings)
	b.WriteString("\nNothing was done.\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func members(batch v1alpha1.PlannedBatch) string {
	if len(batch.Names) == 0 {
		return safe(batch.Reason)
	}
	names := make([]string, len(batch.Names))
	for i, name := range batch.Names {
		names[i] = safe(name)
	}
	text := strings.Join(names, " ")
	if more := int(batch.Hosts) - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func paths(b *strings.Builder, sign string, count int64, first []string) {
	for _, path := range first {
		fmt.Fprintf(b, "            %s %s\n", sign, safe(path))
	}
	if more := count - int64(len(first)); more > 0 {
		fmt.Fprintf(b, "            %s and %d more\n", sign, more)
	}
}

func list(b *strings.Builder, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", title)
	for _, line := range lines {
		fmt.Fprintf(b, "  - %s\n", safe(line))
	}
}

// safe shows what is not printable as Go writes it.
func safe(text string) string {
	quoted := strconv.QuoteToGraphic(text)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}
