// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package notify tells the places that Services name of what becomes of their Releases. What is to be told is written down
// before it is sent, so that no crash loses it; it holds no Release up.
package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/metrics"
	"github.com/slipway-dev/slipway/internal/notify"
)

// FieldOwner is the field manager of all that this controller writes.
const FieldOwner = "slipway-notify"

// workers is how many Releases are told of at once: a place that does not answer holds up few others.
const workers = 8

// Sender makes one attempt.
type Sender interface {
	Send(ctx context.Context, r notify.Request) notify.Answer
}

// Options are the controller's collaborators.
type Options struct {
	Client client.Client
	// Reader reads past the cache: Secrets, by name.
	Reader client.Reader
	Sender Sender
	// Console is the address of the Console, for links. Default: none.
	Console string
	Clock   clock.PassiveClock
	Events  events.EventRecorder
	// Metrics count what is done. Default: nobody reads them.
	Metrics *metrics.Metrics
}

// Reconciler tells.
type Reconciler struct{ Options }

// New returns a Reconciler.
func New(o Options) *Reconciler {
	if o.Metrics == nil {
		o.Metrics = metrics.New(nil)
	}
	return &Reconciler{o}
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.Release{}).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: workers,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](200*time.Millisecond, 10*time.Minute),
		}).
		Named("notify").
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

// Reconcile writes down what is to be told of a Release, and tells what is due.
func (r *Reconciler) Reconcile(ctx context.Context, release *v1alpha1.Release) (reconcile.Result, error) {
	var service v1alpha1.Service
	if err := r.Client.Get(ctx, types.NamespacedName{Namespace: release.Namespace, Name: release.Spec.Service}, &service); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	before := release.DeepCopy()
	release.Status.Notifications = append(release.Status.Notifications, notify.Due(&service, release, r.Clock.Now())...)
	if err := conditions.PatchStatus(ctx, r.Client, before, release, FieldOwner); err != nil {
		return conflictIsRequeue(err)
	}
	for i := 0; i < len(release.Status.Notifications); i++ {
		record := &release.Status.Notifications[i]
		if record.State != v1alpha1.NotificationPending || record.NextTime != nil && record.NextTime.After(r.Clock.Now()) {
			continue
		}
		after := record.DeepCopy()
		r.attempt(ctx, &service, release, after)
		if ctx.Err() != nil {
			return reconcile.Result{}, nil // the process ends: whoever comes next sends it
		}
		latest, err := r.record(ctx, release, after)
		if err != nil {
			return conflictIsRequeue(err)
		}
		release = latest
		r.tell(&service, release, after)
	}
	return reconcile.Result{RequeueAfter: r.next(release)}, nil
}

// record writes down how an attempt went. Others write the Release's status too, and often: what was sent must not be sent again
// for that.
func (r *Reconciler) record(ctx context.Context, release *v1alpha1.Release, record *v1alpha1.NotificationStatus) (*v1alpha1.Release, error) {
	for try := 1; ; try++ {
		before := release.DeepCopy()
		for i := range release.Status.Notifications {
			if there := &release.Status.Notifications[i]; there.Name == record.Name && there.Event == record.Event {
				*there = *record
			}
		}
		err := conditions.PatchStatus(ctx, r.Client, before, release, FieldOwner)
		if err == nil || !apierrors.IsConflict(err) || try == 10 {
			return release, err
		}
		latest := &v1alpha1.Release{}
		if err := r.Reader.Get(ctx, client.ObjectKeyFromObject(release), latest); err != nil {
			return nil, err
		}
		if latest.UID != release.UID {
			return nil, apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("releases").GroupResource(), release.Name)
		}
		release = latest
	}
}

// next is when something is due; 0 if nothing is.
func (r *Reconciler) next(release *v1alpha1.Release) time.Duration {
	next := time.Duration(0)
	for i := range release.Status.Notifications {
		record := &release.Status.Notifications[i]
		if record.State != v1alpha1.NotificationPending {
			continue
		}
		after := time.Second
		if record.NextTime != nil {
			after = max(record.NextTime.Sub(r.Clock.Now()), time.Second)
		}
		if next == 0 || after < next {
			next = after
		}
	}
	return next
}

