// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/gitsource"
	"github.com/slipway-dev/slipway/internal/phase"
)

// annotationAsked keeps what a person named, where the Release is of the commit that it was when it was reviewed.
const annotationAsked = "slipway.dev/asked-for"

// refsShown is how many branches and tags are offered at once.
const refsShown = 30

type newView struct {
	*subject
	// Choosing: nothing was asked for yet.
	Refs    []depot.Ref
	Asked   string
	Search  string
	Trouble string
	Button  button
	// Reviewing a plan.
	Plan     *v1alpha1.Release
	Answer   *v1alpha1.ReleasePlan
	Commit   string
	Label    string
	Commits  commits
	Undone   commits
	Release  button
	Manifest string
	Typical  time.Duration
	// Order is how many hosts move one after the other: "1, then 2, then 5"; empty if they move at once.
	Order   string
	Managed string
	Late    bool
}

// Live says whether a commit is what most of the hosts should run.
func (v newView) Live(commit string) bool { return v.Running() != nil && v.Running().Commit == commit }

// newPage lets people choose what to release, and shows them what that would do before they do it.
func newPage(ctx context.Context, a *ask) (view, error) {
	s, err := a.subject(ctx, a.PathValue("ns"), a.PathValue("name"))
	if err != nil {
		return view{}, err
	}
	v := newView{subject: s, Managed: managedBy(s.Service)}
	title := a.text("title.new", s.Service.Name)
	name := a.URL.Query().Get("plan")
	if name == "" {
		a.choose(ctx, &v)
		return view{Title: title, Topic: s.Topic(), Reload: -1, Parts: []part{{"choose", "choose", v, across}}}, nil
	}
	var planned v1alpha1.Release
	if err := a.console.Cache.Get(ctx, client.ObjectKey{Namespace: s.Service.Namespace, Name: name}, &planned); client.IgnoreNotFound(err) != nil {
		return view{}, err
	} else if err == nil && planned.IsDryRun() && planned.Spec.Service == s.Service.Name {
		v.Plan, v.Answer = &planned, planned.Status.Plan
	}
	if v.Answer != nil {
		a.reviewed(ctx, &v)
	} else {
		v.Late = v.Plan != nil && a.now.Sub(v.Plan.CreationTimestamp.Time) > time.Minute
	}
	reload := 5 * time.Second
	if v.Answer != nil {
		reload = -1
	}
	return view{Title: title, Topic: s.Topic(), Reload: reload, Parts: []part{{"review", "review", v, across}}}, nil
}

// choose offers branches and tags.
func (a *ask) choose(ctx context.Context, v *newView) {
	v.Search, v.Asked = strings.TrimSpace(a.URL.Query().Get("q")), strings.TrimSpace(a.URL.Query().Get("rev"))
	v.Button = a.permit(ctx, button{Verb: "review", Path: v.Path() + "/plan", Method: "POST"}, permission{v.Service.Namespace, "create", "releases"})
	if a.console.Depot == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, commitsLimit)
	defer cancel()
	refs, err := a.console.Depot.Refs(ctx, depot.RefsRequest{Service: v.storage(), URL: v.Service.Spec.Source.Git.URL, Search: v.Search, Limit: refsShown})
	if err != nil {
		v.Trouble = err.Error()
	}
	v.Refs = refs
}

// reviewed fills in what a plan says.
func (a *ask) reviewed(ctx context.Context, v *newView) {
	v.Commit, v.Label = v.Answer.Commit, string(v.Plan.Spec.Revision)
	if current := v.Running(); current != nil && v.Commit != "" && current.Commit != v.Commit {
		v.Commits, v.Undone = a.commits(ctx, v.subject, current.Commit, v.Commit), a.commits(ctx, v.subject, v.Commit, current.Commit)
	}
	v.Typical, v.Order = typical(v.Releases), strings.Join(sizes(v.Answer.Batches), a.text("review.then"))
	release := releaseOf(v.Plan, a.user.Name)
	if text, err := yaml.Marshal(manifest(release)); err == nil {
		v.Manifest = string(text)
	}
	v.Release = a.permit(ctx, button{
		Verb: "releaseNow", Path: v.Path() + "/release", Method: "POST", Values: []any{short(v.Commit), v.Answer.Moving}, Reason: true,
		Hidden: map[string]string{"plan": v.Plan.Name}, Checks: choices(v.Service),
	}, permission{v.Service.Namespace, "create", "releases"})
	if v.Commit == "" {
		v.Release.Why = a.text("why.notResolved")
	}
}

