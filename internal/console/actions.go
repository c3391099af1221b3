// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/notify"
	"github.com/slipway-dev/slipway/internal/phase"
)

// actionFunc does one thing as the user and says where to go from there.
type actionFunc func(ctx context.Context, a *ask) (next string, err error)

// action adds a form's target. What goes wrong is a page that says so.
func (c *Console) action(pattern string, do actionFunc) {
	c.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		a, ok := c.ask(w, r)
		if !ok {
			return
		}
		if err := r.ParseForm(); err != nil {
			c.fail(w, r, http.StatusBadRequest, "error.form", a)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), pageLimit)
		defer cancel()
		next, err := do(ctx, a)
		var refused *refusal
		switch {
		case err == nil:
			http.Redirect(w, r, next, http.StatusSeeOther)
		case errors.As(err, &refused):
			c.failWith(w, r, http.StatusUnprocessableEntity, problem{"error.refused", refused.message}, a)
		case apierrors.IsForbidden(err):
			c.audit(a, "was refused", r.URL.Path)
			c.failWith(w, r, http.StatusForbidden, problem{"error.forbidden", sentence(err)}, a)
		case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
			c.failWith(w, r, http.StatusUnprocessableEntity, problem{"error.refused", sentence(err)}, a)
		case apierrors.IsConflict(err):
			c.failWith(w, r, http.StatusConflict, problem{"error.conflict", ""}, a)
		default:
			c.trouble(w, r, a, err)
		}
	})
}

// changes are what a Release's buttons write.
var changes = map[string]func(spec *v1alpha1.ReleaseSpec){
	"pause":    func(spec *v1alpha1.ReleaseSpec) { spec.Paused = true },
	"resume":   func(spec *v1alpha1.ReleaseSpec) { spec.Paused = false },
	"abort":    func(spec *v1alpha1.ReleaseSpec) { spec.Abort = true },
	"rollback": func(spec *v1alpha1.ReleaseSpec) { spec.RollBack = true },
}

// patchRelease changes a Release in one of the ways that it may be.
func (c *Console) patchRelease(verb string) actionFunc {
	return func(ctx context.Context, a *ask) (string, error) {
		release, _, err := a.releaseAndSubject(ctx)
		if err != nil {
			return "", err
		}
		if phase.Ended(release) {
			return "", &refusal{a.text("refuse.ended")}
		}
		before := release.DeepCopy()
		changes[verb](&release.Spec)
		if err := a.user.client.Patch(ctx, release, client.MergeFrom(before), fieldOwner); err != nil {
			return "", err
		}
		c.audit(a, verb, release.Namespace+"/"+release.Name)
		return "/r/" + release.Namespace + "/" + release.Name, nil
	}
}

// approve adds the user's approval of the gate that he was shown. If the Release is at another gate by now, he did not see it.
func (c *Console) approve(ctx context.Context, a *ask) (string, error) {
	path := ""
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		release, _, err := a.releaseAndSubject(ctx)
		if err != nil {
			return err
		}
		path = "/r/" + release.Namespace + "/" + release.Name
		gate := notify.Gate(release)
		if gate == "" || gate != a.PostFormValue("gate") {
			return &refusal{a.text("refuse.gate")}
		}
		if err := a.user.client.Get(ctx, client.ObjectKeyFromObject(release), release); err != nil { // the newest: another may have approved just now
			return err
		}
		if slices.ContainsFunc(release.Spec.Approvals, func(given v1alpha1.Approval) bool { return given.Gate == gate && given.By == a.user.Name }) {
			return nil
		}
		before := release.DeepCopy()
		release.Spec.Approvals = append(release.Spec.Approvals, v1alpha1.Approval{Gate: gate, By: a.user.Name, Reason: reasonOf(a)})
		return a.user.client.Patch(ctx, release, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), fieldOwner)
	})
	if err == nil {
		c.audit(a, "approved", path, "gate", a.PostFormValue("gate"))
	}
	return path, err
}

// override lets a Release through the lock, or the closed window, that holds it.
func (c *Console) override(ctx context.Context, a *ask) (string, error) {
	release, _, err := a.releaseAndSubject(ctx)
	if err != nil {
		return "", err
	}
	reason, gate := reasonOf(a), heldBy(release)
	switch {
	case reason == "":
		return "", &refusal{a.text("refuse.override")}
	case gate == "" || string(gate) != a.PostFormValue("gate"):
		return "", &refusal{a.text("refuse.gate")}
	case release.Spec.Override != nil:
		return "", &refusal{a.text("refuse.overridden")}
	}
	before := release.DeepCopy()
	release.Spec.Override = &v1alpha1.Override{By: a.user.Name, Reason: reason, Gates: []v1alpha1.Gate{gate}}
	if err := a.user.client.Patch(ctx, release, client.MergeFrom(before), fieldOwner); err != nil {
		return "", err
	}
	c.audit(a, "overrode", release.Namespace+"/"+release.Name, "gate", string(gate), "reason", reason)
	return "/r/" + release.Namespace + "/" + release.Name, nil
}

// heldBy is the gate that keeps a Release from beginning; empty if none does.
func heldBy(release *v1alpha1.Release) v1alpha1.Gate {
	if phase.Ended(release) {
		return ""
	}
	switch conditions.Get(release.Status.Conditions, v1alpha1.ConditionReady).Reason {
	case v1alpha1.ReasonLocked:
		return v1alpha1.GateLock
	case v1alpha1.ReasonWindowClosed:
		return v1alpha1.GateWindow
	}
	return ""
}

// lock keeps further Releases of a Service from beginning.
func (c *Console) lock(ctx context.Context, a *ask) (string, error) {
	s, err := a.subject(ctx, a.PathValue("ns"), a.PathValue("name"))
	if err != nil {
		return "", err
	}
	reason := reasonOf(a)
	if reason == "" {
		return "", &refusal{a.text("refuse.reason")}
	}
	before := s.Service.DeepCopy()
	s.Service.Spec.Lock = &v1alpha1.Lock{Reason: reason, Owner: a.user.Name}
	if lasts, err := time.ParseDuration(a.PostFormValue("for")); err == nil && lasts > 0 {
		until := metav1.NewTime(a.now.Add(lasts))
		s.Service.Spec.Lock.Until = &until
	}
	if err := a.user.client.Patch(ctx, s.Service, client.MergeFrom(before), fieldOwner); err != nil {
		return "", err
	}
	c.audit(a, "locked", s.Topic(), "reason", reason)
	return s.Path(), nil
}

func (c *Console) unlock(ctx context.Context, a *ask) (string, error) {
	s, err := a.subject(ctx, a.PathValue("ns"), a.PathValue("name"))
	if err != nil {
		return "", err
	}
	before := s.Service.DeepCopy()
	s.Service.Spec.Lock = nil
	if err := a.user.client.Patch(ctx, s.Service, client.MergeFrom(before), fieldOwner); err != nil {
		return "", err
	}
	c.audit(a, "unlocked", s.Topic())
	return s.Path(), nil
}
