// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ec2 looks for instances at EC2 and Auto Scaling. One sweep per account (region and role) serves all Services: its
// calls are few, paged and bounded, whatever the number of Services.
package ec2

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/slipway-dev/slipway/internal/discovery"
)

const (
	// DefaultPeriod is how often an account is swept.
	DefaultPeriod = time.Minute
	// DefaultJitter is the share of the period by which sweeps are spread.
	DefaultJitter = 0.2
	// sweepLimit bounds one sweep.
	sweepLimit = 5 * time.Minute
	// maxBackoff bounds the wait after sweeps that failed.
	maxBackoff = 10 * time.Minute
	// idle is how long an account is swept on after the last Service asked for it. Services ask at least every ten minutes.
	idle = 30 * time.Minute
)

// Options change how is looked.
type Options struct {
	// Period between two sweeps of an account. Default DefaultPeriod.
	Period time.Duration
	// Jitter is the share of the period, from 0 to 1, by which a sweep may come earlier. Default DefaultJitter.
	Jitter *float64
	// Connect makes the clients of an account. Default: the SDK's own chain of credentials, and an assumed role.
	Connect func(ctx context.Context, account discovery.Account) (API, error)
	Clock   clock.WithTicker
	// Random gives numbers from 0 up to 1. Default random.
	Random func() float64
}

// Sweeper is a discovery.Finder that looks at EC2.
type Sweeper struct {
	Options
	found chan event.TypedGenericEvent[discovery.Account]

	mu       sync.Mutex
	ctx      context.Context // nil before Start and after its end
	accounts map[discovery.Account]*account
	running  sync.WaitGroup
}

// account is what is known of one account.
type account struct {
	// tags are the keys asked for, each with the number of good sweeps that looked for it.
	tags map[string]int
	// instances as described last, in a map that is replaced and never changed; missing counts the sweeps since.
	instances map[string]discovery.Instance
	missing   map[string]int
	problem   string
	failures  int
	asked     time.Time
	sweeping  bool
	// wake ends the wait for the next sweep.
	wake chan struct{}
}

// New returns a Sweeper. It looks once Start was called.
func New(o Options) *Sweeper {
	if o.Period <= 0 {
		o.Period = DefaultPeriod
	}
	if o.Jitter == nil {
		jitter := DefaultJitter
		o.Jitter = &jitter
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Connect == nil {
		o.Connect = connect
	}
	return &Sweeper{
		Options: o, accounts: map[discovery.Account]*account{},
		found: make(chan event.TypedGenericEvent[discovery.Account], 64),
	}
}

// Found tells of accounts of which something new is known.
func (s *Sweeper) Found() <-chan event.TypedGenericEvent[discovery.Account] { return s.found }

// View implements discovery.Finder. The first question about an account, or about a tag, has it swept at once.
func (s *Sweeper) View(of discovery.Account, tags []string) discovery.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[of]
	if a == nil {
		a = &account{
			tags: map[string]int{}, instances: map[string]discovery.Instance{}, missing: map[string]int{}, wake: make(chan struct{}, 1),
		}
		s.accounts[of] = a
	}
	a.asked = s.Clock.Now()
	view := discovery.View{Instances: a.instances, Problem: a.problem, Looks: -1}
	for _, tag := range tags {
		looks, known := a.tags[tag]
		if !known {
			a.tags[tag] = 0
			a.hasten()
		}
		if view.Looks < 0 || looks < view.Looks {
			view.Looks = looks
		}
	}
	view.Looks = max(view.Looks, 0)
	s.run(of, a)
	return view
}

// Wake has an account swept soon: something is said to have happened there.
func (s *Sweeper) Wake(region string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for of, a := range s.accounts {
		if of.Region == region {
			a.hasten()
		}
	}
}

func (a *account) hasten() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Start looks until ctx ends.
func (s *Sweeper) Start(ctx context.Context) error {
	s.mu.Lock()
	s.ctx = ctx
	for of, a := range s.accounts {
		s.run(of, a)
	}
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	s.ctx = nil
	s.mu.Unlock()
	s.running.Wait()
	return nil
}

// run keeps an account swept. The caller holds the lock.
func (s *Sweeper) run(of discovery.Account, a *account) {
	if s.ctx == nil || a.sweeping {
		return
	}
	a.sweeping = true
	ctx := s.ctx
	s.running.Go(func() { s.keep(ctx, of, a) })
}

