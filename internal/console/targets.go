// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/phase"
)

// targetRow is one host.
type targetRow struct {
	Target  *v1alpha1.Target
	State   phase.Phase
	Message string
	Running string
}

// Release that it is to run, or runs; empty if it is none.
func (r targetRow) Release() string {
	if order := r.Target.Spec.Artifact; order != nil {
		return order.Release
	}
	return ""
}

// Path of its page, below a Release's.
func (r targetRow) Path(release *v1alpha1.Release) string {
	return "/r/" + release.Namespace + "/" + release.Name + "/t/" + r.Target.Name
}

var tones = map[string]int{"bad": 0, "warn": 1, "busy": 2, "calm": 3, "good": 4}

// targetRows are the hosts of a Service, those in trouble first.
func targetRows(targets []v1alpha1.Target) []targetRow {
	rows := make([]targetRow, 0, len(targets))
	for i := range targets {
		target := &targets[i]
		row := targetRow{Target: target, State: phase.OfTarget(target), Message: conditions.Get(target.Status.Conditions, v1alpha1.ConditionReady).Message}
		if target.Status.Running != nil {
			row.Running = target.Status.Running.Label
		}
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(a, b targetRow) int {
		return cmp.Or(tones[a.State.Tone]-tones[b.State.Tone], naturally(a.Target.Spec.Host.Name, b.Target.Spec.Host.Name))
	})
	return rows
}

// naturally orders names so that web-2 comes before web-10.
func naturally(a, b string) int {
	for a != "" && b != "" {
		na, nb := digits(a), digits(b)
		if na > 0 && nb > 0 {
			x, y := strings.TrimLeft(a[:na], "0"), strings.TrimLeft(b[:nb], "0")
			if c := cmp.Or(len(x)-len(y), cmp.Compare(x, y)); c != 0 {
				return c
			}
			a, b = a[na:], b[nb:]
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return len(a) - len(b)
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

func sortInts(list []int64) { slices.Sort(list) }

type targetsView struct {
	Rows   []targetRow
	Pager  pager
	Filter string
	State  string
	States []phase.Phase
}

// targetsPage lists all hosts.
func targetsPage(ctx context.Context, a *ask) (view, error) {
	var list v1alpha1.TargetList
	if err := a.console.Cache.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return view{}, fmt.Errorf("read the Targets: %w", err)
	}
	visible := map[string]bool{}
	query := a.URL.Query()
	filter, state := strings.ToLower(strings.TrimSpace(query.Get("q"))), query.Get("state")
	var states []phase.Phase
	var rows []targetRow
	for _, row := range targetRows(list.Items) {
		target := row.Target
		sees, known := visible[target.Namespace]
		if !known {
			sees = a.user.sees(ctx, target.Namespace)
			visible[target.Namespace] = sees
		}
		if !sees {
			continue
		}
		if !slices.Contains(states, row.State) {
			states = append(states, row.State)
		}
		host := target.Spec.Host
		text := strings.ToLower(strings.Join([]string{target.Namespace + "/" + target.Spec.Service, host.Name, host.Address, host.ID, row.Running}, " "))
		if state != "" && row.State.Key != state || filter != "" && !strings.Contains(text, filter) {
			continue
		}
		rows = append(rows, row)
	}
	shownRows, p := pageOf(a, rows)
	return view{Title: a.text("title.targets"), Parts: []part{
		{"filter", "filter", fleetView{Heading: a.text("title.targets"), Filter: query.Get("q"), State: state, States: states}, across},
		{"targets", "targets", targetsView{Rows: shownRows, Pager: p}, across},
	}}, nil
}

type targetView struct {
	*subject
	Release *v1alpha1.Release
	Row     targetRow
	Others  []conditionRow
	// Retry tries the host again at once; nil if there is nothing to try.
	Retry *button
}

// targetPage is one host, with what the last delivery to it did.
func targetPage(ctx context.Context, a *ask) (view, error) {
	release, s, err := a.releaseAndSubject(ctx)
	if err != nil {
		return view{}, err
	}
	for _, row := range targetRows(s.Targets) {
		if row.Target.Name != a.PathValue("target") {
			continue
		}
		v := targetView{subject: s, Release: release, Row: row}
		for _, c := range row.Target.Status.Conditions {
			v.Others = append(v.Others, conditionRow{c.Type + "=" + string(c.Status), c.Message})
		}
		if row.State != phase.Well {
			b := a.permit(ctx, button{
				Verb: "retry", Path: row.Path(release) + "/retry", Method: "POST",
				Command: fmt.Sprintf(`kubectl -n %s annotate sltgt %s --overwrite %s="$(date -u +%%FT%%TZ)"`, row.Target.Namespace, row.Target.Name, v1alpha1.AnnotationRetry),
			}, permission{row.Target.Namespace, "patch", "targets"})
			v.Retry = &b
		}
		return view{Title: row.Target.Spec.Host.Name, Topic: s.Topic(), Parts: []part{
			{"head", "target-head", v, across}, {"delivery", "target-delivery", v, mainColumn}, {"facts", "target-facts", v, sideColumn},
		}}, nil
	}
	return view{}, errNotFound
}

// retry has a host tried again at once, although it rests after a failure.
func (c *Console) retry(ctx context.Context, a *ask) (string, error) {
	release, s, err := a.releaseAndSubject(ctx)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(s.Targets, func(t v1alpha1.Target) bool { return t.Name == a.PathValue("target") })
	if i < 0 {
		return "", errNotFound
	}
	target := s.Targets[i].DeepCopy()
	before := target.DeepCopy()
	metav1.SetMetaDataAnnotation(&target.ObjectMeta, v1alpha1.AnnotationRetry, a.now.UTC().Format(time.RFC3339))
	if err := a.user.client.Patch(ctx, target, client.MergeFrom(before), fieldOwner); err != nil {
		return "", err
	}
	c.audit(a, "retried", target.Namespace+"/"+target.Name)
	return targetRow{Target: target}.Path(release), nil
}
