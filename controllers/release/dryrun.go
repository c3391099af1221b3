// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/build"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/frozen"
	"github.com/slipway-dev/slipway/internal/plan"
	"github.com/slipway-dev/slipway/internal/promotion"
	"github.com/slipway-dev/slipway/internal/rollout"
)

const (
	// keepPlan is how long a Release stays that only asked.
	keepPlan = time.Hour
	// maxPlannedPaths of each sort are named in a plan.
	maxPlannedPaths = 50
	maxPlannedPath  = 160
	maxGuard        = 1024
)

// dryRun answers a Release that only asks what it would do. Its own status is all that is ever written, in one write: it gets no
// number, no finalizer, no place among the Service's Releases.
func (r *Reconciler) dryRun(ctx context.Context, release *v1alpha1.Release) (reconcile.Result, error) {
	if release.Status.Plan != nil {
		age := r.Clock.Since(release.CreationTimestamp.Time)
		if age < keepPlan || !release.DeletionTimestamp.IsZero() {
			return reconcile.Result{RequeueAfter: max(keepPlan-age, time.Second)}, nil
		}
		return reconcile.Result{}, client.IgnoreNotFound(r.Client.Delete(ctx, release, client.Preconditions{UID: &release.UID}))
	}
	if !release.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, nil
	}
	l, err := r.gather(ctx, release)
	if err != nil {
		return reconcile.Result{}, err
	}
	p, message := r.foretell(ctx, l)
	before, now := release.DeepCopy(), metav1.NewTime(r.Clock.Now())
	status, generation := &release.Status, release.Generation
	status.Plan, status.StartTime, status.CompletionTime, status.ObservedGeneration, status.Phase = p, &now, &now, generation, v1alpha1.ReasonPlanned
	status.Commit, status.Ref, status.ShortCommit = p.Commit, p.Ref, short(p.Commit)
	for _, phase := range r.phases() {
		conditions.False(&status.Conditions, generation, phase.condition, v1alpha1.ReasonPlanned, "nothing was done")
	}
	conditions.True(&status.Conditions, generation, v1alpha1.ConditionFinished, v1alpha1.ReasonPlanned, message)
	conditions.False(&status.Conditions, generation, v1alpha1.ConditionSucceeded, v1alpha1.ReasonPlanned, message)
	conditions.Summarize(&status.Conditions, generation, conditions.Current, v1alpha1.ReasonPlanned, message)
	if err := conditions.PatchStatus(ctx, r.Client, before, release, FieldOwner); err != nil {
		return conflictIsRequeue(client.IgnoreNotFound(err))
	}
	return reconcile.Result{RequeueAfter: keepPlan}, nil
}

// foretell says what the Release would do, and that in a sentence.
func (r *Reconciler) foretell(ctx context.Context, l *life) (*v1alpha1.ReleasePlan, string) {
	p := &v1alpha1.ReleasePlan{}
	guard := func(format string, values ...any) {
		if len(p.Guards) < 20 { // the rollout may add its own
			p.Guards = append(p.Guards, conditions.Shorten(fmt.Sprintf(format, values...), maxGuard))
		}
	}
	if l.service == nil || !l.service.DeletionTimestamp.IsZero() {
		guard("there is no Service %q in namespace %q", l.release.Spec.Service, l.release.Namespace)
		return p, "it would fail: " + p.Guards[0]
	}
	spec := frozen.Spec(l.service)
	r.foretellGuards(l, guard)
	if !r.foretellCommit(ctx, l, spec, p, guard) {
		return p, "it would fail: " + p.Guards[len(p.Guards)-1]
	}
	storage := r.foretellBuild(ctx, l, spec, p, guard)
	r.foretellFiles(ctx, l, storage, p, guard)
	r.foretellRollout(l, spec, p)
	warn(l, spec, p)
	message := fmt.Sprintf("%d of %d hosts would move", p.Moving, p.Hosts)
	if len(p.Guards) > 0 {
		message += fmt.Sprintf("; %d guards would hold it up or end it", len(p.Guards))
	}
	return p, message
}

