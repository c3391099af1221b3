// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package hosts answers hosts that boot: who they are, and what they run. It needs neither manager nor API server.
package hosts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"k8s.io/utils/clock"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/boot"
	"github.com/slipway-dev/slipway/internal/delivery"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/discovery"
	"github.com/slipway-dev/slipway/internal/identity"
)

// maxClaim bounds what a host says of itself.
const maxClaim = 32 << 10

// cloudLimit bounds how long EC2 is asked.
const cloudLimit = 30 * time.Second

// Store keeps words and bindings.
type Store interface {
	Words() []depot.Word
	BindingOfKey(key string) (depot.Binding, bool)
	ChangeBinding(instance string, change func(binding *depot.Binding, all map[string]depot.Binding) error) (depot.Binding, error)
}

// Cloud describes an instance as it is at this moment. One that an account does not see is discovery.ErrNotDescribed.
type Cloud interface {
	Describe(ctx context.Context, account discovery.Account, id string) (discovery.Instance, error)
}

// Options are the collaborators.
type Options struct {
	Store Store
	Cloud Cloud
	// Certificates prove identity documents.
	Certificates identity.Certificates
	// PullKey mints what a host shows to the depot to read one artifact.
	PullKey delivery.Credential
	// Endpoint says where hosts reach the depot.
	Endpoint func() depot.Endpoint
	Clock    clock.PassiveClock
	Logger   *slog.Logger
}

// Desk answers hosts.
type Desk struct{ Options }

// New returns a Desk.
func New(o Options) *Desk { return &Desk{o} }

// guest is a host that said who it is.
type guest struct {
	// id is that of the instance, or the name of a host that has none.
	id    string
	words []depot.Word
	// remarks are for the host's log.
	remarks []string
}

// Answer reads what a host that holds key says of itself, and writes what it runs:
//
//	units UNIT...                         what serves, and has to wait for the releases
//	say TEXT                              for the host's log
//	service UID USER LINES NAMESPACE/NAME followed by so many lines: the payload that USER runs
func (d *Desk) Answer(ctx context.Context, key ssh.PublicKey, in io.Reader, out io.Writer) error {
	name, document, err := readClaim(in)
	if err != nil {
		return err
	}
	host, err := d.identify(ctx, key, name, document)
	if err != nil {
		return err
	}
	d.Logger.Info("a host boots", "host", host.id, "services", len(host.words))
	return d.write(host, out)
}

// readClaim reads "host NAME" and, after it, the identity document if the host has one.
func readClaim(in io.Reader) (name, document string, err error) {
	data, err := io.ReadAll(io.LimitReader(in, maxClaim+1))
	if err != nil {
		return "", "", fmt.Errorf("read what the host says of itself: %w", err)
	}
	if len(data) > maxClaim {
		return "", "", fmt.Errorf("%w: what the host says of itself is longer than %d bytes", depot.ErrRefused, maxClaim)
	}
	first, rest, _ := strings.Cut(string(data), "\n")
	name, ok := strings.CutPrefix(first, "host ")
	if !ok {
		return "", "", fmt.Errorf("%w: a host says \"host NAME\" first", depot.ErrRefused)
	}
	return strings.TrimSpace(name), strings.TrimSpace(rest), nil
}

// identify finds out who asks: an instance by its identity document, one that was bound before by its key, or a host that
// holds the read-only key of a Service.
func (d *Desk) identify(ctx context.Context, key ssh.PublicKey, name, document string) (*guest, error) {
	line := keyLine(key)
	words := d.Store.Words()
	if document != "" {
		return d.instance(ctx, key, words, document)
	}
	if binding, bound := d.Store.BindingOfKey(line); bound {
		return &guest{id: binding.Instance, words: only(words, binding.Services), remarks: []string{"no identity document: known by the host key"}}, nil
	}
	var open []depot.Word
	for i := range words {
		if slices.ContainsFunc(words[i].Keys, func(k string) bool { return boot.SameKey(k, key) }) {
			open = append(open, words[i])
		}
	}
	if len(open) == 0 {
		return nil, fmt.Errorf("%w: this host can't prove who it is: the metadata service gave it no identity document, and its key %s is nobody's",
			depot.ErrRefused, ssh.FingerprintSHA256(key))
	}
	return &guest{id: name, words: open}, nil
}

