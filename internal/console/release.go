// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/notify"
	"github.com/slipway-dev/slipway/internal/phase"
	"github.com/slipway-dev/slipway/internal/rollout"
)

type releaseView struct {
	*subject
	Release  *v1alpha1.Release
	State    phase.Phase
	Stages   []stage
	Batches  []batch
	Waiting  []targetRow
	Trouble  *trouble
	Buttons  []button
	LockForm *button
	Message  string
	Gate     string
	// LogEnd is the end of the log of a build that runs or has failed.
	LogEnd []logLine
	// Over says that the Release has ended.
	Over  bool
	Done  int32
	Total int32
	// Failures name hosts that no longer belong to the Release, and what ailed them; those that do say it themselves.
	Failures []v1alpha1.TargetFailure
	Commits  string
	HasLog   bool
}

// trouble is what a person at three in the morning reads first.
type trouble struct {
	What string
	// New and Old count hosts that run the Release and those that do not; Unavailable those that serve nothing.
	New, Old, Unavailable int32
	// Next is the rest of a key below "next.".
	Next string
}

// nexts are the reasons that there is a next step of its own for.
var nexts = map[string]bool{
	v1alpha1.ReasonBuildFailed: true, v1alpha1.ReasonBuildTimedOut: true, v1alpha1.ReasonRevisionNotFound: true, v1alpha1.ReasonRepositoryUnreachable: true,
	v1alpha1.ReasonSecretNotFound: true, v1alpha1.ReasonImageNotFound: true, v1alpha1.ReasonTooManyFailed: true, v1alpha1.ReasonProgressDeadlineExceeded: true,
	v1alpha1.ReasonRolledBack: true, v1alpha1.ReasonRollbackIncomplete: true, v1alpha1.ReasonHookUnknown: true, v1alpha1.ReasonDepotUnavailable: true,
	v1alpha1.ReasonAborted: true, v1alpha1.ReasonRollingBack: true,
}

// troubleOf says what is wrong with a Release; nil if nothing is. It is pure.
func troubleOf(release *v1alpha1.Release, targets []v1alpha1.Target) *trouble {
	state, status := phase.OfRelease(release), &release.Status
	reason := conditions.Get(status.Conditions, v1alpha1.ConditionReady)
	if phase.Ended(release) {
		reason = conditions.Get(status.Conditions, v1alpha1.ConditionSucceeded)
	}
	switch {
	case state.Key == "failed", state.Key == "rolledBack", state.Key == "rollingBack", reason.Reason == v1alpha1.ReasonHookUnknown:
	case !phase.Ended(release) && len(status.Failures) > 0:
	default:
		return nil
	}
	t := &trouble{What: reason.Message, Next: "default"}
	if !phase.Ended(release) {
		t.Next = "underWay"
	}
	if status.Rollback != nil && !phase.Ended(release) {
		t.What = status.Rollback.Message
	}
	if nexts[reason.Reason] {
		t.Next = reason.Reason
	}
	for i := range targets {
		target := &targets[i]
		running := target.Status.Running
		if status.Artifact != nil && running != nil && running.Digest == status.Artifact.Digest {
			t.New++
		} else {
			t.Old++
		}
		if !conditions.IsTrue(target.Status.Conditions, v1alpha1.ConditionAvailable) {
			t.Unavailable++
		}
	}
	return t
}

// releaseAndSubject reads a Release with its Service.
func (a *ask) releaseAndSubject(ctx context.Context) (*v1alpha1.Release, *subject, error) {
	namespace := a.PathValue("ns")
	if !a.user.sees(ctx, namespace) {
		return nil, nil, errNotFound
	}
	var release v1alpha1.Release
	if err := a.console.Cache.Get(ctx, client.ObjectKey{Namespace: namespace, Name: a.PathValue("name")}, &release); err != nil {
		return nil, nil, err
	}
	s, err := a.subject(ctx, namespace, release.Spec.Service)
	return &release, s, err
}

