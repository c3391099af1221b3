// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/utils/clock"
)

const (
	// linkLife is how long a one-time link is good.
	linkLife = 10 * time.Minute
	// maxAttempts of one source within attemptsIn.
	maxAttempts = 10
	attemptsIn  = time.Minute
	// maxSources bounds how many sources are remembered.
	maxSources = 10_000
)

// forbiddenGroup is never impersonated: it is past all authorization.
const forbiddenGroup = "system:masters"

// everybody is the group of all who are signed in.
const everybody = "system:authenticated"

type signInView struct {
	Next    string
	Problem string
	// Link and OIDC say whether there are such ways.
	Link, OIDC bool
}

func (c *Console) signInView(next, problem string) signInView {
	return signInView{Next: next, Problem: problem, Link: c.Link != nil, OIDC: c.oidc != nil}
}

// signInPage asks who it is.
func (c *Console) signInPage(w http.ResponseWriter, r *http.Request) {
	next := localPath(r.URL.Query().Get("next"))
	if _, is := c.whoIs(r); is {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	}
	c.show(w, r, http.StatusOK, "signin", Identity{}, c.signInView(next, ""))
}

// signIn takes a Kubernetes token.
func (c *Console) signIn(w http.ResponseWriter, r *http.Request) {
	next := localPath(r.PostFormValue("next"))
	source := c.sourceOf(r)
	if !c.attempts.allow(source) {
		c.show(w, r, http.StatusTooManyRequests, "signin", Identity{}, c.signInView(next, "signin.tooMany"))
		return
	}
	token := strings.TrimSpace(r.PostFormValue("token"))
	user, problem := c.review(r.Context(), token)
	if problem != "" {
		c.Logger.Warn("sign-in refused", "source", source, "why", problem)
		c.show(w, r, http.StatusUnauthorized, "signin", Identity{}, c.signInView(next, problem))
		return
	}
	c.attempts.forget(source)
	c.admit(w, r, user, token, next)
}

// admit begins a session. The one before, if there was one, ends: nobody goes on with a key that he was given.
func (c *Console) admit(w http.ResponseWriter, r *http.Request, user Identity, token, next string) {
	c.begin(w, r, user, token)
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (c *Console) begin(w http.ResponseWriter, r *http.Request, user Identity, token string) {
	if cookie, err := r.Cookie(c.cookieName()); err == nil {
		c.sessions.end(cookie.Value)
	}
	c.setCookie(w, c.sessions.begin(user, token))
	c.Logger.Info("signed in", "user", user.Name, "source", c.sourceOf(r))
}

// review asks the cluster whose token it is. problem names why nobody signs in with it.
func (c *Console) review(ctx context.Context, token string) (user Identity, problem string) {
	if token == "" {
		return Identity{}, "signin.noToken"
	}
	ctx, cancel := context.WithTimeout(ctx, pageLimit)
	defer cancel()
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}
	if err := c.Direct.Create(ctx, review); err != nil {
		c.Logger.Error("a token could not be reviewed", "error", err.Error())
		return Identity{}, "signin.noAnswer"
	}
	if !review.Status.Authenticated {
		return Identity{}, "signin.badToken"
	}
	user = Identity{Name: review.Status.User.Username, Groups: review.Status.User.Groups, Until: expiry(token)}
	if err := user.check(); err != nil {
		return Identity{}, "signin.refused"
	}
	return user, ""
}

// expiry is when a token runs out, if it is a JWT that says so (RFC 7519, section 4.1.4); zero else. The cluster has verified it.
func expiry(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	payload, err := decode(parts[1])
	if err != nil {
		return time.Time{}
	}
	var claims struct {
		Expires float64 `json:"exp"`
	}
	if json.Unmarshal(payload, &claims) != nil || claims.Expires <= 0 {
		return time.Time{}
	}
	return time.Unix(int64(claims.Expires), 0)
}

// check refuses whom the Console never speaks for: nobody at all, and who is past all authorization.
func (i Identity) check() error {
	switch {
	case i.Name == "":
		return errors.New("the user has no name")
	case strings.ContainsFunc(i.Name+strings.Join(i.Groups, ""), unicode.IsControl):
		return errors.New("the name of the user, or of a group, has control characters")
	case slices.Contains(i.Groups, forbiddenGroup):
		return fmt.Errorf("members of %s sign in with kubectl alone", forbiddenGroup)
	}
	return nil
}