// keep sweeps an account until ctx ends or nobody asks any more.
func (s *Sweeper) keep(ctx context.Context, of discovery.Account, a *account) {
	var api API
	for {
		select { // a sweep that begins now answers what woke it
		case <-a.wake:
		default:
		}
		tags := s.asked(a)
		found, err := s.look(ctx, of, &api, tags)
		if ctx.Err() != nil {
			return
		}
		wait := s.learn(of, a, tags, found, err)
		timer := s.Clock.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-a.wake:
			timer.Stop()
		case <-timer.C():
		}
		if s.forget(of, a) {
			return
		}
	}
}

// look sweeps once.
func (s *Sweeper) look(ctx context.Context, of discovery.Account, api *API, tags []string) ([]discovery.Instance, error) {
	ctx, cancel := context.WithTimeout(ctx, sweepLimit)
	defer cancel()
	if *api == nil {
		connected, err := s.Connect(ctx, of)
		if err != nil {
			return nil, err
		}
		*api = connected
	}
	return sweep(ctx, *api, tags)
}

// asked lists the tags that are asked for.
func (s *Sweeper) asked(a *account) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	tags := make([]string, 0, len(a.tags))
	for tag := range a.tags {
		tags = append(tags, tag)
	}
	return tags
}

// learn writes down what a sweep found, tells of news, and says how long to wait for the next one.
func (s *Sweeper) learn(of discovery.Account, a *account, tags []string, found []discovery.Instance, err error) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := s.Period - time.Duration(*s.Jitter*s.Random()*float64(s.Period))
	news := false
	if err != nil {
		a.failures++
		for range min(a.failures-1, 10) {
			wait = min(2*wait, maxBackoff)
		}
		next := s.Clock.Now().Add(wait).UTC().Format("15:04:05 UTC")
		problem := "EC2 in " + of.String() + ": " + explain(err)
		slog.Warn("the instances of an account can't be looked for", "account", of.String(), "error", explain(err), "failures", a.failures, "after", wait)
		a.problem = problem + "; next try at " + next
		news = true
	} else {
		news = a.take(found) || a.problem != ""
		a.problem, a.failures = "", 0
		for _, tag := range tags {
			if a.tags[tag]++; a.tags[tag] <= sureLooks { // what is missing may be gone for sure now
				news = true
			}
		}
	}
	if news {
		s.tell(of)
	}
	return wait
}

// sureLooks is how many sweeps it takes until one that is missing is gone: EC2's answers lag behind.
const sureLooks = 2

// take takes over what a sweep found and says whether anything changed.
func (a *account) take(found []discovery.Instance) (changed bool) {
	instances := make(map[string]discovery.Instance, len(found))
	missing := map[string]int{}
	for i := range found {
		before, there := a.instances[found[i].ID]
		changed = changed || !there || !equal(&before, &found[i])
		instances[found[i].ID] = found[i]
	}
	for id, before := range a.instances {
		if _, seen := instances[id]; seen {
			continue
		}
		if missed := a.missing[id] + 1; missed < sureLooks {
			instances[id], missing[id] = before, missed
		} else {
			changed = true
		}
	}
	a.instances, a.missing = instances, missing
	return changed
}

// equal says whether two descriptions of an instance are the same.
func equal(a, b *discovery.Instance) bool {
	return a.ID == b.ID && a.Account == b.Account && a.Zone == b.Zone && a.Type == b.Type && a.State == b.State && a.PrivateIP == b.PrivateIP && a.PublicIP == b.PublicIP &&
		a.PrivateDNS == b.PrivateDNS && a.Lifecycle == b.Lifecycle && a.LaunchTime.Equal(b.LaunchTime) && maps.Equal(a.Tags, b.Tags)
}

// tell tells of news. Who does not listen any more, or has a lot of news already, is not waited for: Services ask again.
func (s *Sweeper) tell(of discovery.Account) {
	select {
	case s.found <- event.TypedGenericEvent[discovery.Account]{Object: of}:
	default:
	}
}

// forget drops an account that nobody asked for any more, and says whether it did.
func (s *Sweeper) forget(of discovery.Account, a *account) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Clock.Since(a.asked) < idle {
		return false
	}
	delete(s.accounts, of)
	return true
}
