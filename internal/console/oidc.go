// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// OIDC is where people sign in with OpenID Connect. Names and groups are made as kube-apiserver's own flags make them, so that one set of
// role bindings serves both.
type OIDC struct {
	// Issuer is the provider's address, ClientID and ClientSecret what the Console is known by there. The secret may be empty.
	Issuer, ClientID, ClientSecret string
	// UsernameClaim and GroupsClaim name the claims. Defaults: sub, groups. An email that is said not to be verified counts for nothing.
	UsernameClaim, GroupsClaim string
	// UsernamePrefix and GroupsPrefix stand before each. Default of UsernamePrefix: none for emails, else the issuer and #; - is none.
	UsernamePrefix, GroupsPrefix string
	// Scopes beside openid. Default: profile, email, groups.
	Scopes []string
}

const (
	// oidcLimit bounds the talk with the provider, handshakeLife how long a person may take there.
	oidcLimit, handshakeLife = 15 * time.Second, 10 * time.Minute
	callbackPath             = "/oidc/callback"
)

// signInByOIDC leads people to the provider and back.
type signInByOIDC struct {
	OIDC
	// client speaks to the provider, in bounded time.
	client   *http.Client
	mu       sync.Mutex
	provider *oidc.Provider
}

func newSignInByOIDC(o OIDC) *signInByOIDC {
	return &signInByOIDC{OIDC: o, client: &http.Client{Timeout: oidcLimit}}
}

// known asks the provider for its addresses once; it may be away when the Console starts.
func (s *signInByOIDC) known(ctx context.Context) (*oidc.Provider, error) {
	s.mu.Lock()
	provider := s.provider
	s.mu.Unlock()
	if provider != nil {
		return provider, nil
	}
	// The provider keeps this context for its keys: it must not end with the request. Each call ends by itself.
	provider, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), s.client), s.Issuer)
	if err != nil {
		return nil, fmt.Errorf("ask %s who it is: %w", s.Issuer, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.provider = provider
	return provider, nil
}

func (c *Console) oauth(provider *oidc.Provider) *oauth2.Config {
	scopes := c.oidc.Scopes
	if len(scopes) == 0 {
		scopes = []string{"profile", "email", "groups"}
	}
	return &oauth2.Config{
		ClientID: c.oidc.ClientID, ClientSecret: c.oidc.ClientSecret, Endpoint: provider.Endpoint(),
		RedirectURL: strings.TrimRight(c.URL, "/") + callbackPath, Scopes: append([]string{oidc.ScopeOpenID}, scopes...),
	}
}

// handshake is what a browser keeps while its user is at the provider. Who has it not, did not begin it.
type handshake struct {
	State, Nonce, Verifier, Next string
}

func (c *Console) handshakeCookie() string {
	if c.secure {
		return "__Host-slipway-oidc"
	}
	return "slipway-oidc"
}

// startOIDC sends people to the provider: the code flow with PKCE (RFC 7636), a state and a nonce.
func (c *Console) startOIDC(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), oidcLimit)
	defer cancel()
	provider, err := c.oidc.known(ctx)
	if err != nil {
		c.refuseSignIn(w, r, "signin.noProvider", err)
		return
	}
	h := handshake{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Next: localPath(r.URL.Query().Get("next"))}
	data, err := json.Marshal(h)
	if err != nil {
		c.refuseSignIn(w, r, "signin.noProvider", err)
		return
	}
	// Lax: the provider's redirect is another site's. It is worth nothing without the code, and the code nothing without it.
	http.SetCookie(w, &http.Cookie{
		Name: c.handshakeCookie(), Value: encode(data), Path: "/", MaxAge: int(handshakeLife / time.Second), HttpOnly: true, Secure: c.secure, SameSite: http.SameSiteLaxMode,
	})
	http.Redirect(w, r, c.oauth(provider).AuthCodeURL(h.State, oidc.Nonce(h.Nonce), oauth2.S256ChallengeOption(h.Verifier)), http.StatusSeeOther)
}