// signOut ends the session.
func (c *Console) signOut(w http.ResponseWriter, r *http.Request) {
	if cookie, err := r.Cookie(c.cookieName()); err == nil {
		if user, _, is := c.sessions.find(cookie.Value); is {
			c.Logger.Info("signed out", "user", user.Name, "source", c.sourceOf(r))
		}
		c.sessions.end(cookie.Value)
	}
	c.setCookie(w, "")
	http.Redirect(w, r, "/signin", http.StatusSeeOther)
}

// NewLink returns the path of a link that signs in once, or none if there are no links.
func (c *Console) NewLink() string {
	if c.Link == nil {
		return ""
	}
	return "/link/" + c.links.make()
}

// KeepLink writes the address of a link that is good, whenever the one before was used or is about to be too old, until ctx ends.
func (c *Console) KeepLink(ctx context.Context, write func(url string) error) {
	for {
		path := c.NewLink()
		if err := write(c.URL + path); err != nil {
			c.Logger.Error("the one-time link can't be written", "error", err.Error())
		}
		key := strings.TrimPrefix(path, "/link/")
		for good := true; good; good = c.links.good(key) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
		}
	}
}

// linkPage asks to press a button: what follows links by itself, such as a chat's preview, does not use one up.
func (c *Console) linkPage(w http.ResponseWriter, r *http.Request) {
	if c.Link == nil {
		c.notFound(w, r)
		return
	}
	c.show(w, r, http.StatusOK, "link", Identity{}, struct{ Key, Name string }{r.PathValue("key"), c.Link.Name})
}

func (c *Console) followLink(w http.ResponseWriter, r *http.Request) {
	source := c.sourceOf(r)
	if !c.attempts.allow(source) {
		c.show(w, r, http.StatusTooManyRequests, "signin", Identity{}, c.signInView("/", "signin.tooMany"))
		return
	}
	if c.Link == nil || !c.links.use(r.PathValue("key")) {
		c.show(w, r, http.StatusUnauthorized, "signin", Identity{}, c.signInView("/", "signin.oldLink"))
		return
	}
	c.attempts.forget(source)
	c.admit(w, r, *c.Link, "", "/")
}

// links are one-time links, by the hashes of their keys.
type links struct {
	clock clock.PassiveClock
	mu    sync.Mutex
	until map[[32]byte]time.Time
}

func newLinks(c clock.PassiveClock) *links {
	return &links{clock: c, until: map[[32]byte]time.Time{}}
}

func (l *links) make() string {
	key := rand.Text()
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	maps.DeleteFunc(l.until, func(_ [32]byte, until time.Time) bool { return !now.Before(until) })
	l.until[sha256.Sum256([]byte(key))] = now.Add(linkLife)
	return key
}

// good says whether a link will be good for a while yet.
func (l *links) good(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	until, known := l.until[sha256.Sum256([]byte(key))]
	return known && l.clock.Now().Before(until.Add(-linkLife/2))
}

func (l *links) use(key string) bool {
	id := sha256.Sum256([]byte(key))
	l.mu.Lock()
	defer l.mu.Unlock()
	until, known := l.until[id]
	delete(l.until, id)
	return known && l.clock.Now().Before(until)
}

// limiter bounds the attempts of one source.
type limiter struct {
	clock clock.PassiveClock
	mu    sync.Mutex
	tries map[string][]time.Time
}

func newLimiter(c clock.PassiveClock) *limiter {
	return &limiter{clock: c, tries: map[string][]time.Time{}}
}

func (l *limiter) allow(source string) bool {
	now := l.clock.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	recent := slices.DeleteFunc(l.tries[source], func(t time.Time) bool { return now.Sub(t) > attemptsIn })
	if len(recent) >= maxAttempts {
		l.tries[source] = recent
		return false
	}
	if len(l.tries) >= maxSources { // somebody has many addresses: remember the newest
		clear(l.tries)
	}
	l.tries[source] = append(recent, now)
	return true
}

// forget forgets the attempts of a source that has signed in.
func (l *limiter) forget(source string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.tries, source)
}

// sourceOf is the address that a request came from; of IPv6 the network that one customer has. Behind a proxy it is the address that
// the proxy says, which is the last one of X-Forwarded-For: those before it are whatever somebody wrote there.
func (c *Console) sourceOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	if said := r.Header.Values("X-Forwarded-For"); c.Insecure && len(said) > 0 {
		last := said[len(said)-1]
		last = strings.TrimSpace(last[strings.LastIndex(last, ",")+1:])
		if net.ParseIP(last) != nil {
			host = last
		}
	}
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		return ip.Mask(net.CIDRMask(64, 128)).String()
	}
	return host
}

// localPath is a path of the Console itself; / for anything else.
func localPath(next string) string {
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") || strings.HasPrefix(next, "/signin") || len(next) > 2048 {
		return "/"
	}
	return next
}