// instance checks an identity document against EC2, and binds the instance to its key.
func (d *Desk) instance(ctx context.Context, key ssh.PublicKey, words []depot.Word, text string) (*guest, error) {
	document, err := identity.Verify([]byte(text), d.Certificates)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", depot.ErrRefused, err)
	}
	seen, err := d.describe(ctx, boot.Looks(words, document.Region, document.AccountID), &document)
	if err != nil {
		return d.known(key, words, &document, err)
	}
	host := &guest{id: document.InstanceID, words: boot.Of(words, seen)}
	if len(host.words) == 0 {
		host.remarks = append(host.remarks, fmt.Sprintf("no Service names %s (account %s, %s)", document.InstanceID, document.AccountID, document.Region))
		return host, nil
	}
	_, err = d.Store.ChangeBinding(document.InstanceID, func(b *depot.Binding, all map[string]depot.Binding) error {
		evidence := boot.Evidence{Document: document, Instance: one(seen), Key: key, Pins: pins(host), Bound: *b, Now: d.Clock.Now()}
		for _, other := range all {
			if other.Instance != document.InstanceID && other.HostKey == keyLine(key) {
				evidence.Other = other.Instance
			}
		}
		if err := evidence.Check(); err != nil {
			return err
		}
		if b.HostKey != keyLine(key) {
			b.Bound = d.Clock.Now().UTC()
		}
		b.Account, b.Region, b.HostKey, b.Services = document.AccountID, document.Region, keyLine(key), uids(host.words)
		return nil
	})
	if errors.Is(err, boot.ErrNotBound) {
		d.Logger.Warn("an instance was not bound", "instance", document.InstanceID, "error", err.Error())
		err = fmt.Errorf("%w: %w", depot.ErrRefused, err)
	}
	return host, err
}

// known goes by what is known of an instance while EC2 does not answer.
func (d *Desk) known(key ssh.PublicKey, words []depot.Word, document *identity.Document, problem error) (*guest, error) {
	binding, bound := d.Store.BindingOfKey(keyLine(key))
	if !bound || binding.Instance != document.InstanceID || errors.Is(problem, depot.ErrNotFound) {
		return nil, problem
	}
	d.Logger.Warn("a host boots, and EC2 does not say what it is; going by what it was", "instance", document.InstanceID, "error", problem.Error())
	return &guest{id: binding.Instance, words: only(words, binding.Services), remarks: []string{problem.Error() + "; going by what was known"}}, nil
}

// describe asks EC2 for the instance as each of the accounts. It is in one account only: what others see is another one.
func (d *Desk) describe(ctx context.Context, accounts []discovery.Account, document *identity.Document) (map[discovery.Account]discovery.Instance, error) {
	if len(accounts) == 0 {
		return nil, fmt.Errorf("%w: no Service has hosts in account %s, %s", depot.ErrNotFound, document.AccountID, document.Region)
	}
	ctx, cancel := context.WithTimeout(ctx, cloudLimit)
	defer cancel()
	seen := map[discovery.Account]discovery.Instance{}
	var problem error
	for _, account := range accounts {
		instance, err := d.Cloud.Describe(ctx, account, document.InstanceID)
		switch {
		case errors.Is(err, discovery.ErrNotDescribed):
		case err != nil:
			problem = err
		case instance.Account == document.AccountID:
			seen[account] = instance
		}
	}
	if len(seen) > 0 {
		return seen, nil
	}
	if problem != nil {
		return nil, problem
	}
	return nil, fmt.Errorf("%w: EC2 in %s knows no %s of account %s", depot.ErrNotFound, document.Region, document.InstanceID, document.AccountID)
}