// foretellGuards names what holds every Release of the Service now, and this one.
func (r *Reconciler) foretellGuards(l *life, guard func(string, ...any)) {
	for i := range l.gates {
		if one := l.gates[i : i+1]; one.holding(l.release) != nil {
			guard("%s", one[0].message)
		}
	}
	for _, past := range l.service.Status.History {
		if past.Release == l.release.Name {
			guard("a Release of this name ended before (%s): it would wait for an approval of the gate %s", past.Outcome, v1alpha1.GateAdoption)
			break
		}
	}
	if c := findTrue(l.service.Status.Conditions, v1alpha1.ConditionAdoptionRequired); c != nil {
		guard("%s", c.Message)
	}
	if rolling := l.service.Status.Rolling; rolling != nil {
		guard("Release %s is being rolled out: it would be stopped at a wave's edge and superseded", rolling.Release)
	}
	if l.release.Spec.Paused {
		guard("spec.paused: it would wait before its rollout")
	}
}

// foretellCommit resolves the revision, and changes nothing by that.
func (r *Reconciler) foretellCommit(ctx context.Context, l *life, spec v1alpha1.FrozenSpec, p *v1alpha1.ReleasePlan, guard func(string, ...any)) bool {
	credentials, err := r.gitCredentials(ctx, l.release.Namespace, spec.Source.Git.SecretRef)
	if err == nil {
		resolved, failed := r.Resolver.Resolve(ctx, spec.Source.Git.URL, string(l.release.Spec.Revision), credentials)
		p.Commit, p.Ref, err = resolved.Commit, resolved.Ref, failed
	}
	if err != nil {
		guard("%s", err.Error())
	}
	return err == nil
}

// foretellBuild says what would be built, and returns under which Service the artifact is that would be released, if it is there.
func (r *Reconciler) foretellBuild(ctx context.Context, l *life, spec v1alpha1.FrozenSpec, p *v1alpha1.ReleasePlan, guard func(string, ...any)) (storage v1alpha1.UID) {
	if required := l.release.Spec.Requires; required != nil {
		var other v1alpha1.Service
		err := r.Client.Get(ctx, client.ObjectKey{Namespace: l.release.Namespace, Name: required.Service}, &other)
		if err != nil {
			if !apierrors.IsNotFound(err) {
				guard("read Service %s: %v", required.Service, err)
				return ""
			}
			guard("there is no Service %q in this namespace (spec.requires)", required.Service)
			return ""
		}
		verdict := promotion.Judge(&other, p.Commit, required.Bake.Duration, r.Clock.Now())
		p.Build, p.Digest = conditions.Shorten("nothing would be built: "+verdict.Words, maxGuard), verdict.Digest
		if !verdict.Ready {
			guard("%s", verdict.Words)
		}
		return storageOf(&other)
	}
	key, err := r.foretellKey(ctx, l, spec, p.Commit)
	if err != nil {
		guard("%s", err.Error())
		return ""
	}
	artifact, err := r.Depot.FindBuild(ctx, l.storage(), key)
	switch {
	case errors.Is(err, depot.ErrNotFound):
		p.Build = fmt.Sprintf("commit %s would be built in %s. To see which files change, create the Release with spec.paused: true: that builds it and stops before the rollout",
			short(p.Commit), spec.Build.Image)
		return ""
	case err != nil:
		guard("the depot can't be asked: %v", err)
		return ""
	}
	p.Build, p.Digest = "nothing would be built: the depot holds the artifact of this build", artifact.Digest
	return l.storage()
}

// foretellKey is the key of the build that would be asked for.
func (r *Reconciler) foretellKey(ctx context.Context, l *life, spec v1alpha1.FrozenSpec, commit string) (string, error) {
	asked := *l
	asked.release = l.release.DeepCopy()
	asked.release.Status.Commit, asked.release.Status.ServiceUID = commit, v1alpha1.UID(l.service.UID)
	for i := range l.others {
		if other := &l.others[i]; asked.sameBuild(ctx, r.Client, other, spec) {
			if _, err := r.Depot.FindBuild(ctx, l.storage(), other.Status.Build.Key); err == nil {
				return other.Status.Build.Key, nil
			}
		}
	}
	image, err := r.Images.Resolve(ctx, spec.Build.Image)
	if err != nil {
		return "", fmt.Errorf("find the build image: %w", err)
	}
	input := r.input(&asked, spec)
	input.Image = image
	return build.Key(input), nil
}

