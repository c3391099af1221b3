// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// deed is what somebody did.
type deed struct {
	v1alpha1.AuditEntry
	Namespace, Service string
}

// Link to what it was done to.
func (d deed) Link() string {
	if d.Release != "" {
		return "/r/" + d.Namespace + "/" + d.Release
	}
	return "/s/" + d.Namespace + "/" + d.Service
}

type activityView struct {
	Deeds []deed
	Pager pager
}

// activityPage is who did what, from the records that the Services keep.
func activityPage(ctx context.Context, a *ask) (view, error) {
	f, err := a.fleet(ctx)
	if err != nil {
		return view{}, err
	}
	var deeds []deed
	for _, r := range f.Rows {
		for _, entry := range r.Service.Status.Audit {
			deeds = append(deeds, deed{entry, r.Namespace, r.Name})
		}
	}
	slices.SortStableFunc(deeds, func(a, b deed) int { return cmp.Compare(b.Time.UnixNano(), a.Time.UnixNano()) })
	shownDeeds, p := pageOf(a, deeds)
	return view{Title: a.text("title.activity"), Parts: []part{{"activity", "activity", activityView{shownDeeds, p}, across}}}, nil
}

// right is what somebody may do in a namespace.
type right struct {
	Namespace                             string
	Services                              int
	Release, Control, Approve, Lock, Pass bool
}

type meView struct {
	User   Identity
	Rights []right
}

// mePage is who somebody is, and what he may do.
func mePage(ctx context.Context, a *ask) (view, error) {
	f, err := a.fleet(ctx)
	if err != nil {
		return view{}, err
	}
	v := meView{User: a.user.Identity}
	for _, r := range f.Rows {
		if n := len(v.Rights); n > 0 && v.Rights[n-1].Namespace == r.Namespace {
			v.Rights[n-1].Services++
			continue
		}
		may := func(verb, resource string) bool { return a.user.allowed(ctx, permission{r.Namespace, verb, resource}) }
		v.Rights = append(v.Rights, right{
			Namespace: r.Namespace, Services: 1, Release: may("create", "releases"), Control: may("patch", "releases"), Approve: may("approve", "releases"),
			Lock: may("patch", "services"), Pass: may("override", "releases"),
		})
	}
	return view{Title: a.text("title.me"), Parts: []part{{"me", "me", v, across}}}, nil
}

// maxAsked bounds for how many namespaces the cluster is asked only to say how much somebody may.
const maxAsked = 50

// mayRelease counts the Services that the user may release; 0 if that would take too many questions.
func (a *ask) mayRelease(ctx context.Context) int {
	f, err := a.fleet(ctx)
	if err != nil {
		return 0
	}
	if a.user.allowed(ctx, permission{"", "create", "releases"}) {
		return len(f.Rows)
	}
	services := map[string]int{}
	for i := range f.Rows {
		services[f.Rows[i].Namespace]++
	}
	if len(services) > maxAsked {
		return 0
	}
	may := 0
	for namespace, n := range services {
		if a.user.allowed(ctx, permission{namespace, "create", "releases"}) {
			may += n
		}
	}
	return may
}

func helpPage(_ context.Context, a *ask) (view, error) {
	return view{Title: a.text("title.help"), Still: true, Parts: []part{{"help", "help", keysOf(a.Request), across}}}, nil
}

// jump goes to the one thing that is meant: a Service, a Release, a commit that was released, a host. Else to the list of those
// that may be.
func (c *Console) jump(w http.ResponseWriter, r *http.Request) {
	a, ok := c.ask(w, r)
	if !ok {
		return
	}
	wanted := strings.TrimSpace(r.URL.Query().Get("to"))
	ctx, cancel := context.WithTimeout(r.Context(), pageLimit)
	defer cancel()
	f, err := a.fleet(ctx)
	if err != nil {
		c.trouble(w, r, a, err)
		return
	}
	next := "/?q=" + url.QueryEscape(wanted)
	if wanted != "" && !slices.ContainsFunc(f.Rows, func(r row) bool { return r.has(strings.ToLower(wanted)) }) {
		if where, err := a.elsewhere(ctx, wanted); err != nil {
			c.trouble(w, r, a, err)
			return
		} else if where != "" {
			next = where
		}
	}
	var found []string
	for _, row := range f.Rows {
		if wanted != "" && (row.Name == wanted || row.Namespace+"/"+row.Name == wanted) {
			found = append(found, "/s/"+row.Namespace+"/"+row.Name)
		}
	}
	if len(found) == 1 {
		next = found[0]
	}
	http.Redirect(w, r, next, http.StatusSeeOther)
}

// minCommit is how many digits of a commit are taken for one.
const minCommit = 7

// elsewhere finds a Release by its name or its commit, or hosts by their name or address; empty if there is none.
func (a *ask) elsewhere(ctx context.Context, wanted string) (string, error) {
	var releases v1alpha1.ReleaseList
	if err := a.console.Cache.List(ctx, &releases, client.UnsafeDisableDeepCopy); err != nil {
		return "", fmt.Errorf("read the Releases: %w", err)
	}
	var best *v1alpha1.Release
	for i := range releases.Items {
		r := &releases.Items[i]
		named := r.Name == wanted || r.Namespace+"/"+r.Name == wanted
		if r.IsDryRun() || !named && (len(wanted) < minCommit || !strings.HasPrefix(r.Status.Commit, strings.ToLower(wanted))) || !a.user.sees(ctx, r.Namespace) {
			continue
		}
		if best == nil || best.CreationTimestamp.Before(&r.CreationTimestamp) {
			best = r
		}
	}
	if best != nil {
		return "/r/" + best.Namespace + "/" + best.Name, nil
	}
	var targets v1alpha1.TargetList
	if err := a.console.Cache.List(ctx, &targets, client.UnsafeDisableDeepCopy); err != nil {
		return "", fmt.Errorf("read the Targets: %w", err)
	}
	for i := range targets.Items {
		host := &targets.Items[i].Spec.Host
		if (strings.Contains(host.Name, wanted) || host.Address == wanted || host.ID == wanted) && a.user.sees(ctx, targets.Items[i].Namespace) {
			return "/targets?q=" + url.QueryEscape(wanted), nil
		}
	}
	return "", nil
}
