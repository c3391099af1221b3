// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package lifecycle completes the lifecycle hooks of Auto Scaling groups that Services name: an instance goes into service
// when it runs what it should, and ends when its Targets are gone. The decisions are those of internal/lifecycle.
package lifecycle

import (
	"context"
	"errors"
	"time"

	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/discovery"
	"github.com/slipway-dev/slipway/internal/lifecycle"
	"github.com/slipway-dev/slipway/internal/metrics"
)

// FieldOwner is the field manager of Service.status.abandoned, which this controller alone writes.
const FieldOwner = "slipway-lifecycle"

const (
	// look is how often a group is looked at, if nothing happens: from what the sweeps have seen, it costs no call.
	look = 5 * time.Second
	// hooksFresh is how old a description of a group's hooks may be.
	hooksFresh = 5 * time.Minute
)

// AutoScaling is what is asked of Auto Scaling.
type AutoScaling interface {
	discovery.Finder
	Hooks(ctx context.Context, of discovery.Account, group string) (map[string]lifecycle.Hook, error)
	Heartbeat(ctx context.Context, of discovery.Account, group, hook, instance string) error
	Complete(ctx context.Context, of discovery.Account, group, hook, instance string, result lifecycle.Action) error
}

// Group is an Auto Scaling group, and as whom it is spoken to.
type Group struct {
	discovery.Account
	Name string
}

// Options are the controller's collaborators.
type Options struct {
	Client      client.Client
	AutoScaling AutoScaling
	Clock       clock.PassiveClock
	Events      events.EventRecorder
	// Metrics count what is done. Default: nobody reads them.
	Metrics *metrics.Metrics
	// Grace is how long after its launch an instance is given before it may be abandoned. Default lifecycle.DefaultGrace.
	Grace time.Duration
	// MaxAbandons is how many instances of a group may be abandoned within an hour. Default: none.
	MaxAbandons int
}

// Reconciler completes lifecycle hooks.
type Reconciler struct {
	Options
	memory *memory
}

// New returns a Reconciler.
func New(o Options) *Reconciler {
	if o.Metrics == nil {
		o.Metrics = metrics.New(nil)
	}
	if o.Grace <= 0 {
		o.Grace = lifecycle.DefaultGrace
	}
	return &Reconciler{Options: o, memory: newMemory()}
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return builder.TypedControllerManagedBy[Group](mgr).
		Named("lifecycle").
		Watches(&v1alpha1.Service{}, ofService()).
		Watches(&v1alpha1.Target{}, r.ofTarget()).
		WithOptions(controller.TypedOptions[Group]{
			MaxConcurrentReconciles: 4,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[Group](time.Second, time.Minute),
		}).
		Complete(r)
}

