// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/phase"
)

// shownReleases is how many Releases a Service's page names.
const shownReleases = 5

// subject is a Service with its Releases and hosts, as its pages need it.
type subject struct {
	Service *v1alpha1.Service
	State   phase.Phase
	// Says is one sentence of the controller on how it is.
	Says     string
	Releases []*v1alpha1.Release
	Targets  []v1alpha1.Target
}

// Path of its page.
func (s *subject) Path() string { return "/s/" + s.Service.Namespace + "/" + s.Service.Name }

// Runs says what runs on how many hosts, the most first.
func (s *subject) Runs() []running { return runningOn(s.Targets) }

// Mixed says whether hosts run different things.
func (s *subject) Mixed() bool { return len(s.Runs()) > 1 }

// Topic that its pages listen to.
func (s *subject) Topic() string { return s.Service.Namespace + "/" + s.Service.Name }

// running is what some hosts run.
type running struct {
	Label string
	Hosts int
}

// runningOn counts hosts by what they run, the most first. Those that run nothing are left out. It is pure.
func runningOn(targets []v1alpha1.Target) []running {
	var list []running
	for i := range targets {
		runs := targets[i].Status.Running
		if runs == nil || runs.Label == "" {
			continue
		}
		at := slices.IndexFunc(list, func(r running) bool { return r.Label == runs.Label })
		if at < 0 {
			at, list = len(list), append(list, running{Label: runs.Label})
		}
		list[at].Hosts++
	}
	slices.SortStableFunc(list, func(a, b running) int { return b.Hosts - a.Hosts })
	return list
}

// Running is what most of the hosts should run.
func (s *subject) Running() *v1alpha1.ReleaseRecord { return s.Service.Status.Current }

// Active is the Release that is under way; nil if none is.
func (s *subject) Active() *v1alpha1.Release {
	for _, r := range s.Releases {
		if !phase.Ended(r) {
			return r
		}
	}
	return nil
}

// ActiveState says how the Release is that is under way.
func (s *subject) ActiveState() phase.Phase { return phase.OfRelease(s.Active()) }

// subject reads a Service, if the user may see it.
func (a *ask) subject(ctx context.Context, namespace, name string) (*subject, error) {
	if !a.user.sees(ctx, namespace) {
		return nil, errNotFound
	}
	var service v1alpha1.Service
	if err := a.console.Cache.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &service); err != nil {
		return nil, err
	}
	s := &subject{Service: &service, State: phase.OfService(&service), Says: conditions.Get(service.Status.Conditions, v1alpha1.ConditionReady).Message}
	var releases v1alpha1.ReleaseList
	if err := a.console.Cache.List(ctx, &releases, client.InNamespace(namespace), client.MatchingFields{ServiceField: name}); err != nil {
		return nil, fmt.Errorf("read the Releases: %w", err)
	}
	for i := range releases.Items {
		if r := &releases.Items[i]; !r.IsDryRun() {
			s.Releases = append(s.Releases, r)
		}
	}
	slices.SortFunc(s.Releases, newestFirst)
	var targets v1alpha1.TargetList
	if err := a.console.Cache.List(ctx, &targets, client.InNamespace(namespace), client.MatchingFields{ServiceField: name}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("read the Targets: %w", err)
	}
	s.Targets = targets.Items
	return s, nil
}

// storage is what the depot keeps a Service's things under.
func (s *subject) storage() v1alpha1.UID {
	if s.Service.Status.StorageID != "" {
		return s.Service.Status.StorageID
	}
	return v1alpha1.UID(s.Service.UID)
}

type serviceView struct {
	*subject
	Verdict    string
	Undeployed commits
	Branch     string
	Shown      []releaseRow
	Buttons    []button
	// ReviewTip reviews the release of what is not released yet; nil for who may not release.
	ReviewTip   *button
	LockForm    *button
	UnlockForm  *button
	Conditions  []conditionRow
	Config      string
	ManagedBy   string
	Restoration *figures
	Down        []targetRow
}

// conditionRow is a condition of a Service that says more than that all is well.
type conditionRow struct{ Type, Message string }

// releaseRow is one line in a list of Releases.
type releaseRow struct {
	*v1alpha1.Release
	State phase.Phase
	Took  time.Duration
}

// Begun is when a Release was asked for, as far as it is known: one that was restored from a backup was made later.
func (r releaseRow) Begun() metav1.Time { return begun(r.Release) }

func begun(r *v1alpha1.Release) metav1.Time {
	if r.Status.StartTime != nil {
		return *r.Status.StartTime
	}
	return r.CreationTimestamp
}

// Subject of its commit.
func (r releaseRow) Subject() string {
	if r.Status.Described == nil {
		return ""
	}
	return r.Status.Described.Subject
}

// program is what is no person behind a user's name: the manager, or a service account, as NAMESPACE:NAME; empty for people. Pages show
// it in another way, for a person may be called anything.
func program(user string) string {
	if user == v1alpha1.RequestedByManager {
		return "Slipway"
	}
	name, _ := strings.CutPrefix(user, "system:serviceaccount:")
	if name == user {
		return ""
	}
	return name
}

func rowsOf(releases []*v1alpha1.Release) []releaseRow {
	var rows []releaseRow
	for _, r := range releases {
		row := releaseRow{Release: r, State: phase.OfRelease(r)}
		if r.Status.CompletionTime != nil && r.Status.StartTime != nil {
			row.Took = r.Status.CompletionTime.Sub(r.Status.StartTime.Time)
		}
		rows = append(rows, row)
	}
	return rows
}