func releasePage(ctx context.Context, a *ask) (view, error) {
	release, s, err := a.releaseAndSubject(ctx)
	if err != nil {
		return view{}, err
	}
	v := releaseView{
		subject: s, Release: release, State: phase.OfRelease(release), Gate: notify.Gate(release),
		Message: conditions.Get(release.Status.Conditions, v1alpha1.ConditionReady).Message, Done: release.Status.Targets.Updated, Total: release.Status.Targets.Total,
		HasLog: release.Status.Build != nil && release.Status.Build.Job != "",
	}
	if v.Total == 0 { // nobody has counted yet
		v.Total = int32(len(s.Targets))
	}
	if v.State == phase.Paused { // which says how to go on with kubectl: here is a button
		v.Message = ""
	}
	if phase.Ended(release) {
		v.Over = true
		v.Message = conditions.Get(release.Status.Conditions, v1alpha1.ConditionSucceeded).Message
	}
	v.Trouble = troubleOf(release, s.Targets)
	holder := s.Service.Status.Rolling
	if !phase.Ended(release) || holder != nil && holder.UID == v1alpha1.UID(release.UID) {
		v.Batches, v.Waiting = batchesOf(release, s.Targets)
	} else {
		v.Batches, _ = batchesOf(release, s.Targets)
	}
	building := v.State == phase.Building || v.Trouble != nil && release.Status.Artifact == nil
	if building {
		v.LogEnd = a.logEnd(ctx, release, s)
	}
	if len(v.Batches) == 0 {
		v.Failures = release.Status.Failures
	}
	v.Stages = stagesOf(release, v.Batches, len(v.Waiting))
	if previous := before(s, release); previous != "" && release.Status.Commit != "" && previous != release.Status.Commit {
		v.Commits = s.Path() + "/diff/" + previous + "..." + release.Status.Commit
	}
	a.releaseButtons(ctx, &v)
	if back := v.State == phase.RolledBack || v.State == phase.RollingBack || goesBack(s, release); back && s.Service.Spec.Lock == nil && v.latest() {
		b := a.lockButton(ctx, s, a.text("lock.afterRollback", release.Name))
		v.LockForm = &b
	}
	title := a.text("state."+v.State.Key) + " · " + s.Service.Name + " " + revision(release)
	if v.State == phase.Rolling || v.State == phase.Paused {
		title = fmt.Sprintf("%d/%d %s", v.Done, v.Total, title)
	}
	var reload time.Duration
	if v.LockForm != nil || slices.ContainsFunc(v.Buttons, func(b button) bool { return b.Reason && b.Why == "" }) {
		reload = reloadTyping
	}
	return view{Title: title, Topic: s.Topic(), Restless: building && !v.Over, Reload: reload, Parts: []part{
		{"crumbs", "crumbs", s, across}, {"title", "release-title", v, across}, {"head", "release-head", v, across}, {"rail", "release-rail", v, across},
		{"trouble", "release-trouble", v, across}, {"actions", "release-actions", v, across},
		{"log-end", "release-log-end", v, mainColumn}, {"batches", "release-batches", v, mainColumn}, {"facts", "release-facts", v, sideColumn},
	}}, nil
}

// AllHosts is where all hosts of the Service are.
func (v releaseView) AllHosts() string { return "/targets?q=" + url.QueryEscape(v.Topic()) }

// Past says that it has ended, and that hosts should run another Release now.
func (v releaseView) Past() bool {
	current := v.Running()
	return v.Over && (current == nil || current.UID != v1alpha1.UID(v.Release.UID))
}

// latest says whether no Release of the Service is newer.
func (v *releaseView) latest() bool {
	return len(v.Releases) > 0 && v.Releases[0].Name == v.Release.Name
}

// goesBack says whether a Release brings back what an earlier one had brought, with another between them.
func goesBack(s *subject, release *v1alpha1.Release) bool {
	if release.Status.Artifact == nil {
		return false
	}
	between := false
	for _, r := range s.Releases {
		switch {
		case r.Status.Sequence >= release.Status.Sequence || r.Status.Artifact == nil || phase.OfRelease(r) != phase.Succeeded:
		case r.Status.Artifact.Digest == release.Status.Artifact.Digest:
			return between
		default:
			between = true
		}
	}
	return false
}

// before is the commit that ran before a Release, as far as that is known.
func before(s *subject, release *v1alpha1.Release) string {
	if current := s.Running(); current != nil && !phase.Ended(release) && current.UID != v1alpha1.UID(release.UID) {
		return current.Commit
	}
	for _, r := range s.Releases {
		if r.Status.Sequence < release.Status.Sequence && phase.OfRelease(r).Key == "succeeded" {
			return r.Status.Commit
		}
	}
	return ""
}

// inFlight counts hosts that are being moved to a Release now.
func (v *releaseView) inFlight() int {
	n := 0
	for i := range v.Batches {
		for _, row := range v.Batches[i].Targets {
			if d := row.Target.Status.Delivery; row.State != phase.Well && (d == nil || d.Fence != row.Target.Spec.Fence || d.Outcome == "") {
				n++
			}
		}
	}
	return n
}

