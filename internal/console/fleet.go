// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/notify"
	"github.com/slipway-dev/slipway/internal/phase"
)

// perPage is how many Services, or hosts, a page lists.
const perPage = 100

// fleet is all that a user may see, in short.
type fleet struct {
	Needs  []need
	Moving []movement
	Rows   []row
}

// need is something that waits for a person.
type need struct {
	State              phase.Phase
	Namespace, Service string
	// Release that it is about; empty: the Service as a whole.
	Release string
	// What is the rest of a key below "needs.".
	What   string
	Detail string
	// By asked for it, Since is when it began; empty if that is not known.
	By    string
	Since metav1.Time
	rank  int
}

// Link to where it can be seen to.
func (n need) Link() string {
	if n.Release != "" {
		return "/r/" + n.Namespace + "/" + n.Release
	}
	return "/s/" + n.Namespace + "/" + n.Service
}

// movement is a Release that is under way.
type movement struct {
	Release            *v1alpha1.Release
	State              phase.Phase
	Namespace, Service string
	Done, Total        int32
}

// row is one Service.
type row struct {
	Namespace, Name string
	State           phase.Phase
	Service         *v1alpha1.Service
	// Running says which revision runs; Subject what its commit is.
	Running, Subject string
	// Mixed is what runs on how many hosts, where that is not the same.
	Mixed     []running
	Last      *v1alpha1.Release
	LastState phase.Phase
	Lock      string
}

// has says whether a row has a text, in small letters.
func (r row) has(text string) bool {
	return strings.Contains(strings.ToLower(r.Namespace+"/"+r.Name+" "+r.Running+" "+r.Subject), text)
}

// fleet reads what there is. It is read once for each page.
func (a *ask) fleet(ctx context.Context) (*fleet, error) {
	if a.seen != nil {
		return a.seen, nil
	}
	var services v1alpha1.ServiceList
	var releases v1alpha1.ReleaseList
	for _, list := range []client.ObjectList{&services, &releases} {
		if err := a.console.Cache.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("read the cache: %w", err)
		}
	}
	visible := map[string]bool{}
	sees := func(namespace string) bool {
		is, known := visible[namespace]
		if !known {
			is = a.user.sees(ctx, namespace)
			visible[namespace] = is
		}
		return is
	}
	services.Items = slices.DeleteFunc(slices.Clone(services.Items), func(s v1alpha1.Service) bool { return !sees(s.Namespace) })
	a.seen = fleetOf(services.Items, releases.Items)
	return a.seen, nil
}

// fleetOf sums Services and their Releases up. It is pure.
func fleetOf(services []v1alpha1.Service, releases []v1alpha1.Release) *fleet {
	f := &fleet{}
	byService := map[types.NamespacedName][]*v1alpha1.Release{}
	for i := range releases {
		if r := &releases[i]; !r.IsDryRun() {
			key := types.NamespacedName{Namespace: r.Namespace, Name: r.Spec.Service}
			byService[key] = append(byService[key], r)
		}
	}
	for i := range services {
		service := &services[i]
		own := byService[client.ObjectKeyFromObject(service)]
		slices.SortFunc(own, newestFirst)
		r := row{Namespace: service.Namespace, Name: service.Name, State: phase.OfService(service), Service: service, Running: service.Status.Running}
		if len(own) > 0 {
			r.Last, r.LastState = own[0], phase.OfRelease(own[0])
		}
		if current := service.Status.Current; current != nil {
			r.Subject = subjectOf(own, current.Commit)
		}
		if lock := service.Spec.Lock; lock != nil {
			r.Lock = lock.Reason
		}
		f.Rows = append(f.Rows, r)
		f.Needs = append(f.Needs, needsOf(service, own)...)
		for _, release := range own {
			if !phase.Ended(release) {
				f.Moving = append(f.Moving, movement{
					Release: release, State: phase.OfRelease(release), Namespace: service.Namespace, Service: service.Name,
					Done: release.Status.Targets.Updated, Total: release.Status.Targets.Total,
				})
			}
		}
	}
	slices.SortFunc(f.Rows, func(a, b row) int { return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name)) })
	slices.SortStableFunc(f.Needs, func(a, b need) int {
		return cmp.Or(a.rank-b.rank, cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Service, b.Service))
	})
	slices.SortStableFunc(f.Moving, func(a, b movement) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Service, b.Service), newestFirst(a.Release, b.Release))
	})
	return f
}

// newestFirst orders the Releases of a Service.
func newestFirst(a, b *v1alpha1.Release) int {
	if a.Status.Sequence == 0 || b.Status.Sequence == 0 { // not numbered yet: just made
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(b.Name, a.Name))
	}
	return cmp.Or(cmp.Compare(b.Status.Sequence, a.Status.Sequence), cmp.Compare(b.Name, a.Name))
}

func subjectOf(releases []*v1alpha1.Release, commit string) string {
	for _, r := range releases {
		if r.Status.Commit == commit && r.Status.Described != nil {
			return r.Status.Described.Subject
		}
	}
	return ""
}

