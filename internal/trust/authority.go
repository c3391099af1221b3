// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/internal/sshca"
)

const (
	// preparedKey says in the Secret since when the next key is published, retiredKey which public keys are trusted until
	// when though they sign no more.
	preparedKey = "prepared"
	retiredKey  = "retired"
	// learning is how long everybody has to learn of the next key before it may sign.
	learning = time.Minute
	// overlap is how long what the old key signed stays good: longer than any certificate's life.
	overlap = 24 * time.Hour
)

// kept is the manager's authority as its Secret holds it.
type kept struct {
	secret    corev1.Secret
	authority *sshca.Authority
	clock     clock.PassiveClock
}

func readAuthority(ctx context.Context, c client.Reader, clk clock.PassiveClock) (*kept, error) {
	k := &kept{clock: clk}
	err := c.Get(ctx, types.NamespacedName{Namespace: Namespace, Name: authoritySecret}, &k.secret)
	if err == nil {
		k.authority, err = sshca.Load(k.secret.Data[authorityKey], clk)
	}
	if err != nil {
		return nil, fmt.Errorf("the manager's certificate authority (Secret %s/%s): %w", Namespace, authoritySecret, err)
	}
	return k, nil
}

// publish tells the depot whom to trust: the key in use, the next, and those that have signed what is still good.
func (k *kept) publish(ctx context.Context, c client.Client) error {
	keys := k.authority.PublicKeys()
	for _, line := range k.retired() {
		_, key, _ := strings.Cut(line, " ")
		keys = append(keys, key)
	}
	return publish(ctx, c, userCAsMap, map[string]string{userCAsKey: lines(keys)})
}

// retired are the lines "<until> <public key>" of the keys that are still trusted.
func (k *kept) retired() []string {
	return slices.DeleteFunc(split(string(k.secret.Data[retiredKey])), func(line string) bool {
		until, _, _ := strings.Cut(line, " ")
		end, err := time.Parse(time.RFC3339, until)
		return err != nil || !k.clock.Now().Before(end)
	})
}

// save writes the authority back, if nobody has changed it meanwhile, and publishes it.
func (k *kept) save(ctx context.Context, c client.Client) error {
	data, err := k.authority.Encode()
	if err != nil {
		return err
	}
	k.secret.Data[authorityKey] = data
	if err := c.Update(ctx, &k.secret); err != nil {
		return fmt.Errorf("change Secret %s/%s: %w", Namespace, authoritySecret, err)
	}
	return k.publish(ctx, c)
}

// Prepare adds the authority's next key: from now on it is trusted, and signs nothing yet. Doing it again changes nothing.
func Prepare(ctx context.Context, c client.Client, clk clock.PassiveClock) error {
	k, err := readAuthority(ctx, c, clk)
	if err != nil {
		return err
	}
	if len(k.authority.PublicKeys()) > 1 {
		return k.publish(ctx, c)
	}
	if err := k.authority.Prepare(); err != nil {
		return err
	}
	k.secret.Data[preparedKey] = []byte(clk.Now().UTC().Format(time.RFC3339))
	return k.save(ctx, c)
}

// Finish lets the next key sign. What the old one has signed stays good for a day, so that builds under way can publish;
// with atOnce nothing that it signed is good any more: for a key that was stolen.
func Finish(ctx context.Context, c client.Client, clk clock.PassiveClock, atOnce bool) error {
	k, err := readAuthority(ctx, c, clk)
	if err != nil {
		return err
	}
	keys := k.authority.PublicKeys()
	if len(keys) < 2 {
		return errors.New("there is no next key: run prepare first")
	}
	prepared, err := time.Parse(time.RFC3339, string(k.secret.Data[preparedKey]))
	if ready := prepared.Add(learning); err == nil && clk.Now().Before(ready) {
		return fmt.Errorf("the depot may not know the next key yet: run finish after %s", ready.Format(time.RFC3339))
	}
	retired := append(k.retired(), clk.Now().Add(overlap).UTC().Format(time.RFC3339)+" "+keys[0])
	if atOnce {
		retired = nil
	}
	if err := k.authority.Rotate(); err != nil {
		return err
	}
	k.secret.Data[retiredKey] = []byte(strings.Join(retired, "\n"))
	delete(k.secret.Data, preparedKey)
	return k.save(ctx, c)
}

// KeepAuthority follows rotations until ctx ends: authority signs as its Secret says, and what is to be trusted is published.
func KeepAuthority(ctx context.Context, c client.Client, authority *sshca.Authority, clk clock.PassiveClock, log *slog.Logger) {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := Refresh(ctx, c, authority, clk)
		if err != nil && !failing && ctx.Err() == nil {
			log.Warn("cannot look after the manager's certificate authority; signing with the key that is known", "error", err)
		}
		failing = err != nil
	}
}

// Refresh does so once.
func Refresh(ctx context.Context, c client.Client, authority *sshca.Authority, clk clock.PassiveClock) error {
	ctx, cancel := context.WithTimeout(ctx, pollInterval)
	defer cancel()
	k, err := readAuthority(ctx, c, clk)
	if err != nil {
		return err
	}
	if err := k.publish(ctx, c); err != nil { // before anything is signed with a key that was not
		return err
	}
	authority.Adopt(k.authority)
	return nil
}