// maxOrder is how many batches are counted in words; more are a list to look at.
const maxOrder = 8

// sizes of batches; none if there are not several, or very many.
func sizes(batches []v1alpha1.PlannedBatch) []string {
	var list []string
	for _, b := range batches {
		if b.Hosts > 0 {
			list = append(list, strconv.Itoa(int(b.Hosts)))
		}
	}
	if len(list) < 2 || len(list) > maxOrder {
		return nil
	}
	return list
}

// The choices that a person has when he releases, beside what. They are names of fields of the form.
const choiceRebuild, choiceSkipBefore, choiceSkipAfter = "rebuild", "skipBefore", "skipAfter"

// choices are those that mean something for a Service.
func choices(service *v1alpha1.Service) []string {
	list := []string{choiceRebuild}
	hooks := service.Spec.Deploy.Hooks
	if hooks.BeforeRollout != nil {
		list = append(list, choiceSkipBefore)
	}
	if hooks.AfterRollout != nil {
		list = append(list, choiceSkipAfter)
	}
	return list
}

// chosen writes what was ticked into a Release.
func (a *ask) chosen(spec *v1alpha1.ReleaseSpec) {
	if a.PostFormValue(choiceRebuild) != "" {
		spec.Rebuild = a.now.UTC().Format("2006-01-02T15.04.05")
	}
	for name, hook := range map[string]v1alpha1.ReleaseHookName{choiceSkipBefore: v1alpha1.HookBeforeRollout, choiceSkipAfter: v1alpha1.HookAfterRollout} {
		if a.PostFormValue(name) != "" {
			spec.SkipHooks = append(spec.SkipHooks, hook)
		}
	}
}

// typical is how long Releases of a Service take: the median of those that succeeded.
func typical(releases []*v1alpha1.Release) time.Duration {
	var took []time.Duration
	for _, r := range releases {
		if phase.OfRelease(r).Key == "succeeded" && r.Status.StartTime != nil && r.Status.CompletionTime != nil {
			took = append(took, r.Status.CompletionTime.Sub(r.Status.StartTime.Time))
		}
	}
	return median(took)
}

// releaseOf is the Release that a plan was made for. It is of what was reviewed: of a branch the commit, for a branch may have moved
// since.
func releaseOf(plan *v1alpha1.Release, by string) *v1alpha1.Release {
	suffix := plan.Name // of a plan that was not made here
	if i := strings.LastIndex(plan.Name, planInfix); i >= 0 {
		suffix = plan.Name[i+len(planInfix):]
	}
	release := &v1alpha1.Release{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Release"},
		ObjectMeta: metav1.ObjectMeta{Namespace: plan.Namespace, Name: plan.Spec.Service + "-" + suffix},
		Spec:       v1alpha1.ReleaseSpec{Service: plan.Spec.Service, Revision: plan.Spec.Revision, RequestedBy: by},
	}
	answer := plan.Status.Plan
	if answer != nil && answer.Commit != "" && !strings.HasPrefix(answer.Ref, "refs/tags/") {
		release.Spec.Revision = v1alpha1.Revision(answer.Commit)
		if asked := strings.TrimPrefix(answer.Ref, "refs/heads/"); asked != "" {
			release.Annotations = map[string]string{annotationAsked: asked}
		}
	}
	return release
}