// needsOf lists what of a Service waits for a person.
func needsOf(service *v1alpha1.Service, releases []*v1alpha1.Release) []need {
	var list []need
	add := func(rank int, state phase.Phase, release, what, detail string) *need {
		list = append(list, need{State: state, Namespace: service.Namespace, Service: service.Name, Release: release, What: what, Detail: detail, rank: rank})
		return &list[len(list)-1]
	}
	since := func(n *need, r *v1alpha1.Release) {
		n.By, n.Since = r.Spec.RequestedBy, conditions.Get(r.Status.Conditions, v1alpha1.ConditionReady).LastTransitionTime
	}
	ready := conditions.Get(service.Status.Conditions, v1alpha1.ConditionReady).Message
	switch state := phase.OfService(service); state.Key {
	case "driftStorm":
		add(0, state, "", "driftStorm", conditions.Get(service.Status.Conditions, v1alpha1.ConditionDriftStorm).Message)
	case "failed", "degraded", "mixed", "adoption", "noTargets":
		add(1, state, "", state.Key, ready)
	}
	for _, r := range releases {
		if phase.Ended(r) {
			continue
		}
		state, message := phase.OfRelease(r), conditions.Get(r.Status.Conditions, v1alpha1.ConditionReady).Message
		switch {
		case notify.Gate(r) != "":
			since(add(2, state, r.Name, "approval", message), r)
		case conditions.Get(r.Status.Conditions, v1alpha1.ConditionReady).Reason == v1alpha1.ReasonHookUnknown:
			since(add(1, state, r.Name, "hook", message), r)
		case r.Spec.Paused:
			if len(r.Status.Failures) == 0 { // it says how to go on with kubectl, and nothing else
				message = ""
			}
			since(add(3, state, r.Name, "paused", message), r)
		}
	}
	if last := lastEnded(releases); last != nil && (phase.OfRelease(last).Key == "failed" || phase.OfRelease(last).Key == "rolledBack") && last == newest(releases) {
		if len(list) == 0 || list[0].What != "failed" {
			n := add(1, phase.OfRelease(last), last.Name, "lastFailed", conditions.Get(last.Status.Conditions, v1alpha1.ConditionSucceeded).Message)
			n.By = last.Spec.RequestedBy
			if last.Status.CompletionTime != nil {
				n.Since = *last.Status.CompletionTime
			}
		}
	}
	return list
}

func newest(releases []*v1alpha1.Release) *v1alpha1.Release {
	if len(releases) == 0 {
		return nil
	}
	return releases[0]
}

func lastEnded(releases []*v1alpha1.Release) *v1alpha1.Release {
	for _, r := range releases {
		if phase.Ended(r) {
			return r
		}
	}
	return nil
}

// pager is which part of a long list is shown.
type pager struct {
	From, To, Total int
	// Previous and Next are the addresses of the pages before and after; empty if there are none.
	Previous, Next string
}

// pageOf cuts a list.
func pageOf[T any](a *ask, list []T) ([]T, pager) {
	number, _ := strconv.Atoi(a.URL.Query().Get("page"))
	last := max((len(list)-1)/perPage, 0)
	number = max(0, min(number, last))
	at := func(n int) string {
		q := a.URL.Query()
		q.Set("page", strconv.Itoa(n))
		return a.URL.Path + "?" + q.Encode()
	}
	from, to := number*perPage, min((number+1)*perPage, len(list))
	p := pager{From: from + 1, To: to, Total: len(list)}
	if number > 0 {
		p.Previous = at(number - 1)
	}
	if number < last {
		p.Next = at(number + 1)
	}
	return list[from:to], p
}

type fleetView struct {
	// Heading stands above the filter.
	Heading string
	Rows    []row
	Pager   pager
	Filter  string
	State   string
	States  []phase.Phase
	Nothing bool
}

// fleetPage is the first page.
func fleetPage(ctx context.Context, a *ask) (view, error) {
	f, err := a.fleet(ctx)
	if err != nil {
		return view{}, err
	}
	query := a.URL.Query()
	filter, state := strings.ToLower(strings.TrimSpace(query.Get("q"))), query.Get("state")
	var states []phase.Phase
	var rows []row
	for _, r := range f.Rows {
		if !slices.Contains(states, r.State) {
			states = append(states, r.State)
		}
		if state != "" && r.State.Key != state || filter != "" && !r.has(filter) {
			continue
		}
		rows = append(rows, r)
	}
	shownRows, p := pageOf(a, rows)
	for i := range shownRows {
		if err := a.mixed(ctx, &shownRows[i]); err != nil {
			return view{}, err
		}
	}
	return view{Title: a.text("title.fleet"), Parts: []part{
		{"needs", "needs", f.Needs, across},
		{"moving", "moving", f.Moving, across},
		{"filter", "filter", fleetView{Filter: query.Get("q"), State: state, States: states}, across},
		{"services", "services", fleetView{Rows: shownRows, Pager: p, Filter: query.Get("q"), State: state, Nothing: len(f.Rows) == 0}, across},
	}}, nil
}

// mixed finds out what runs where, if that is not the same everywhere.
func (a *ask) mixed(ctx context.Context, r *row) error {
	if r.State != phase.Mixed && r.State != phase.Rolling && r.State != phase.RollingBack {
		return nil
	}
	var targets v1alpha1.TargetList
	err := a.console.Cache.List(ctx, &targets, client.InNamespace(r.Namespace), client.MatchingFields{ServiceField: r.Name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return fmt.Errorf("read the Targets: %w", err)
	}
	if runs := runningOn(targets.Items); len(runs) > 1 {
		r.Mixed = runs
	}
	return nil
}

// text is a phrase in the language of who asks.
func (a *ask) text(key string, values ...any) string {
	return a.console.render.text(languageOf(a.Request), key, values...)
}

// gate is a gate in the language of who asks.
func (a *ask) gate(name string) string {
	return a.console.render.gate(languageOf(a.Request), name)
}
