// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/metrics"
)

const (
	// answerTimeout bounds one call, so that a depot that hangs holds no rollout up.
	answerTimeout = 5 * time.Second
	// answerRetry is how long a depot that did not answer is left alone.
	answerRetry = 30 * time.Second
)

// answers tells the depot what each host should run, when that changed since it was last told. After a restart it is
// told once more.
type answers struct {
	depot   Answers
	clock   clock.PassiveClock
	metrics *metrics.Metrics

	mu   sync.Mutex
	told map[types.UID]told
}

// told is what the depot was told of a Service last.
type told struct {
	sum    [sha256.Size]byte
	failed time.Time
}

func newAnswers(d Answers, c clock.PassiveClock, m *metrics.Metrics) *answers {
	return &answers{depot: d, clock: c, metrics: m, told: map[types.UID]told{}}
}

// tell tells the depot if there is news. It is best effort; after says when to try again.
func (a *answers) tell(ctx context.Context, service *v1alpha1.Service, targets []v1alpha1.Target) (after time.Duration) {
	list := list(service, targets)
	if len(list) == 0 || a.depot == nil {
		return 0
	}
	data, err := json.Marshal(list)
	if err != nil {
		return 0
	}
	sum := sha256.Sum256(data)
	a.mu.Lock()
	last := a.told[service.UID]
	a.mu.Unlock()
	if last.sum == sum {
		return 0
	}
	if wait := answerRetry - a.clock.Since(last.failed); wait > 0 {
		return wait
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	next := told{sum: sum}
	if err := a.depot.SetAnswers(ctx, list); err != nil {
		a.metrics.AnswersFailed()
		log.FromContext(ctx).Info("the depot was not told what hosts should run; will try again", "error", err.Error(), "after", answerRetry)
		next, after = told{sum: last.sum, failed: a.clock.Now()}, answerRetry
	}
	a.mu.Lock()
	a.told[service.UID] = next
	a.mu.Unlock()
	return after
}

// forget drops what is known of a Service that is gone.
func (a *answers) forget(service types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.told, service)
}

// list says what each host should run.
func list(service *v1alpha1.Service, targets []v1alpha1.Target) []depot.Answer {
	storage := service.Status.StorageID
	if storage == "" {
		storage = v1alpha1.UID(service.UID)
	}
	var answers []depot.Answer
	for i := range targets {
		if spec := targets[i].Spec; spec.Artifact != nil {
			answers = append(answers, depot.Answer{Service: storage, Host: spec.Host.ID, Digest: spec.Artifact.Digest, Fence: spec.Fence})
		}
	}
	slices.SortFunc(answers, func(a, b depot.Answer) int { return cmp.Compare(a.Host, b.Host) })
	return answers
}