// manifest is a Release as people write one.
func manifest(release *v1alpha1.Release) map[string]any {
	metadata := map[string]any{"name": release.Name, "namespace": release.Namespace}
	if len(release.Annotations) > 0 {
		metadata["annotations"] = release.Annotations
	}
	spec := map[string]any{"service": release.Spec.Service, "revision": string(release.Spec.Revision), "reason": release.Spec.Reason}
	return map[string]any{"apiVersion": release.APIVersion, "kind": release.Kind, "metadata": metadata, "spec": spec}
}

// planInfix marks the names of plans: the Release that follows one has its name without it, so that pressing twice makes one.
const planInfix = "-plan-"

// plan asks what a Release would do.
func (c *Console) plan(ctx context.Context, a *ask) (string, error) {
	s, err := a.subject(ctx, a.PathValue("ns"), a.PathValue("name"))
	if err != nil {
		return "", err
	}
	revision := strings.TrimSpace(a.PostFormValue("revision"))
	for _, prefix := range []string{"refs/heads/", "refs/tags/"} {
		revision = strings.TrimPrefix(revision, prefix)
	}
	if revision == "" {
		return "", &refusal{a.text("refuse.revision")}
	}
	if err := gitsource.CheckRevision(revision); err != nil {
		return "", &refusal{err.Error()}
	}
	plan := &v1alpha1.Release{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.Service.Namespace, Name: s.Service.Name + planInfix + rand.String(5), Annotations: map[string]string{v1alpha1.AnnotationDryRun: "true"},
		},
		Spec: v1alpha1.ReleaseSpec{Service: s.Service.Name, Revision: v1alpha1.Revision(revision)},
	}
	if err := a.user.client.Create(ctx, plan, fieldOwner); err != nil {
		return "", err
	}
	return s.Path() + "/new?plan=" + plan.Name, nil
}

// release makes the Release of a plan.
func (c *Console) release(ctx context.Context, a *ask) (string, error) {
	s, err := a.subject(ctx, a.PathValue("ns"), a.PathValue("name"))
	if err != nil {
		return "", err
	}
	var plan v1alpha1.Release
	if err := c.Cache.Get(ctx, client.ObjectKey{Namespace: s.Service.Namespace, Name: a.PostFormValue("plan")}, &plan); err != nil {
		return "", err
	}
	if !plan.IsDryRun() || plan.Spec.Service != s.Service.Name || plan.Status.Plan == nil || plan.Status.Plan.Commit == "" {
		return "", &refusal{a.text("why.notResolved")}
	}
	release := releaseOf(&plan, "")
	release.Spec.Reason = reasonOf(a)
	a.chosen(&release.Spec)
	path := "/r/" + release.Namespace + "/" + release.Name
	err = a.user.client.Create(ctx, release, fieldOwner)
	if apierrors.IsAlreadyExists(err) { // the button was pressed twice, or somebody has taken the name
		var there v1alpha1.Release
		if err := a.user.client.Get(ctx, client.ObjectKeyFromObject(release), &there); err != nil {
			return "", err
		}
		if there.Spec.Service != release.Spec.Service || there.Spec.Revision != release.Spec.Revision {
			return "", &refusal{a.text("refuse.taken", release.Name)}
		}
		return path, nil
	}
	if err != nil {
		return "", err
	}
	c.audit(a, "released", release.Namespace+"/"+release.Name, "revision", string(release.Spec.Revision))
	return path, nil
}

type backView struct {
	*subject
	Rows    []backRow
	Button  button
	Current *v1alpha1.ReleaseRecord
}

// backRow is an earlier Release, with how many commits going back to it undoes.
type backRow struct {
	releaseRow
	Undone commits
	// Again is what has to be named to release it.
	Again string
}

// undoneShown is how many earlier Releases are compared with what runs.
const undoneShown = 5

