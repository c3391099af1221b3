// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package trust exchanges, through the API, what manager and depot must know of each other: the manager publishes the
// keys that sign its certificates, the depot its address and the keys that sign its host key.
package trust

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/sshca"
)

// Names of the objects, all in Namespace, and of their keys.
const (
	Namespace = "slipway-system"

	authoritySecret = "slipway-manager-ca"
	authorityKey    = "ca"
	userCAsMap      = "slipway-manager-trust"
	userCAsKey      = "user_ca"
	depotMap        = "slipway-depot"
	hostKey         = "host"
	portKey         = "port"
	hostCAKey       = "host_ca"
)

// pollInterval is how often either side looks again for what the other has published.
const pollInterval = 5 * time.Second

// EnsureAuthority reads the manager's certificate authority from its Secret, or makes it; of several managers that
// start at once one makes it and all use that one. The public keys are published for the depot.
func EnsureAuthority(ctx context.Context, c client.Client, clk clock.PassiveClock) (*sshca.Authority, error) {
	kept, err := readAuthority(ctx, c, clk)
	if apierrors.IsNotFound(err) {
		if err = makeAuthority(ctx, c, clk); err == nil || apierrors.IsAlreadyExists(err) {
			kept, err = readAuthority(ctx, c, clk)
		}
	}
	if err != nil {
		return nil, err
	}
	return kept.authority, kept.publish(ctx, c)
}

func makeAuthority(ctx context.Context, c client.Client, clk clock.PassiveClock) error {
	authority, err := sshca.New(clk)
	if err != nil {
		return err
	}
	data, err := authority.Encode()
	if err != nil {
		return err
	}
	err = c.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: authoritySecret},
		Data:       map[string][]byte{authorityKey: data},
	})
	if err != nil {
		return fmt.Errorf("make Secret %s/%s: %w", Namespace, authoritySecret, err)
	}
	return nil
}

// publish makes a ConfigMap of the system namespace say data.
func publish(ctx context.Context, c client.Client, name string, data map[string]string) error {
	var existing corev1.ConfigMap
	err := c.Get(ctx, types.NamespacedName{Namespace: Namespace, Name: name}, &existing)
	switch {
	case apierrors.IsNotFound(err):
		err = c.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: name}, Data: data})
		if apierrors.IsAlreadyExists(err) { // another replica was faster, and says the same
			err = nil
		}
	case err == nil && maps.Equal(existing.Data, data):
	case err == nil:
		existing.Data = data
		err = c.Update(ctx, &existing)
	}
	if err != nil {
		return fmt.Errorf("publish ConfigMap %s/%s: %w", Namespace, name, err)
	}
	return nil
}

// Endpoint remembers where the depot said it is.
type Endpoint struct {
	reader client.Reader
	clock  clock.PassiveClock

	mu   sync.Mutex
	last depot.Endpoint
	read time.Time
}

// NewEndpoint reads through reader, at most every few seconds.
func NewEndpoint(reader client.Reader, clk clock.PassiveClock) *Endpoint {
	return &Endpoint{reader: reader, clock: clk}
}

// Get returns where the depot is. While the API server does not answer it returns what it knew; an error that wraps
// depot.ErrUnavailable says that the depot has not published an address yet.
func (e *Endpoint) Get() (depot.Endpoint, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.read.IsZero() && e.clock.Since(e.read) < pollInterval {
		return e.last, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), pollInterval)
	defer cancel()
	var published corev1.ConfigMap
	err := e.reader.Get(ctx, types.NamespacedName{Namespace: Namespace, Name: depotMap}, &published)
	if err == nil {
		var endpoint depot.Endpoint
		if endpoint, err = parseEndpoint(published.Data); err == nil {
			e.last, e.read = endpoint, e.clock.Now()
		}
	}
	if err != nil && e.last.Host == "" {
		return depot.Endpoint{}, fmt.Errorf("%w: ConfigMap %s/%s: %w (is the depot running?)", depot.ErrUnavailable, Namespace, depotMap, err)
	}
	return e.last, nil
}

func parseEndpoint(data map[string]string) (depot.Endpoint, error) {
	port, err := strconv.ParseUint(data[portKey], 10, 16)
	if err != nil || port == 0 || data[hostKey] == "" {
		return depot.Endpoint{}, fmt.Errorf("host %q and port %q are no address", data[hostKey], data[portKey])
	}
	authorities := split(data[hostCAKey])
	if len(authorities) == 0 {
		return depot.Endpoint{}, fmt.Errorf("the key %s is empty", hostCAKey)
	}
	return depot.Endpoint{Host: data[hostKey], Port: int(port), HostCAs: authorities}, nil
}

func lines(keys []string) string { return strings.Join(keys, "\n") + "\n" }

func split(text string) []string {
	return slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return strings.TrimSpace(line) == "" })
}