// Reconcile looks at every instance of a group that waits at a hook which a Service names.
func (r *Reconciler) Reconcile(ctx context.Context, group Group) (reconcile.Result, error) {
	g, err := r.gather(ctx, group)
	if err != nil {
		return reconcile.Result{}, err
	}
	if len(g.parts) == 0 { // no Service names a hook of the group any more
		r.memory.forget(group)
		return reconcile.Result{}, nil
	}
	r.memory.prune(group, g.instances)
	after := look
	var errs []error
	for i := range g.instances {
		instance := &g.instances[i]
		for _, part := range g.hooks(lifecycle.Waiting(instance.Lifecycle)) {
			wait, err := r.decide(ctx, g, instance, part)
			if err != nil {
				errs = append(errs, err)
			}
			if wait > 0 {
				after = min(after, wait)
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		log.FromContext(ctx).Info("Auto Scaling could not be told", "group", group.Name, "error", err.Error())
		return reconcile.Result{}, err
	}
	return reconcile.Result{RequeueAfter: after}, nil
}

// decide acts on one instance at one hook, and says when to look again.
func (r *Reconciler) decide(ctx context.Context, g *gathered, instance *discovery.Instance, name string) (time.Duration, error) {
	key := action{group: g.group, instance: instance.ID, hook: name}
	if r.memory.completed(key) {
		return 0, nil // what the sweeps show is older than that
	}
	hook, known, err := r.hook(ctx, g.group, name)
	if err != nil {
		r.tell(g, key, callDescribe, err.Error())
		return 0, err
	}
	if transition := lifecycle.Waiting(instance.Lifecycle); !known || hook.Transition != transition {
		r.tell(g, key, callDescribe,
			"Auto Scaling group "+g.group.Name+" has no hook "+name+" for "+string(transition)+": make it, or take it out of the Service")
		return 0, nil
	}
	d, subjects := r.judge(g, instance, hook, key)
	if len(subjects) == 0 {
		return 0, nil // no Service that names the hook has the instance as a host
	}
	if err := r.act(ctx, g, subjects, key, hook, d); err != nil {
		return 0, err
	}
	return d.After, nil
}

// judge decides, and names the Services concerned.
func (r *Reconciler) judge(g *gathered, instance *discovery.Instance, hook lifecycle.Hook, key action) (lifecycle.Decision, []*part) {
	now, subjects := r.Clock.Now(), g.naming(hook, instance)
	if hook.Transition == lifecycle.Terminating {
		return lifecycle.Ended(lifecycle.Ending{
			Hook: hook, Targets: g.targets[instance.ID], Since: r.memory.since(key, now), Beat: r.memory.beat(key), Now: now,
		}), subjects
	}
	l := lifecycle.Launch{
		Hook: hook, Launched: instance.LaunchTime, Beat: r.memory.beat(key), Abandoned: g.abandoned(), Grace: r.Grace, MaxAbandons: r.MaxAbandons, Now: now,
	}
	for _, p := range subjects {
		l.Services = append(l.Services, p.stands(instance.ID, now))
	}
	return lifecycle.Launched(l), subjects
}

// act tells Auto Scaling, and people.
func (r *Reconciler) act(ctx context.Context, g *gathered, subjects []*part, key action, hook lifecycle.Hook, d lifecycle.Decision) error {
	if d.Action == lifecycle.None {
		r.held(subjects, key, hook, d)
		return nil
	}
	if d.Action == lifecycle.Abandon {
		// On record before it is done: a manager that dies in between has counted it.
		if err := r.record(ctx, subjects, key, d); err != nil {
			return err
		}
	}
	call, err := callComplete, error(nil)
	if d.Action == lifecycle.Heartbeat {
		call = callHeartbeat
		err = r.AutoScaling.Heartbeat(ctx, g.group.Account, g.group.Name, key.hook, key.instance)
	} else {
		err = r.AutoScaling.Complete(ctx, g.group.Account, g.group.Name, key.hook, key.instance, d.Action)
	}
	if errors.Is(err, lifecycle.ErrNoAction) { // somebody else was there first, or the sweeps are behind
		r.memory.complete(key)
		return nil
	}
	r.Metrics.LifecycleAction(string(d.Action), err)
	if err != nil {
		r.tell(g, key, call, err.Error())
		return err
	}
	if d.Action == lifecycle.Heartbeat {
		r.memory.beaten(key, r.Clock.Now())
		r.held(subjects, key, hook, d)
		return nil
	}
	r.memory.complete(key)
	r.completed(subjects, key, hook, d)
	return nil
}

// hook describes a hook of a group.
func (r *Reconciler) hook(ctx context.Context, group Group, name string) (lifecycle.Hook, bool, error) {
	hooks, fresh := r.memory.hooks(group, r.Clock.Now().Add(-hooksFresh))
	if _, known := hooks[name]; !fresh || !known {
		var err error
		if hooks, err = r.AutoScaling.Hooks(ctx, group.Account, group.Name); err != nil {
			return lifecycle.Hook{}, false, err
		}
		r.memory.described(group, hooks, r.Clock.Now())
	}
	hook, known := hooks[name]
	return hook, known, nil
}