// finishOIDC takes people back.
func (c *Console) finishOIDC(w http.ResponseWriter, r *http.Request) {
	cookie, err := r.Cookie(c.handshakeCookie())
	http.SetCookie(w, &http.Cookie{Name: c.handshakeCookie(), Path: "/", MaxAge: -1, HttpOnly: true, Secure: c.secure, SameSite: http.SameSiteLaxMode})
	if err != nil {
		c.refuseSignIn(w, r, "signin.lost", err)
		return
	}
	var h handshake
	if data, err := decode(cookie.Value); err != nil || json.Unmarshal(data, &h) != nil || h.State == "" {
		c.refuseSignIn(w, r, "signin.lost", err)
		return
	}
	query := r.URL.Query()
	if subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(h.State)) != 1 {
		c.refuseSignIn(w, r, "signin.lost", errors.New("the state is another"))
		return
	}
	if problem := query.Get("error"); problem != "" {
		c.refuseSignIn(w, r, "signin.denied", fmt.Errorf("%s: %s", problem, query.Get("error_description")))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), oidcLimit)
	defer cancel()
	user, err := c.identify(ctx, query.Get("code"), h)
	if err != nil {
		c.refuseSignIn(w, r, "signin.unproven", err)
		return
	}
	c.begin(w, r, user, "")
	// Not a redirect: it would be the provider's, and bring no SameSite=Strict cookie.
	c.show(w, r, http.StatusOK, "again", Identity{}, localPath(h.Next))
}

// identify exchanges the code and reads who it is from the ID token, or from the provider's user information where that says more.
func (c *Console) identify(ctx context.Context, code string, h handshake) (Identity, error) {
	provider, err := c.oidc.known(ctx)
	if err != nil {
		return Identity{}, err
	}
	ctx = oidc.ClientContext(ctx, c.oidc.client)
	token, err := c.oauth(provider).Exchange(ctx, code, oauth2.VerifierOption(h.Verifier))
	if err != nil {
		return Identity{}, fmt.Errorf("exchange the code: %w", err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return Identity{}, errors.New("the provider gave no ID token")
	}
	id, err := provider.Verifier(&oidc.Config{ClientID: c.oidc.ClientID, Now: c.Clock.Now}).Verify(ctx, raw)
	if err != nil {
		return Identity{}, fmt.Errorf("verify the ID token: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(h.Nonce)) != 1 {
		return Identity{}, errors.New("the ID token is of another sign-in")
	}
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil {
		return Identity{}, fmt.Errorf("read the ID token: %w", err)
	}
	if claims[c.oidc.usernameClaim()] == nil || claims[c.oidc.groupsClaim()] == nil {
		if more, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token)); err == nil && more.Subject == id.Subject {
			said := map[string]any{}
			if more.Claims(&said) == nil {
				for name, value := range said {
					if _, known := claims[name]; !known {
						claims[name] = value
					}
				}
			}
		}
	}
	return c.oidc.identity(claims)
}

func (o *OIDC) usernameClaim() string {
	if o.UsernameClaim == "" {
		return "sub"
	}
	return o.UsernameClaim
}

func (o *OIDC) groupsClaim() string {
	if o.GroupsClaim == "" {
		return "groups"
	}
	return o.GroupsClaim
}

// usernamePrefix is the prefix as kube-apiserver reads its flag: - is none, and without one all names but emails have the issuer's.
func (o *OIDC) usernamePrefix() string {
	switch {
	case o.UsernamePrefix == "-":
		return ""
	case o.UsernamePrefix == "" && o.usernameClaim() != "email":
		return o.Issuer + "#"
	}
	return o.UsernamePrefix
}

// reserved begins the names that Kubernetes gives out itself: no provider does.
const reserved = "system:"

// identity makes a user of claims.
func (o *OIDC) identity(claims map[string]any) (Identity, error) {
	claim := o.usernameClaim()
	name, _ := claims[claim].(string)
	if name == "" {
		return Identity{}, fmt.Errorf("the provider says no %s", claim)
	}
	// As kube-apiserver: one that says nothing of it is trusted, anything but true is not.
	if said, is := claims["email_verified"]; claim == "email" && is && said != true {
		return Identity{}, errors.New("the email address is not verified")
	}
	user := Identity{Name: o.usernamePrefix() + name, Groups: []string{everybody}}
	if strings.HasPrefix(user.Name, reserved) {
		return Identity{}, fmt.Errorf("%s is a name of the cluster's own", user.Name)
	}
	var groups []string
	switch said := claims[o.groupsClaim()].(type) {
	case string:
		groups = []string{said}
	case []any:
		for _, group := range said {
			if text, is := group.(string); is {
				groups = append(groups, text)
			}
		}
	}
	for _, group := range groups {
		if group = o.GroupsPrefix + group; group != "" && !strings.HasPrefix(group, reserved) {
			user.Groups = append(user.Groups, group)
		}
	}
	return user, user.check()
}

// refuseSignIn shows the page to sign in again.
func (c *Console) refuseSignIn(w http.ResponseWriter, r *http.Request, problem string, err error) {
	c.Logger.Warn("sign-in refused", "source", c.sourceOf(r), "why", problem, "error", fmt.Sprint(err))
	c.show(w, r, http.StatusUnauthorized, "signin", Identity{}, c.signInView("/", problem))
}