// attempt tells one place, and writes down how that went.
func (r *Reconciler) attempt(ctx context.Context, service *v1alpha1.Service, release *v1alpha1.Release, record *v1alpha1.NotificationStatus) {
	notification := find(service, record.Name)
	if notification == nil {
		record.State, record.NextTime, record.Message = v1alpha1.NotificationFailed, nil, "the Service has no such notification any more"
		return
	}
	message := notify.MessageOf(release, record, r.Console)
	body, err := notify.Body(notification, message)
	switch {
	case err != nil:
		notify.Attempt(record, notify.Answer{Final: true, Message: err.Error()}, r.Clock.Now())
		return
	case body == nil:
		record.State, record.NextTime, record.Message = v1alpha1.NotificationSkipped, nil, "its template makes nothing of this event"
		return
	}
	request := notify.Request{Body: body, Event: message.Event, Delivery: deliveryID(release, record)}
	if err := r.address(ctx, service.Namespace, notification, &request); err != nil {
		notify.Attempt(record, notify.Answer{Message: err.Error()}, r.Clock.Now())
		return
	}
	notify.Attempt(record, r.Sender.Send(ctx, request), r.Clock.Now())
}

// address reads where to send to, and what to show there.
func (r *Reconciler) address(ctx context.Context, namespace string, n *v1alpha1.Notification, request *notify.Request) error {
	if n.Slack != nil {
		url, err := r.secret(ctx, namespace, n.Slack.URLSecretRef)
		request.URL = url
		return err
	}
	url, err := r.secret(ctx, namespace, n.Webhook.URLSecretRef)
	if err != nil {
		return err
	}
	request.URL = url
	if ref := n.Webhook.SigningKeySecretRef; ref != nil {
		key, err := r.secret(ctx, namespace, *ref)
		if err != nil {
			return err
		}
		request.SigningKey = []byte(key)
	}
	if ref := n.Webhook.AuthorizationSecretRef; ref != nil {
		if request.Authorization, err = r.secret(ctx, namespace, *ref); err != nil {
			return err
		}
		if strings.ContainsFunc(request.Authorization, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("key %s of Secret %s holds control characters", ref.Key, ref.Name)
		}
	}
	return nil
}

// secret reads one key of a Secret.
func (r *Reconciler) secret(ctx context.Context, namespace string, ref v1alpha1.SecretKeyReference) (string, error) {
	var secret corev1.Secret
	err := r.Reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: ref.Name}, &secret)
	switch {
	case apierrors.IsNotFound(err):
		return "", fmt.Errorf("there is no Secret %s", ref.Name)
	case err != nil:
		return "", fmt.Errorf("read Secret %s: %w", ref.Name, err)
	}
	value := strings.TrimSpace(string(secret.Data[ref.Key]))
	if value == "" {
		return "", fmt.Errorf("no key %s, or nothing in it, in Secret %s", ref.Key, ref.Name)
	}
	return value, nil
}

// deliveryID is the same for each attempt to tell one thing.
func deliveryID(release *v1alpha1.Release, record *v1alpha1.NotificationStatus) string {
	sum := sha256.Sum256([]byte(string(release.UID) + "/" + record.Name + "/" + record.Event))
	return hex.EncodeToString(sum[:16])
}

// tell counts what is over, and tells people of what was given up.
func (r *Reconciler) tell(service *v1alpha1.Service, release *v1alpha1.Release, record *v1alpha1.NotificationStatus) {
	if record.State == v1alpha1.NotificationPending {
		return
	}
	event, _, _ := strings.Cut(record.Event, "/")
	r.Metrics.Notified(release, event, record.State)
	if record.State == v1alpha1.NotificationFailed {
		r.Events.Eventf(service, release, corev1.EventTypeWarning, v1alpha1.ReasonNotificationFailed, "Notify", "notification %s was not told of %s of Release %s: %s",
			record.Name, record.Event, release.Name, record.Message)
	}
}

// find finds a notification by its name.
func find(service *v1alpha1.Service, name string) *v1alpha1.Notification {
	for i := range service.Spec.Notifications {
		if service.Spec.Notifications[i].Name == name {
			return &service.Spec.Notifications[i]
		}
	}
	return nil
}

// conflictIsRequeue turns a write that met a newer version into another look.
func conflictIsRequeue(err error) (reconcile.Result, error) {
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return reconcile.Result{RequeueAfter: 100 * time.Millisecond}, nil
	}
	return reconcile.Result{}, errors.Join(err)
}
