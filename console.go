// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/slipway-dev/slipway/internal/console"
	depotclient "github.com/slipway-dev/slipway/internal/depot/client"
	"github.com/slipway-dev/slipway/internal/trust"
)

// consoleOptions are what the Console's flags set.
type consoleOptions struct {
	address, url, environment string
	cert, key                 string
	behindProxy               bool
	oidc                      console.OIDC
	oidcSecretFile            string
	// link signs in with one-time links, as this user; linkFile takes the address of the next one.
	link     *console.Identity
	linkFile func(url string) error
}

func (o *consoleOptions) addFlags(c *cobra.Command, address string) {
	f := c.Flags()
	f.StringVar(&o.address, "console-address", address, "where the Console listens")
	f.StringVar(&o.environment, "console-environment", "", "badge in the Console's top bar, such as production")
	f.StringVar(&o.cert, "console-cert", "", "file of the Console's certificate; without one it speaks plain http, on a loopback address alone")
	f.StringVar(&o.key, "console-key", "", "file of its key")
	f.StringVar(&o.oidc.Issuer, "console-oidc-issuer", "", "address of the OpenID Connect provider that people sign in with; default: none")
	f.StringVar(&o.oidc.ClientID, "console-oidc-client-id", "", "what the Console is known by there")
	f.StringVar(&o.oidcSecretFile, "console-oidc-client-secret-file", "", "file of its secret there, if it has one")
	f.StringVar(&o.oidc.UsernameClaim, "console-oidc-username-claim", "sub", "claim that is the user's name; as kube-apiserver's --oidc-username-claim")
	f.StringVar(&o.oidc.UsernamePrefix, "console-oidc-username-prefix", "", "stands before each name; default: the issuer and # before all but emails; - is none")
	f.StringVar(&o.oidc.GroupsClaim, "console-oidc-groups-claim", "groups", "claim that is the user's groups; as kube-apiserver's --oidc-groups-claim")
	f.StringVar(&o.oidc.GroupsPrefix, "console-oidc-groups-prefix", "", "stands before each group; as kube-apiserver's --oidc-groups-prefix")
	f.StringSliceVar(&o.oidc.Scopes, "console-oidc-scopes", []string{"profile", "email", "groups"}, "what is asked for beside openid")
	f.BoolVar(&o.behindProxy, "console-behind-proxy", false, "speak plain http on any address: what stands before the Console speaks https")
}

func consoleCommand() *cobra.Command {
	var o consoleOptions
	c := &cobra.Command{
		Use:   "console",
		Short: "Serves the web page",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log := startLogging()
			config, err := ctrl.GetConfig()
			if err != nil {
				return fmt.Errorf("find the API server: %w", err)
			}
			return runConsole(c.Context(), config, o, log, func(url string) { log.Info("the Console serves", "url", url) })
		},
	}
	o.addFlags(c, "127.0.0.1:8090")
	c.Flags().StringVar(&o.url, "console-url", "", "where people reach the Console (default: http and --console-address)")
	return c
}

// provider is the one that people sign in with; nil if there is none.
func (o *consoleOptions) provider() (*console.OIDC, error) {
	if o.oidc.Issuer == "" {
		return nil, nil
	}
	if o.oidc.ClientID == "" {
		return nil, errors.New("--console-oidc-issuer needs --console-oidc-client-id")
	}
	provider := o.oidc
	if o.oidcSecretFile != "" {
		secret, err := os.ReadFile(o.oidcSecretFile)
		if err != nil {
			return nil, fmt.Errorf("--console-oidc-client-secret-file: %w", err)
		}
		provider.ClientSecret = strings.TrimSpace(string(secret))
	}
	return &provider, nil
}

// runConsole serves until ctx ends. It acts as the signed-in user; its own credential reads, reviews tokens and impersonates.
func runConsole(ctx context.Context, config *rest.Config, o consoleOptions, log *slog.Logger, ready func(url string)) error {
	provider, err := o.provider()
	if err != nil {
		return err
	}
	scheme := newScheme()
	http, err := rest.HTTPClientFor(config)
	if err != nil {
		return fmt.Errorf("reach the API server: %w", err)
	}
	mapper, err := apiutil.NewDynamicRESTMapper(config, http)
	if err != nil {
		return fmt.Errorf("reach the API server: %w", err)
	}
	direct, err := client.New(config, client.Options{Scheme: scheme, Mapper: mapper, HTTPClient: http})
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	objects, err := cache.New(config, cache.Options{Scheme: scheme, Mapper: mapper, HTTPClient: http, ByObject: console.CacheOptions()})
	if err != nil {
		return fmt.Errorf("make a cache: %w", err)
	}
	endpoint := trust.NewEndpoint(direct, clock.RealClock{})
	depot := depotclient.NewReader(endpoint.Get, consoleToken(ctx, direct))
	context.AfterFunc(ctx, func() { _ = depot.Close() })
	c, err := console.New(console.Options{
		Address: o.address, URL: o.url, Environment: o.environment, CertFile: o.cert, KeyFile: o.key, Insecure: o.behindProxy,
		Cache: objects, Config: config, Direct: direct, Mapper: mapper, Scheme: scheme, Depot: depot, Link: o.link, OIDC: provider,
		Clock: clock.RealClock{}, Logger: log,
	})
	if err != nil {
		return err
	}
	if err := c.Watch(ctx, objects); err != nil {
		return err
	}
	cached := make(chan error, 1)
	go func() { cached <- objects.Start(ctx) }()
	if !objects.WaitForCacheSync(ctx) {
		return ctx.Err()
	}
	err = c.Serve(ctx, func(url string) {
		if o.link != nil {
			go c.KeepLink(ctx, o.linkFile)
		}
		ready(url)
	})
	if err != nil {
		return err
	}
	return <-cached
}

const (
	// consoleAccount is the Console's service account, in the system namespace.
	consoleAccount = "slipway-console"
	// tokenLife is how long the token lasts that it shows to the depot; a new one is asked for when half of that is over.
	tokenLife = time.Hour
)

// consoleToken returns a token of the Console's service account: the depot asks the API server whose it is.
func consoleToken(ctx context.Context, c client.Client) func() (string, error) {
	var mu sync.Mutex
	var token string
	var asked time.Time
	return func() (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if token != "" && time.Since(asked) < tokenLife/2 {
			return token, nil
		}
		limited, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		seconds := int64(tokenLife / time.Second)
		request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: trust.Namespace, Name: consoleAccount}}
		if err := c.SubResource("token").Create(limited, account, request); err != nil {
			return "", err
		}
		token, asked = request.Status.Token, time.Now()
		return token, nil
	}
}
