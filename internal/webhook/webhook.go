// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package webhook takes signed reports of pushes and has the repositories looked at sooner. Nothing that a report says is
// believed: a good one writes a time into an annotation, and whoever leads looks at the repository itself.
package webhook

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"sync"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

const (
	// maxBody bounds what is read of a delivery.
	maxBody = 1 << 20
	// MinSecret is how many bytes a shared secret has at least.
	MinSecret = 16
	// quiet is the least time between two writes to one Service.
	quiet = 5 * time.Second
	// maxLimiters bounds what is remembered of the names that are asked for.
	maxLimiters = 4096
)

// Options of a Receiver.
type Options struct {
	// Client reads Services from the cache and writes their annotation.
	Client client.Client
	// Secrets reads past the cache, by name.
	Secrets client.Reader
	Clock   clock.PassiveClock
	Logger  *slog.Logger
	// Address to listen on, such as :8082.
	Address string
	// CertDir holds tls.crt and tls.key, which are read anew when they change. Default: plain HTTP, for an ingress.
	CertDir string
	// Timeout of reading a request. Default 15s.
	Timeout time.Duration
	// PerService and Total are how many deliveries are taken in a second. Default 2 and 50, with bursts of five times as many.
	PerService, Total rate.Limit
}

// Receiver takes deliveries.
type Receiver struct {
	Options
	dummy []byte
	total *rate.Limiter
	mu    sync.Mutex
	each  map[types.NamespacedName]*rate.Limiter
	told  map[types.NamespacedName]*told
}

// told is when a Service was last written to, and whether it will be again.
type told struct {
	at      time.Time
	pending bool
}

// New returns a Receiver.
func New(o Options) *Receiver {
	if o.Timeout <= 0 {
		o.Timeout = 15 * time.Second
	}
	if o.PerService <= 0 {
		o.PerService = 2
	}
	if o.Total <= 0 {
		o.Total = 50
	}
	dummy := make([]byte, 32)
	_, _ = rand.Read(dummy) // never fails
	return &Receiver{
		Options: o, dummy: dummy, total: rate.NewLimiter(o.Total, int(5*o.Total)),
		each: map[types.NamespacedName]*rate.Limiter{}, told: map[types.NamespacedName]*told{},
	}
}

// Handler answers POST /hooks/<namespace>/<service>.
func (r *Receiver) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /hooks/{namespace}/{service}", r.receive)
	return mux
}

// label is a name that an object may have.
var label = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)

func (r *Receiver) receive(w http.ResponseWriter, request *http.Request) {
	name := types.NamespacedName{Namespace: request.PathValue("namespace"), Name: request.PathValue("service")}
	if !label.MatchString(name.Namespace) || !label.MatchString(name.Name) {
		http.NotFound(w, request)
		return
	}
	if !r.total.Allow() || !r.limiter(name).Allow() {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many deliveries; the repository is looked at by itself", http.StatusTooManyRequests)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, maxBody))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		http.Error(w, "the body is larger than 1 MiB", http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		http.Error(w, "the body could not be read", http.StatusBadRequest)
		return
	}
	hook, secret := r.hook(request.Context(), name)
	// The one answer to all that is wrong, after the same work: who knows no secret learns not even which Services there are.
	if !verified(hook.Provider, secret, request.Header, body, r.Clock.Now()) || hook.SecretRef.Name == "" {
		http.Error(w, "refused: no such webhook, or not signed with its secret", http.StatusForbidden)
		return
	}
	if request.Header.Get("X-GitHub-Event") == "ping" {
		_, _ = io.WriteString(w, "pong\n")
		return
	}
	if err := r.tell(request.Context(), name); err != nil {
		r.Logger.Error("could not tell of a push", "service", name.String(), "error", err)
		http.Error(w, "the cluster does not answer; the repository is looked at by itself", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// hook is the webhook of a Service and its secret, or a stand-in that nobody can sign for.
func (r *Receiver) hook(ctx context.Context, name types.NamespacedName) (v1alpha1.TrackWebhook, []byte) {
	hook := v1alpha1.TrackWebhook{Provider: v1alpha1.WebhookGitHub}
	reference, key := "slipway-no-such-secret", ""
	var service v1alpha1.Service
	err := r.Client.Get(ctx, name, &service)
	known := err == nil && service.Spec.Track != nil && service.Spec.Track.Webhook != nil
	if known {
		reference, key = service.Spec.Track.Webhook.SecretRef.Name, service.Spec.Track.Webhook.SecretRef.Key
	}
	var secret corev1.Secret
	err = r.Secrets.Get(ctx, types.NamespacedName{Namespace: name.Namespace, Name: reference}, &secret)
	switch {
	case !known:
		return hook, r.dummy
	case err != nil:
		r.Logger.Warn("a webhook's secret can't be read", "service", name.String(), "secret", reference, "error", err)
		return hook, r.dummy
	case len(secret.Data[key]) < MinSecret:
		r.Logger.Warn(fmt.Sprintf("a webhook's secret has less than %d bytes", MinSecret), "service", name.String(), "secret", reference, "key", key)
		return hook, r.dummy
	}
	return *service.Spec.Track.Webhook, secret.Data[key]
}

// tell writes that there was a push: at once, or when the last write was long enough ago.
func (r *Receiver) tell(ctx context.Context, name types.NamespacedName) error {
	r.mu.Lock()
	t := r.told[name]
	if t == nil {
		t = &told{}
		r.told[name] = t
	}
	now := r.Clock.Now()
	wait := quiet - now.Sub(t.at)
	if wait > 0 {
		if !t.pending {
			t.pending = true
			time.AfterFunc(wait, func() { r.later(name, t) })
		}
		r.mu.Unlock()
		return nil
	}
	t.at = now
	r.mu.Unlock()
	return r.write(ctx, name, now)
}

// later writes what had to wait.
func (r *Receiver) later(name types.NamespacedName, t *told) {
	r.mu.Lock()
	t.pending, t.at = false, r.Clock.Now()
	at := t.at
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), r.Timeout)
	defer cancel()
	if err := r.write(ctx, name, at); client.IgnoreNotFound(err) != nil {
		r.Logger.Error("could not tell of a push", "service", name.String(), "error", err)
	}
}

func (r *Receiver) write(ctx context.Context, name types.NamespacedName, at time.Time) error {
	service := &v1alpha1.Service{}
	service.Namespace, service.Name = name.Namespace, name.Name
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.AnnotationPushed, at.UTC().Format(time.RFC3339Nano))
	return r.Client.Patch(ctx, service, client.RawPatch(types.MergePatchType, []byte(patch)), client.FieldOwner("slipway-webhook"))
}

// limiter is that of a name. When there are too many names, all begin anew: the limit of all together holds.
func (r *Receiver) limiter(name types.NamespacedName) *rate.Limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	l, ok := r.each[name]
	if !ok {
		if len(r.each) >= maxLimiters {
			clear(r.each)
		}
		l = rate.NewLimiter(r.PerService, int(5*r.PerService))
		r.each[name] = l
	}
	return l
}
