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
	// Fresh is how old a description may be that still answers for now. Default DefaultFresh.
	Fresh time.Duration
	// LookLimit bounds one live look. Default DefaultLookLimit.
	LookLimit time.Duration
	// Blind is how long nobody looks live after a live look failed. Default DefaultBlind.
	Blind time.Duration
	// Connect makes the clients of an account. Default: the SDK's own chain of credentials, and an assumed role.
	Connect func(ctx context.Context, account discovery.Account) (API, error)
	Clock   clock.WithTicker
	// Random gives numbers from 0 up to 1. Default random.
	Random func() float64
}

// Sweeper is a discovery.LiveFinder that looks at EC2.
type Sweeper struct {
	Options
	found chan event.TypedGenericEvent[discovery.Account]

	mu       sync.Mutex
	ctx      context.Context // nil before Start and after its end
	started  chan struct{}
	accounts map[discovery.Account]*account
	running  sync.WaitGroup
}

// New returns a Sweeper. It looks once Start was called.
func New(o Options) *Sweeper {
	if o.Period <= 0 {
		o.Period = DefaultPeriod
	}
	if o.Fresh <= 0 {
		o.Fresh = DefaultFresh
	}
	if o.LookLimit <= 0 {
		o.LookLimit = DefaultLookLimit
	}
	if o.Jitter == nil {
		jitter := DefaultJitter
		o.Jitter = &jitter
	}
	if o.Blind <= 0 {
		o.Blind = DefaultBlind
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
		Options: o, accounts: map[discovery.Account]*account{}, started: make(chan struct{}),
		found: make(chan event.TypedGenericEvent[discovery.Account], 64),
	}
}

// Found tells of accounts of which something new is known.
func (s *Sweeper) Found() <-chan event.TypedGenericEvent[discovery.Account] { return s.found }

// View implements discovery.Finder. The first question about an account, or about a tag, has it swept at once.
func (s *Sweeper) View(of discovery.Account, tags []string) discovery.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.account(of, s.Clock.Now())
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

// account is what is known of an account, from now on if nothing was. The caller holds the lock.
func (s *Sweeper) account(of discovery.Account, now time.Time) *account {
	a := s.accounts[of]
	if a == nil {
		maps.DeleteFunc(s.accounts, func(_ discovery.Account, a *account) bool { return !a.sweeping && now.Sub(a.asked) >= idle })
		a = &account{
			tags: map[string]int{}, instances: map[string]discovery.Instance{}, missing: map[string]int{}, live: map[string]described{},
			looking: map[string]*batch{}, wake: make(chan struct{}, 1), pace: s.paceFor(of),
		}
		s.accounts[of] = a
	}
	a.asked = now
	return a
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

// Start looks until ctx ends. It is called once.
func (s *Sweeper) Start(ctx context.Context) error {
	s.mu.Lock()
	s.ctx = ctx
	close(s.started)
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
	for {
		select { // a sweep that begins now answers what woke it
		case <-a.wake:
		default:
		}
		tags, began := s.asked(a), s.Clock.Now()
		found, err := s.look(ctx, of, a, tags)
		if ctx.Err() != nil {
			return
		}
		wait := s.learn(of, a, tags, began, found, err)
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
func (s *Sweeper) look(ctx context.Context, of discovery.Account, a *account, tags []string) ([]discovery.Instance, error) {
	ctx, cancel := context.WithTimeout(ctx, sweepLimit)
	defer cancel()
	api, err := s.connected(ctx, of, a)
	if err != nil {
		return nil, err
	}
	return sweep(ctx, paced{api, a.pace}, tags)
}

// connected gives the clients of an account, which are made once.
func (s *Sweeper) connected(ctx context.Context, of discovery.Account, a *account) (API, error) {
	a.connecting.Lock()
	defer a.connecting.Unlock()
	if a.api == nil {
		api, err := s.Connect(ctx, of)
		if err != nil {
			return nil, err
		}
		a.api = api
	}
	return a.api, nil
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
func (s *Sweeper) learn(
	of discovery.Account, a *account, tags []string, began time.Time, found []discovery.Instance, err error,
) time.Duration {
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
		problem := "EC2 in " + of.String() + ": " + Explain(err)
		slog.Warn("the instances of an account can't be looked for", "account", of.String(), "error", Explain(err), "failures", a.failures, "after", wait)
		a.problem = problem + "; next try at " + next
		news = true
	} else {
		news = a.take(found) || a.problem != ""
		a.problem, a.failures, a.swept = "", 0, began
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
