// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/internal/depot"
)

// Depot is the depot's side of the exchange. It keeps what the manager published in a file, so that the depot starts
// and serves while the API server is down.
type Depot struct {
	client   client.Client
	file     string
	endpoint func() depot.Endpoint
	log      *slog.Logger

	mu        sync.RWMutex
	userCAs   []string
	published depot.Endpoint
}

// NewDepot reads what is known from file; endpoint says, each time it is asked, where the depot is now.
func NewDepot(c client.Client, file string, endpoint func() depot.Endpoint, log *slog.Logger) (*Depot, error) {
	d := &Depot{client: c, file: file, endpoint: endpoint, log: log}
	content, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the manager's keys: %w", err)
	}
	d.userCAs = split(string(content))
	return d, nil
}

// UserCAs are the keys that sign users' certificates, in authorized_keys format: none before the manager has published any.
func (d *Depot) UserCAs() []string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.Clone(d.userCAs)
}

// Run keeps both sides told until ctx ends: rotations are seen within seconds.
func (d *Depot) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		err := d.Sync(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			d.log.Warn("cannot exchange keys with the manager; serving with those that are known", "error", err)
		}
		failing = err != nil
		next := pollInterval
		if failing {
			next = time.Second
		}
		timer.Reset(next)
	}
}

// Sync exchanges once.
func (d *Depot) Sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pollInterval)
	defer cancel()
	if err := d.publish(ctx); err != nil {
		return err
	}
	var published corev1.ConfigMap
	err := d.client.Get(ctx, types.NamespacedName{Namespace: Namespace, Name: userCAsMap}, &published)
	if apierrors.IsNotFound(err) {
		return errors.New("the manager has not published its keys yet")
	}
	if err != nil {
		return fmt.Errorf("read ConfigMap %s/%s: %w", Namespace, userCAsMap, err)
	}
	keys := split(published.Data[userCAsKey])
	if len(keys) == 0 {
		return fmt.Errorf("ConfigMap %s/%s holds no keys; keeping those that are known", Namespace, userCAsMap)
	}
	return d.keep(keys)
}

func (d *Depot) publish(ctx context.Context) error {
	endpoint := d.endpoint()
	if endpoint.Host == d.published.Host && endpoint.Port == d.published.Port && slices.Equal(endpoint.HostCAs, d.published.HostCAs) {
		return nil
	}
	err := publish(ctx, d.client, depotMap, map[string]string{
		hostKey: endpoint.Host, portKey: strconv.Itoa(endpoint.Port), hostCAKey: lines(endpoint.HostCAs),
	})
	if err == nil {
		d.published = endpoint
	}
	return err
}

func (d *Depot) keep(keys []string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if slices.Equal(keys, d.userCAs) {
		return nil
	}
	temporary := d.file + ".tmp"
	if err := os.MkdirAll(filepath.Dir(d.file), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(temporary, []byte(lines(keys)), 0o600); err != nil {
		return fmt.Errorf("keep the manager's keys: %w", err)
	}
	if err := os.Rename(temporary, d.file); err != nil {
		return fmt.Errorf("keep the manager's keys: %w", err)
	}
	d.userCAs = keys
	return nil
}
