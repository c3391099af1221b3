// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

const (
	// sessionLife is how long a session lasts at most, sessionIdle how long one that nobody uses.
	sessionLife = 12 * time.Hour
	sessionIdle = 2 * time.Hour
	// maxSessions bounds how many there are; the one used least lately gives way.
	maxSessions = 10_000
	// maxSessionsOf bounds those of one user.
	maxSessionsOf = 50
	// reviewEvery is how often the cluster is asked again whose token it is that a session began with: a token can be revoked.
	reviewEvery = time.Minute
)

// Identity is who somebody is, as the cluster knows him.
type Identity struct {
	// Name of the user; never empty.
	Name string
	// Groups of the user.
	Groups []string
	// Until is when his proof of it runs out; zero if it does not.
	Until time.Time
}

// session is one browser that is signed in. Only a hash of its key is kept.
type session struct {
	user        Identity
	began, used time.Time
	// token that it began with, if it did, and when the cluster was last asked about it.
	token    string
	reviewed time.Time
}

// sessions are kept in memory: after a restart people sign in again.
type sessions struct {
	clock clock.PassiveClock
	// review is reviewEvery; tests have no time for it.
	review time.Duration
	mu     sync.Mutex
	all    map[[32]byte]*session
}

func newSessions(c clock.PassiveClock) *sessions {
	return &sessions{clock: c, review: reviewEvery, all: map[[32]byte]*session{}}
}

// begin starts a session and returns its key. token is what it began with; empty if it was something else.
func (s *sessions) begin(user Identity, token string) string {
	key, now := rand.Text(), s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.makeRoom(user.Name, now)
	s.all[sha256.Sum256([]byte(key))] = &session{user: user, began: now, used: now, token: token, reviewed: now}
	return key
}

// makeRoom removes sessions that are over, and the one used least lately if there are too many.
func (s *sessions) makeRoom(user string, now time.Time) {
	var oldest, own [32]byte
	var oldestUsed, ownUsed time.Time
	owned := 0
	for id, one := range s.all {
		if one.over(now) {
			delete(s.all, id)
			continue
		}
		if oldestUsed.IsZero() || one.used.Before(oldestUsed) {
			oldest, oldestUsed = id, one.used
		}
		if one.user.Name == user {
			owned++
			if ownUsed.IsZero() || one.used.Before(ownUsed) {
				own, ownUsed = id, one.used
			}
		}
	}
	if owned >= maxSessionsOf {
		delete(s.all, own)
	} else if len(s.all) >= maxSessions {
		delete(s.all, oldest)
	}
}

func (s *session) over(now time.Time) bool {
	return now.Sub(s.began) > sessionLife || now.Sub(s.used) > sessionIdle || !s.user.Until.IsZero() && !now.Before(s.user.Until)
}

// find returns who holds a key. due is the token that is to be reviewed before that counts; one who asks meanwhile is not kept waiting.
func (s *sessions) find(key string) (user Identity, due string, found bool) {
	now, id := s.clock.Now(), sha256.Sum256([]byte(key))
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.all[id]
	if one == nil {
		return Identity{}, "", false
	}
	if one.over(now) {
		delete(s.all, id)
		return Identity{}, "", false
	}
	one.used = now
	if one.token != "" && now.Sub(one.reviewed) > s.review {
		one.reviewed, due = now, one.token
	}
	return one.user, due, true
}

// is notes who somebody is by now: his groups may have changed.
func (s *sessions) is(key string, user Identity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.all[sha256.Sum256([]byte(key))]; one != nil {
		one.user = user
	}
}

// end forgets a key.
func (s *sessions) end(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, sha256.Sum256([]byte(key)))
}

func encode(data []byte) string          { return base64.RawURLEncoding.EncodeToString(data) }
func decode(text string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(text) }

// cookieName is __Host- where the browser then holds it to https. Plain http, on a loopback address, knows no such cookies.
func (c *Console) cookieName() string {
	if c.secure {
		return "__Host-slipway"
	}
	return "slipway"
}

func (c *Console) setCookie(w http.ResponseWriter, key string) {
	cookie := &http.Cookie{Name: c.cookieName(), Value: key, Path: "/", HttpOnly: true, Secure: c.secure, SameSite: http.SameSiteStrictMode}
	if key == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, cookie)
}

// whoIs finds the session of a request.
func (c *Console) whoIs(r *http.Request) (Identity, bool) {
	cookie, err := r.Cookie(c.cookieName())
	if err != nil || cookie.Value == "" {
		return Identity{}, false
	}
	user, due, found := c.sessions.find(cookie.Value)
	if due == "" {
		return user, found
	}
	switch now, problem := c.review(context.WithoutCancel(r.Context()), due); problem {
	case "":
		c.sessions.is(cookie.Value, now)
		return now, true
	case "signin.noAnswer": // the API server may be back in a moment, and does nothing for anybody until then
		return user, true
	default:
		c.sessions.end(cookie.Value)
		c.Logger.Info("a session has ended with its token", "user", user.Name, "why", problem)
		return Identity{}, false
	}
}
