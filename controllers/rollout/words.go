// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/metrics"
	"github.com/slipway-dev/slipway/internal/rollout"
)

const (
	// wordTimeout bounds one call, so that a depot that hangs holds no rollout up.
	wordTimeout = 5 * time.Second
	// wordRetry is how long a depot that did not answer is left alone, doubled with each time up to maxWordRetry.
	wordRetry    = time.Second
	maxWordRetry = 30 * time.Second
	// publicKey of a Secret is the public half of its private key.
	publicKey = "ssh-publickey"
)

// words tells the depot all that hosts need when they boot, when that changed since it was last told. After a restart it
// is told once more.
type words struct {
	depot   Depot
	clock   clock.PassiveClock
	metrics *metrics.Metrics

	mu   sync.Mutex
	told map[types.UID]told
}

// told is what the depot was told of a Service last.
type told struct {
	sum [sha256.Size]byte
	// failures in a row, and until when the depot is left alone for them.
	failures int
	until    time.Time
}

func newWords(d Depot, c clock.PassiveClock, m *metrics.Metrics) *words {
	return &words{depot: d, clock: c, metrics: m, told: map[types.UID]told{}}
}

// tell tells the depot if there is news. It is best effort; after says when to try again.
func (w *words) tell(ctx context.Context, word *depot.Word) (after time.Duration) {
	if w.depot == nil {
		return 0
	}
	data, err := json.Marshal(word)
	if err != nil {
		return 0
	}
	service, sum := types.UID(word.Service), sha256.Sum256(data)
	w.mu.Lock()
	last := w.told[service]
	w.mu.Unlock()
	if last.sum == sum {
		return 0
	}
	if wait := last.until.Sub(w.clock.Now()); wait > 0 {
		return wait
	}
	ctx, cancel := context.WithTimeout(ctx, wordTimeout)
	defer cancel()
	next := told{sum: sum}
	if err := w.depot.SetWord(ctx, *word); err != nil {
		w.metrics.WordsFailed()
		after = min(wordRetry<<min(last.failures, 10), maxWordRetry)
		log.FromContext(ctx).Info("the depot was not told what hosts should run; will try again", "error", err.Error(), "after", after)
		next = told{sum: last.sum, failures: last.failures + 1, until: w.clock.Now().Add(after)}
	}
	w.mu.Lock()
	w.told[service] = next
	w.mu.Unlock()
	return after
}

// forget drops what is known of a Service that is gone.
func (w *words) forget(service types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.told, service)
}

// word is all that the depot has to know of a Service.
func (r *Reconciler) word(ctx context.Context, service *v1alpha1.Service, targets []v1alpha1.Target) (*depot.Word, error) {
	specs, err := r.frozenSpecs(ctx, service, targets)
	if err != nil {
		return nil, err
	}
	var policies v1alpha1.TargetPolicyList
	if err := r.Client.List(ctx, &policies); err != nil {
		return nil, fmt.Errorf("list TargetPolicies: %w", err)
	}
	keys, err := r.bootKeys(ctx, service)
	if err != nil { // hosts with an identity of their own are served all the same
		log.FromContext(ctx).Info("hosts with the key of spec.boot are not served", "error", err.Error())
	}
	w := &depot.Word{
		Service: v1alpha1.UID(service.UID), Storage: cmp.Or(service.Status.StorageID, v1alpha1.UID(service.UID)),
		Namespace: service.Namespace, Name: service.Name, Generation: service.Generation, Owner: r.OwnerID,
		SSHUser: service.Spec.SSH.User, Keys: keys, Current: service.Status.Current,
		Deploy: map[string]v1alpha1.DeploySpec{}, Live: service.Spec.Deploy, Keep: rollout.Keep(&service.Status, specs),
	}
	if service.Spec.Adopt != nil {
		w.AdoptFrom = service.Spec.Adopt.FromUID
	}
	for i := range service.Spec.Targets {
		if source := service.Spec.Targets[i].EC2; source != nil {
			w.Sources = append(w.Sources, *source)
		}
	}
	for i := range policies.Items {
		if policies.Items[i].Spec.SpeaksFor(service.Namespace) {
			w.Policies = append(w.Policies, policies.Items[i].Spec)
		}
	}
	if w.Current != nil {
		w.Deploy[w.Current.Frozen] = specs[w.Current.Frozen].Deploy
	}
	for i := range targets {
		spec := &targets[i].Spec
		host := depot.HostWord{ID: spec.Host.ID, Fence: spec.Fence, HostKey: targets[i].Status.HostKey}
		if record := spec.Artifact; record != nil {
			host.Digest, host.Frozen = record.Digest, record.Frozen
			if w.Record(record.Digest, record.Frozen) == nil {
				w.Records = append(w.Records, *record)
				w.Deploy[record.Frozen] = specs[record.Frozen].Deploy
			}
		}
		w.Hosts = append(w.Hosts, host)
	}
	slices.SortFunc(w.Hosts, func(a, b depot.HostWord) int { return cmp.Compare(a.ID, b.ID) })
	return w, nil
}

// bootKeys are the public keys of hosts without an identity of their own.
func (r *Reconciler) bootKeys(ctx context.Context, service *v1alpha1.Service) ([]string, error) {
	if service.Spec.Boot == nil || service.Spec.Boot.KeySecretRef == nil {
		return nil, nil
	}
	var secret corev1.Secret
	name := types.NamespacedName{Namespace: service.Namespace, Name: service.Spec.Boot.KeySecretRef.Name}
	if err := r.Reader.Get(ctx, name, &secret); err != nil {
		return nil, fmt.Errorf("read Secret %s, which spec.boot.keySecretRef names: %w", name.Name, err)
	}
	var public ssh.PublicKey
	var err error
	if line := secret.Data[publicKey]; len(line) > 0 {
		public, _, _, _, err = ssh.ParseAuthorizedKey(line)
	} else {
		var signer ssh.Signer
		if signer, err = ssh.ParsePrivateKey(secret.Data[corev1.SSHAuthPrivateKey]); err == nil {
			public = signer.PublicKey()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the Secret %s holds neither a public key in %s nor a private one in %s: %w", name.Name, publicKey, corev1.SSHAuthPrivateKey, err)
	}
	return []string{strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))}, nil
}