func (a *ask) releaseButtons(ctx context.Context, v *releaseView) {
	release, namespace := v.Release, v.Release.Namespace
	path := "/r/" + namespace + "/" + release.Name
	patch := permission{namespace, "patch", "releases"}
	command := func(field string, value any) string {
		return patchCommand(namespace, "slrel", release.Name, "merge", object{"spec": object{field: value}})
	}
	if phase.Ended(release) {
		if release.Status.Commit != "" && (v.Running() == nil || v.Running().Commit != release.Status.Commit) {
			again := a.permit(ctx, button{
				Verb: "again", Path: v.Path() + "/plan", Method: "POST", Values: []any{short(release.Status.Commit)},
				Hidden: map[string]string{"revision": again(release)},
			}, permission{namespace, "create", "releases"})
			v.Buttons = append(v.Buttons, again)
		}
		return
	}
	if gate := heldBy(release); gate != "" && release.Spec.Override == nil {
		v.Buttons = append(v.Buttons, a.permit(ctx, button{
			Verb: "override", Path: path + "/override", Method: "POST", Values: []any{a.gate(string(gate))}, Reason: true, Required: true, Hidden: map[string]string{"gate": string(gate)},
			Command: command("override", object{"by": a.user.Name, "reason": reasonHere, "gates": []v1alpha1.Gate{gate}}),
		}, permission{namespace, "override", "releases"}, patch))
	}
	done, old := v.Done, max(v.Total-v.Done, 0)
	if v.Gate != "" {
		v.Buttons = append(v.Buttons, a.approveButton(ctx, v, path))
	}
	if release.Spec.Paused {
		v.Buttons = append(v.Buttons, a.permit(ctx, button{Verb: "resume", Path: path + "/resume", Method: "POST", Values: []any{old}, Command: command("paused", false)}, patch))
	} else {
		pause := button{Verb: "pause", Path: path + "/pause", Method: "POST", Values: []any{v.inFlight()}, Command: command("paused", true)}
		if len(v.Batches) == 0 {
			pause.Does = "pause.early"
		}
		v.Buttons = append(v.Buttons, a.permit(ctx, pause, patch))
	}
	stop := button{Verb: "abort", Path: path + "/abort", Method: "POST", Values: []any{done, old}, Command: command("abort", true), Danger: true}
	if release.Spec.Abort {
		stop.Why = a.text("why.aborting")
	}
	if len(v.Batches) == 0 && release.Status.Rollback == nil { // no host was moved: there is nothing to bring back
		stop.Does = "abort.early"
		v.Buttons = append(v.Buttons, a.permit(ctx, stop, patch))
		return
	}
	back := button{Verb: "abortAndRollBack", Path: path + "/rollback", Method: "POST", Command: command("rollBack", true), Danger: true}
	if current := v.Running(); current == nil {
		back.Why = a.text("why.nothingEarlier")
		back.Values = []any{"–"}
	} else {
		back.Values = []any{rollout.Label(current)}
	}
	if release.Status.Rollback != nil {
		stop.Why, back.Why = a.text("why.rollingBack"), a.text("why.rollingBack")
	}
	v.Buttons = append(v.Buttons, a.permit(ctx, stop, patch), a.permit(ctx, back, patch))
}

// again is what has to be named to release the same once more.
func again(release *v1alpha1.Release) string {
	if strings.HasPrefix(release.Status.Ref, "refs/tags/") {
		return string(release.Spec.Revision)
	}
	return release.Status.Commit
}

func (a *ask) approveButton(ctx context.Context, v *releaseView, path string) button {
	release := v.Release
	given := object{"gate": v.Gate, "by": a.user.Name, "reason": ""}
	add := object{"op": "add", "path": "/spec/approvals", "value": []object{given}}
	if len(release.Spec.Approvals) > 0 { // those of others stay
		add = object{"op": "add", "path": "/spec/approvals/-", "value": given}
	}
	b := button{
		Verb: "approve", Path: path + "/approve", Method: "POST", Reason: true, Hidden: map[string]string{"gate": v.Gate},
		Command: patchCommand(release.Namespace, "slrel", release.Name, "json", []object{add}),
	}
	for _, given := range release.Spec.Approvals {
		if given.Gate == v.Gate && given.By == a.user.Name {
			b.Why = a.text("why.approvedAlready")
		}
	}
	if v.Gate != v1alpha1.GateIrreversible && release.Spec.RequestedBy == a.user.Name {
		b.Why = a.text("why.ownRelease")
	}
	return a.permit(ctx, b, permission{release.Namespace, "approve", "releases"}, permission{release.Namespace, "patch", "releases"})
}