// backPage lists what a Service can go back to.
func backPage(ctx context.Context, a *ask) (view, error) {
	s, err := a.subject(ctx, a.PathValue("ns"), a.PathValue("name"))
	if err != nil {
		return view{}, err
	}
	v := backView{subject: s, Current: s.Running()}
	v.Button = a.permit(ctx, button{Verb: "review", Path: s.Path() + "/plan", Method: "POST"}, permission{s.Service.Namespace, "create", "releases"})
	for i, row := range rowsOf(earlier(s)) {
		one := backRow{releaseRow: row, Again: again(row.Release)}
		if v.Current != nil && i < undoneShown {
			one.Undone = a.commits(ctx, s, row.Status.Commit, v.Current.Commit)
		}
		v.Rows = append(v.Rows, one)
	}
	return view{Title: a.text("title.back", s.Service.Name), Topic: s.Topic(), Parts: []part{{"back", "back", v, across}}}, nil
}

type diffView struct {
	*subject
	From, To string
	Commits  commits
	Undone   commits
	Files    *filesView
}

type filesView struct {
	Added, Changed, Deleted int64
	Bytes                   int64
	Lists                   []fileList
	Trouble                 string
}

type fileList struct {
	Key   string
	Paths []string
	More  int64
}

// diffPage says what lies between two commits.
func diffPage(ctx context.Context, a *ask) (view, error) {
	s, err := a.subject(ctx, a.PathValue("ns"), a.PathValue("name"))
	if err != nil {
		return view{}, err
	}
	from, to, ok := strings.Cut(a.PathValue("range"), "...")
	if !ok || !gitsource.IsCommit(from) || !gitsource.IsCommit(to) {
		return view{}, errNotFound
	}
	v := diffView{subject: s, From: from, To: to}
	v.Commits, v.Undone = a.commits(ctx, s, from, to), a.commits(ctx, s, to, from)
	v.Files = a.files(ctx, s, from, to)
	return view{Title: a.text("title.diff", s.Service.Name), Topic: s.Topic(), Still: true, Parts: []part{{"diff", "diff", v, across}}}, nil
}

// files compares the artifacts of two commits, if both are known.
func (a *ask) files(ctx context.Context, s *subject, from, to string) *filesView {
	digest := func(commit string) string {
		i := slices.IndexFunc(s.Releases, func(r *v1alpha1.Release) bool { return r.Status.Commit == commit && r.Status.Artifact != nil })
		if i < 0 {
			return ""
		}
		return s.Releases[i].Status.Artifact.Digest
	}
	pair := depot.Pair{FromService: s.storage(), From: digest(from), ToService: s.storage(), To: digest(to), Limit: 200}
	if a.console.Depot == nil || pair.From == "" || pair.To == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, commitsLimit)
	defer cancel()
	d, err := a.console.Depot.Compare(ctx, pair)
	if err != nil {
		return &filesView{Trouble: err.Error()}
	}
	return &filesView{Added: d.Added, Changed: d.Changed, Deleted: d.Deleted, Bytes: d.Bytes, Lists: []fileList{
		{"changed", d.ChangedPaths, d.Changed - int64(len(d.ChangedPaths))}, {"added", d.AddedPaths, d.Added - int64(len(d.AddedPaths))},
		{"deleted", d.DeletedPaths, d.Deleted - int64(len(d.DeletedPaths))},
	}}
}

// refusal is what a person is told who asked for something that can't be.
type refusal struct{ message string }

func (r *refusal) Error() string { return r.message }

// reasonOf is the reason that was given.
func reasonOf(a *ask) string {
	return conditions.Shorten(strings.TrimSpace(a.PostFormValue("reason")), 512)
}

// fieldOwner of what people do here.
const fieldOwner = client.FieldOwner("slipway-console")

// audit logs what was done, and by whom. The cluster keeps its own record on the Service.
func (c *Console) audit(a *ask, what, object string, more ...any) {
	c.Logger.Info("action", append([]any{"user", a.user.Name, "did", what, "object", object, "source", c.sourceOf(a.Request)}, more...)...)
}
