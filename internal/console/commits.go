// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot"
)

// maxCommits is how many commits are listed between two revisions.
const maxCommits = 100

// commitsLimit bounds how long a page waits for the depot: the rest of it needs no depot.
const commitsLimit = 3 * time.Second

// commits are those between two, the newest first.
type commits struct {
	List []depot.Commit
	// More says that there are more, which nobody has listed.
	More bool
	// Trouble says why there are none, if that is not known; a page can do without.
	Trouble string
}

// Count of them, in words: 3, or 100+.
func (c commits) Count() string {
	if c.More {
		return strconv.Itoa(len(c.List)) + "+"
	}
	return strconv.Itoa(len(c.List))
}

// commits lists what lies between two commits.
func (a *ask) commits(ctx context.Context, s *subject, from, to string) commits {
	if a.console.Depot == nil || to == "" || from == to {
		return commits{}
	}
	ctx, cancel := context.WithTimeout(ctx, commitsLimit)
	defer cancel()
	list, err := a.console.Depot.Commits(ctx, depot.CommitRange{Service: s.storage(), URL: s.Service.Spec.Source.Git.URL, From: from, To: to, Limit: maxCommits + 1})
	if err != nil {
		return commits{Trouble: err.Error()}
	}
	return commits{List: list[:min(len(list), maxCommits)], More: len(list) > maxCommits}
}

// undeployed finds the commits of the main branch, as the mirror has it, that do not run yet.
func (a *ask) undeployed(ctx context.Context, v *serviceView) {
	current := v.Running()
	if a.console.Depot == nil || current == nil {
		return
	}
	limited, cancel := context.WithTimeout(ctx, commitsLimit)
	defer cancel()
	refs, err := a.console.Depot.Refs(limited, depot.RefsRequest{Service: v.storage(), URL: v.Service.Spec.Source.Git.URL, Search: "refs/heads/", Limit: 200})
	if err != nil {
		return
	}
	tip := mainBranch(v.Service, v.Releases, refs)
	if tip == nil {
		return
	}
	v.Branch = strings.TrimPrefix(tip.Name, "refs/heads/")
	v.Undeployed = a.commits(ctx, v.subject, current.Commit, tip.Commit.ID)
}

// mainBranch is the branch that a Service tracks, or that was released last, or main or master.
func mainBranch(service *v1alpha1.Service, releases []*v1alpha1.Release, refs []depot.Ref) *depot.Ref {
	find := func(name string) *depot.Ref {
		for i := range refs {
			if name != "" && refs[i].Name == "refs/heads/"+name {
				return &refs[i]
			}
		}
		return nil
	}
	var candidates []string
	if service.Spec.Track != nil {
		candidates = append(candidates, string(service.Spec.Track.Branch))
	}
	for _, r := range releases {
		candidates = append(candidates, strings.TrimPrefix(r.Status.Ref, "refs/heads/"), r.Annotations[annotationAsked])
	}
	for _, name := range append(candidates, "main", "master") {
		if ref := find(name); ref != nil {
			return ref
		}
	}
	return nil
}
