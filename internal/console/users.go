// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

const (
	// verdictLife is how long the cluster's word on what a user may do is gone by. Writes ask anew: the API server does.
	verdictLife = 20 * time.Second
	// maxUsers bounds how many users are remembered.
	maxUsers = 5_000
	// maxVerdicts bounds what is remembered of one.
	maxVerdicts = 5_000
)

// users speak to the API server as the users that are signed in.
type users struct {
	config *rest.Config
	mapper meta.RESTMapper
	scheme *runtime.Scheme
	clock  clock.PassiveClock
	mu     sync.Mutex
	known  map[string]*user
}

// user is one of them.
type user struct {
	Identity
	client client.Client
	clock  clock.PassiveClock
	mu     sync.Mutex
	may    map[permission]verdict
}

// permission to do something with an object of slipway.dev. An empty namespace is all of them.
type permission struct{ namespace, verb, resource string }

// String names it as an administrator would look it up.
func (p permission) String() string {
	return fmt.Sprintf("%s %s.%s", p.verb, p.resource, v1alpha1.GroupVersion.Group)
}

type verdict struct {
	allowed bool
	until   time.Time
}

func newUsers(config *rest.Config, mapper meta.RESTMapper, scheme *runtime.Scheme, c clock.PassiveClock) *users {
	return &users{config: config, mapper: mapper, scheme: scheme, clock: c, known: map[string]*user{}}
}

// as returns who speaks for an identity.
func (u *users) as(who Identity) (*user, error) {
	if err := who.check(); err != nil {
		return nil, err
	}
	key := who.Name + "\n" + strings.Join(who.Groups, "\n")
	u.mu.Lock()
	defer u.mu.Unlock()
	if known := u.known[key]; known != nil {
		return known, nil
	}
	config := rest.CopyConfig(u.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: who.Name, Groups: who.Groups}
	config.UserAgent = "slipway-console"
	c, err := client.New(config, client.Options{Scheme: u.scheme, Mapper: u.mapper})
	if err != nil {
		return nil, fmt.Errorf("speak for %s: %w", who.Name, err)
	}
	if len(u.known) >= maxUsers {
		clear(u.known)
	}
	one := &user{Identity: who, client: c, clock: u.clock, may: map[permission]verdict{}}
	u.known[key] = one
	return one, nil
}

// allowed says whether the user may do something, as the cluster said lately. Nobody may what can't be asked.
func (u *user) allowed(ctx context.Context, p permission) bool {
	now := u.clock.Now()
	u.mu.Lock()
	v, known := u.may[p]
	u.mu.Unlock()
	if known && now.Before(v.until) {
		return v.allowed
	}
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: p.namespace, Verb: p.verb, Group: v1alpha1.GroupVersion.Group, Resource: p.resource},
	}}
	if err := u.client.Create(ctx, review); err != nil {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.may) >= maxVerdicts {
		clear(u.may)
	}
	u.may[p] = verdict{allowed: review.Status.Allowed, until: now.Add(verdictLife)}
	return review.Status.Allowed
}

// shownKinds are the kinds that pages show.
var shownKinds = []string{"services", "releases", "targets"}

// sees says whether the user may see what a namespace has: pages show all kinds, so that he must be allowed to list each.
func (u *user) sees(ctx context.Context, namespace string) bool {
	for _, kind := range shownKinds {
		if !u.allowed(ctx, permission{"", "list", kind}) && !u.allowed(ctx, permission{namespace, "list", kind}) {
			return false
		}
	}
	return true
}