// write writes the answer. What can't be answered for one Service holds up no other.
func (d *Desk) write(host *guest, out io.Writer) error {
	var units []string
	var answer strings.Builder
	for i := range host.words {
		word := &host.words[i]
		name := word.Namespace + "/" + word.Name
		order, deploy := boot.Order(word, host.id), word.Live
		if order != nil {
			deploy = order.Deploy
		}
		for _, unit := range deploy.ServeUnits { // also where nothing can be served yet: it counts from the next boot on
			if !slices.Contains(units, unit) {
				units = append(units, unit)
			}
		}
		if order == nil {
			host.remarks = append(host.remarks, name+": no Release has completed yet")
			continue
		}
		order.Depot = d.Endpoint()
		order.PullKey = func(_ v1alpha1.UID, digest string, valid time.Duration) ([]byte, []byte, error) {
			return d.PullKey(word.Storage, digest, valid)
		}
		payload, err := delivery.Payload(word.SSHUser, order)
		if err != nil {
			host.remarks = append(host.remarks, name+": "+err.Error())
			continue
		}
		fmt.Fprintf(&answer, "service %s %s %d %s\n%s", word.Service, word.SSHUser, strings.Count(string(payload), "\n"), name, payload)
	}
	for _, remark := range host.remarks {
		fmt.Fprintf(&answer, "say %s\n", strings.Join(strings.Fields(remark), " "))
	}
	_, err := fmt.Fprintf(out, "units %s\n%s", strings.Join(units, " "), answer.String())
	return err
}

// Report keeps how a host fared with a Service.
func (d *Desk) Report(_ context.Context, key ssh.PublicKey, service string, in io.Reader) error {
	seen, failure := delivery.ReadReport(in)
	report := depot.BootReport{Time: d.Clock.Now().UTC(), Digest: seen.Digest}
	if failure != nil {
		report.Reason, report.Message = failure.Reason, failure.Error()
	}
	binding, bound := d.Store.BindingOfKey(keyLine(key))
	if !bound {
		d.Logger.Info("a host that has no identity reports", "service", service, "digest", report.Digest, "reason", report.Reason, "message", report.Message)
		return nil
	}
	d.Logger.Info("a host has booted", "host", binding.Instance, "service", service, "digest", report.Digest, "reason", report.Reason, "message", report.Message)
	_, err := d.Store.ChangeBinding(binding.Instance, func(b *depot.Binding, _ map[string]depot.Binding) error {
		if b.HostKey != keyLine(key) || !slices.Contains(b.Services, v1alpha1.UID(service)) {
			return fmt.Errorf("%w: this host serves no such Service", depot.ErrRefused)
		}
		for old := range b.Boots {
			if !slices.Contains(b.Services, old) {
				delete(b.Boots, old)
			}
		}
		if b.Boots == nil {
			b.Boots = map[v1alpha1.UID]depot.BootReport{}
		}
		b.Boots[v1alpha1.UID(service)] = report
		return nil
	})
	return err
}

// keyLine writes a key in authorized_keys format, without a comment.
func keyLine(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// only are the words on those Services.
func only(words []depot.Word, services []v1alpha1.UID) []depot.Word {
	return slices.DeleteFunc(slices.Clone(words), func(w depot.Word) bool { return !slices.Contains(services, w.Service) })
}

func uids(words []depot.Word) (list []v1alpha1.UID) {
	for i := range words {
		list = append(list, words[i].Service)
	}
	return list
}

// pins are what the manager knows the host by, for any of its Services.
func pins(host *guest) (list []string) {
	for i := range host.words {
		if known := host.words[i].Host(host.id); known != nil && known.HostKey != "" {
			list = append(list, known.HostKey)
		}
	}
	return list
}

// one is any of the descriptions: they are of one instance.
func one(seen map[discovery.Account]discovery.Instance) discovery.Instance {
	for _, instance := range seen {
		return instance
	}
	return discovery.Instance{}
}