// worth are the conditions that a Service's page tells of when they are True.
var worth = []string{v1alpha1.ConditionReleaseNeeded, v1alpha1.ConditionDiverged, v1alpha1.ConditionAdoptionRequired, v1alpha1.ConditionDriftStorm}

func servicePage(ctx context.Context, a *ask) (view, error) {
	s, err := a.subject(ctx, a.PathValue("ns"), a.PathValue("name"))
	if err != nil {
		return view{}, err
	}
	v := serviceView{subject: s, ManagedBy: managedBy(s.Service), Shown: rowsOf(s.Releases[:min(shownReleases, len(s.Releases))])}
	v.Verdict = a.verdict(s)
	v.Restoration = figuresOf(s.Releases, a.now)
	for _, condition := range worth {
		if found := conditions.Get(s.Service.Status.Conditions, condition); found.Status == "True" {
			v.Conditions = append(v.Conditions, conditionRow{condition, found.Message})
		}
	}
	for _, row := range targetRows(s.Targets) {
		if row.State.Tone == "bad" || row.State.Tone == "warn" {
			v.Down = append(v.Down, row)
		}
	}
	v.Down = v.Down[:min(len(v.Down), 10)]
	a.undeployed(ctx, &v)
	a.serviceButtons(ctx, &v)
	spec := s.Service.Spec.DeepCopy()
	if text, err := yaml.Marshal(spec); err == nil {
		v.Config = string(text)
	}
	return view{Title: s.Service.Name, Topic: s.Topic(), Reload: reloadTyping, Parts: []part{
		{"head", "service-head", v, across}, {"work", "service-work", v, mainColumn}, {"undeployed", "service-undeployed", v, mainColumn},
		{"releases", "service-releases", v, mainColumn}, {"config", "service-config", v, mainColumn},
		{"facts", "service-facts", v, sideColumn}, {"figures", "figures", v.Restoration, sideColumn},
	}}, nil
}

// verdict says in one sentence how a Service is.
func (a *ask) verdict(s *subject) string {
	name, moved := "", s.Service.Status.Targets.Updated
	if active := s.Active(); active != nil {
		name, moved = active.Name, active.Status.Targets.Updated
	}
	status := &s.Service.Status
	return a.text("verdict.service."+s.State.Key, status.Targets.Total, status.Targets.Ready, status.Running, name, moved)
}

func (a *ask) serviceButtons(ctx context.Context, v *serviceView) {
	namespace := v.Service.Namespace
	may := permission{namespace, "create", "releases"}
	release := a.permit(ctx, button{Verb: "release", Path: v.Path() + "/new", Method: "GET"}, may)
	back := a.permit(ctx, button{Verb: "rollBack", Path: v.Path() + "/back", Method: "GET"}, may)
	if back.Why == "" && len(earlier(v.subject)) == 0 {
		back.Why = a.text("why.nothingEarlier")
	}
	v.Buttons = []button{release, back}
	if release.Why == "" {
		v.ReviewTip = &button{Path: v.Path() + "/plan"}
	}
	if v.Service.Spec.Lock == nil {
		b := a.lockButton(ctx, v.subject, "")
		v.LockForm = &b
		return
	}
	b := a.permit(ctx, button{
		Verb: "unlock", Path: v.Path() + "/unlock", Method: "POST",
		Command: patchCommand(namespace, "slsvc", v.Service.Name, "merge", object{"spec": object{"lock": nil}}),
	}, permission{namespace, "patch", "services"})
	v.UnlockForm = &b
}

// managers are the field managers of tools that apply what a repository says.
var managers = map[string]string{
	"kustomize-controller": "Flux", "helm-controller": "Flux", "argocd-controller": "Argo CD", "argocd-application-controller": "Argo CD",
	"kubectl-client-side-apply": "kubectl apply", "kubectl": "kubectl apply",
}

// managedBy names the tool that applies a Service from a repository; empty if none does.
func managedBy(service *v1alpha1.Service) string {
	for _, entry := range service.ManagedFields {
		if name, known := managers[entry.Manager]; known && entry.Subresource == "" {
			return name
		}
	}
	return ""
}

// earlier lists the Releases that a Service can go back to: those that succeeded before what runs, each artifact once.
func earlier(s *subject) []*v1alpha1.Release {
	current := s.Running()
	var list []*v1alpha1.Release
	seen := map[string]bool{}
	if current != nil {
		seen[current.Digest] = true
	}
	for _, r := range s.Releases {
		if !phase.Ended(r) || phase.OfRelease(r).Key != "succeeded" || r.Status.Artifact == nil || seen[r.Status.Artifact.Digest] {
			continue
		}
		seen[r.Status.Artifact.Digest] = true
		list = append(list, r)
	}
	return list
}

type historyView struct {
	*subject
	Rows  []releaseRow
	Pager pager
}

func historyPage(ctx context.Context, a *ask) (view, error) {
	s, err := a.subject(ctx, a.PathValue("ns"), a.PathValue("name"))
	if err != nil {
		return view{}, err
	}
	rows, p := pageOf(a, rowsOf(s.Releases))
	return view{Title: a.text("title.history", s.Service.Name), Topic: s.Topic(), Parts: []part{
		{"head", "history-head", s, across}, {"history", "history", historyView{s, rows, p}, mainColumn}, {"figures", "figures", figuresOf(s.Releases, a.now), sideColumn},
	}}, nil
}