// foretellFiles says which files would change on hosts that run what is current.
func (r *Reconciler) foretellFiles(ctx context.Context, l *life, storage v1alpha1.UID, p *v1alpha1.ReleasePlan, guard func(string, ...any)) {
	if p.Digest == "" || storage == "" {
		return
	}
	pair := depot.Pair{ToService: storage, To: p.Digest, Limit: maxPlannedPaths}
	if current := l.service.Status.Current; current != nil {
		pair.FromService, pair.From = l.storage(), current.Digest
	}
	d, err := r.Depot.Compare(ctx, pair)
	if err != nil {
		guard("the files can't be compared: %v", err)
		return
	}
	p.Files = &v1alpha1.PlannedFiles{Added: d.Added, Changed: d.Changed, Deleted: d.Deleted, Bytes: d.Bytes,
		AddedPaths: shortened(d.AddedPaths), ChangedPaths: shortened(d.ChangedPaths), DeletedPaths: shortened(d.DeletedPaths)}
}

// shortened keeps paths within what a status should hold.
func shortened(paths []string) []string {
	for i := range paths {
		paths[i] = conditions.Shorten(paths[i], maxPlannedPath)
	}
	return paths
}

// foretellRollout has the planner say how the hosts would move.
func (r *Reconciler) foretellRollout(l *life, spec v1alpha1.FrozenSpec, p *v1alpha1.ReleasePlan) {
	status := &l.service.Status
	if hook := rollout.GoesBehind(status, p.Digest); hook != nil && p.Digest != "" && len(approvals(l.release).Confirmed(v1alpha1.GateIrreversible)) == 0 {
		p.Guards = append(p.Guards, conditions.Shorten(awaitConfirmation(hook, "the Release").message, maxGuard))
	}
	strategy := rollout.StrategyOf(spec.Rollout)
	strategy.Approvals = approvals(l.release)
	slot := rollout.SlotOf(l.service, false)
	slot.Held, slot.Back = "", false
	slot.Rolling = &v1alpha1.ReleaseRecord{
		Release: l.release.Name, UID: l.uid(), Sequence: status.LastSequence + 1, Revision: string(l.release.Spec.Revision), Commit: p.Commit,
		Digest: cmp.Or(p.Digest, "what would be built"), Frozen: frozen.Name(l.service.Name, spec),
	}
	in := rollout.Input{
		Slot: slot, Strategy: strategy, Hosts: rollout.Hosts(l.targets), Now: r.Clock.Now(),
		ReportOnly: func(string) bool { return spec.Deploy.Drift == v1alpha1.DriftReport },
	}
	if adopt := l.service.Spec.Adopt; adopt != nil {
		in.AdoptFrom = adopt.FromUID
	}
	plan.Rollout(in, p)
}

// warn says what a person may want to know before.
func warn(l *life, spec v1alpha1.FrozenSpec, p *v1alpha1.ReleasePlan) {
	warning := func(text string) { p.Warnings = append(p.Warnings, conditions.Shorten(text, 512)) }
	current := l.service.Status.Current
	switch {
	case len(l.targets) == 0:
		warning("the Service has no hosts: the rollout would wait for some, and fail after rollout.progressDeadline")
	case current == nil:
		warning("no Release has completed yet: if this one fails there is nothing to return to")
	case p.Digest != "" && current.Digest == p.Digest:
		warning("this artifact is current already: hosts that run it are delivered to anew")
	}
	if spec.Deploy.HealthCheck == nil {
		warning("deploy.healthCheck is not set: a host counts as well when the files are there and its hooks ended with 0")
	}
	for _, name := range []v1alpha1.ReleaseHookName{v1alpha1.HookBeforeRollout, v1alpha1.HookAfterRollout} {
		hook := spec.Deploy.Hooks.Of(name)
		switch {
		case hook == nil:
		case rollout.GoesBack(&l.service.Status, p.Digest):
			warning("hook " + field(name) + " would not run: this artifact was released before")
		case hook.Irreversible:
			warning("hook " + field(name) + " would run once, and is irreversible: nothing returns to an earlier release by itself after that")
		default:
			warning("hook " + field(name) + " would run once, on one host")
		}
	}
	if p.Files != nil && current != nil && p.Files.Deleted > 0 && p.Files.Added+p.Files.Changed == 0 {
		warning("files would only be deleted")
	}
}
