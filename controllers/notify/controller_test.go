// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package notify_test

import (
	"context"
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	controller "github.com/slipway-dev/slipway/controllers/notify"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/notify"
	"github.com/slipway-dev/slipway/test/env"
)

func TestMain(m *testing.M) { env.Main(m) }

// place is what is told.
type place struct {
	got    []notify.Request
	answer notify.Answer
	// before, if set, is called before each answer.
	before func()
}

func (p *place) Send(_ context.Context, r notify.Request) notify.Answer {
	if p.before != nil {
		p.before()
	}
	p.got = append(p.got, r)
	return p.answer
}

// world is a Service with a notification, and a Release of it that has begun.
type world struct {
	*WithT
	t       *testing.T
	c       client.Client
	clock   *clocktesting.FakePassiveClock
	place   *place
	events  *events.FakeRecorder
	service *v1alpha1.Service
	release *v1alpha1.Release
	// through stands between the process and the API, if set.
	through client.Client
}

func newWorld(t *testing.T, notifications ...v1alpha1.Notification) *world {
	w := &world{WithT: NewWithT(t), t: t, c: env.Client(t), clock: clocktesting.NewFakePassiveClock(time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)),
		place: &place{answer: notify.Answer{Sent: true}}, events: events.NewFakeRecorder(10)}
	ns := env.Namespace(t)
	w.Expect(w.c.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "chat"}, Data: map[string][]byte{
		"url": []byte("https://chat.example.com/secret\n"), "key": []byte("a key"), "authorization": []byte("Bearer x")}})).To(Succeed())
	w.service = &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "blog"}, Spec: v1alpha1.ServiceSpec{
		Source: v1alpha1.SourceSpec{Git: v1alpha1.GitSource{URL: "https://git.example.com/blog.git"}}, Build: v1alpha1.BuildSpec{Image: "php:8.3-cli"},
		SSH:    v1alpha1.SSHSpec{User: "deploy", KeySecretRef: v1alpha1.LocalReference{Name: "k"}, HostKeys: v1alpha1.HostKeys{Policy: v1alpha1.HostKeysFirstUse}},
		Deploy: v1alpha1.DeploySpec{Path: "/var/www/blog"}, Notifications: notifications,
	}}
	w.Expect(w.c.Create(t.Context(), w.service)).To(Succeed())
	w.release = &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "blog-7"}, Spec: v1alpha1.ReleaseSpec{Service: "blog", Revision: "v1"}}
	w.Expect(w.c.Create(t.Context(), w.release)).To(Succeed())
	w.status(func(s *v1alpha1.ReleaseStatus) { s.Sequence = 7 })
	return w
}

// status changes the Release's status as its own controller does.
func (w *world) status(change func(*v1alpha1.ReleaseStatus)) {
	w.Expect(w.c.Get(w.t.Context(), client.ObjectKeyFromObject(w.release), w.release)).To(Succeed())
	change(&w.release.Status)
	w.Expect(w.c.Status().Update(w.t.Context(), w.release)).To(Succeed())
}

func (w *world) end(reason string) {
	w.status(func(s *v1alpha1.ReleaseStatus) {
		conditions.True(&s.Conditions, 1, v1alpha1.ConditionFinished, reason, "the end")
		s.CompletionTime = &metav1.Time{Time: w.clock.Now()}
	})
}

// look has a process, of which nothing is left of the last one, look at the Release.
func (w *world) look() (time.Duration, error) {
	c := w.c
	if w.through != nil {
		c = w.through
	}
	r := controller.New(controller.Options{Client: c, Reader: w.c, Sender: w.place, Clock: w.clock, Events: w.events})
	w.Expect(w.c.Get(w.t.Context(), client.ObjectKeyFromObject(w.release), w.release)).To(Succeed())
	result, err := r.Reconcile(w.t.Context(), w.release.DeepCopy())
	w.Expect(w.c.Get(w.t.Context(), client.ObjectKeyFromObject(w.release), w.release)).To(Succeed())
	return result.RequeueAfter, err
}

func (w *world) sent() (events []string) {
	for _, r := range w.place.got {
		events = append(events, r.Event)
	}
	return events
}

func key(name string) v1alpha1.SecretKeyReference {
	return v1alpha1.SecretKeyReference{LocalReference: v1alpha1.LocalReference{Name: "chat"}, Key: name}
}

func slack() v1alpha1.Notification {
	return v1alpha1.Notification{Name: "chat", Slack: &v1alpha1.SlackNotification{URLSecretRef: key("url")}}
}

func TestAReleaseIsToldOfOnce(t *testing.T) {
	authorization, signing := key("authorization"), key("key")
	w := newWorld(t, slack(), v1alpha1.Notification{Name: "hook", Events: []v1alpha1.NotificationEvent{v1alpha1.NotifySucceeded}, Webhook: &v1alpha1.WebhookNotification{
		URLSecretRef: key("url"), SigningKeySecretRef: &signing, AuthorizationSecretRef: &authorization}})
	for range 3 {
		after, err := w.look()
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(after).To(BeZero())
	}
	w.Expect(w.sent()).To(Equal([]string{"Started"}))
	w.end(v1alpha1.ReasonSucceeded)
	for range 3 {
		_, err := w.look()
		w.Expect(err).NotTo(HaveOccurred())
	}
	w.Expect(w.sent()).To(Equal([]string{"Started", "Succeeded", "Succeeded"}))
	w.Expect(w.place.got[2]).To(SatisfyAll(HaveField("URL", "https://chat.example.com/secret"), HaveField("SigningKey", []byte("a key")), HaveField("Authorization", "Bearer x")))
	w.Expect(w.place.got[1].Delivery).NotTo(Equal(w.place.got[2].Delivery))
	w.Expect(w.release.Status.Notifications).To(HaveEach(SatisfyAll(HaveField("State", v1alpha1.NotificationSent), HaveField("Attempts", int32(1)))))
}

// What others write to the Release meanwhile has nothing sent twice.
func TestNothingIsSentTwiceForAConflict(t *testing.T) {
	w := newWorld(t, slack())
	w.place.before = func() {
		w.Expect(w.c.Get(t.Context(), client.ObjectKeyFromObject(w.release), w.release)).To(Succeed())
		w.release.Status.Commit += "a"
		w.Expect(w.c.Status().Update(t.Context(), w.release)).To(Succeed())
	}
	_, err := w.look()
	w.Expect(err).NotTo(HaveOccurred())
	_, err = w.look()
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.sent()).To(HaveLen(1))
	w.Expect(w.release.Status.Commit).To(Equal("a"))
}

// A process that dies after it sent sends again, under the same name; one that dies before loses nothing.
func TestNothingIsLostWithTheProcess(t *testing.T) {
	w := newWorld(t, slack())
	dies := errors.New("it dies")
	for at := 1; at <= 2; at++ {
		w.through = &mortal{Client: w.c, at: at, err: dies}
		_, err := w.look()
		w.Expect(err).To(MatchError(dies))
	}
	w.through = nil
	_, err := w.look()
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.sent()).To(Equal([]string{"Started", "Started"}))
	w.Expect(w.place.got[0].Delivery).To(Equal(w.place.got[1].Delivery), "the other side can tell")
}

func TestAPlaceThatDoesNotAnswerIsTriedAgainAndGivenUp(t *testing.T) {
	w := newWorld(t, slack())
	w.place.answer = notify.Answer{Message: "chat.example.com answered 502"}
	tries := 0
	for {
		after, err := w.look()
		w.Expect(err).NotTo(HaveOccurred())
		if after == 0 {
			break
		}
		tries++
		w.clock.SetTime(w.clock.Now().Add(after))
	}
	w.Expect(tries).To(Equal(5))
	w.Expect(w.release.Status.Notifications[0]).To(SatisfyAll(HaveField("State", v1alpha1.NotificationFailed), HaveField("Attempts", int32(6)), HaveField("Message", ContainSubstring("502"))))
	w.Expect(w.events.Events).To(Receive(And(ContainSubstring("NotificationFailed"), ContainSubstring("was not told of Started of Release blog-7"))))
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	w := newWorld(t, v1alpha1.Notification{Name: "none", Slack: &v1alpha1.SlackNotification{URLSecretRef: v1alpha1.SecretKeyReference{LocalReference: v1alpha1.LocalReference{Name: "none"}, Key: "url"}}},
		v1alpha1.Notification{Name: "nothing", Slack: &v1alpha1.SlackNotification{URLSecretRef: key("none")}},
		v1alpha1.Notification{Name: "silent", Slack: &v1alpha1.SlackNotification{URLSecretRef: key("url")}, Template: "{{if eq .Event `Failed`}}failed{{end}}"},
		v1alpha1.Notification{Name: "broken", Slack: &v1alpha1.SlackNotification{URLSecretRef: key("url")}, Template: "{{.Nothing}}"})
	_, err := w.look()
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.release.Status.Notifications).To(HaveExactElements(
		SatisfyAll(HaveField("State", v1alpha1.NotificationPending), HaveField("Message", "there is no Secret none")),
		SatisfyAll(HaveField("State", v1alpha1.NotificationPending), HaveField("Message", "no key none, or nothing in it, in Secret chat")),
		HaveField("State", v1alpha1.NotificationSkipped),
		SatisfyAll(HaveField("State", v1alpha1.NotificationFailed), HaveField("Message", ContainSubstring("Nothing")))))
	w.Expect(w.sent()).To(BeEmpty())
}

// A notification that is new is not told of old times, and one that is gone is not told any more.
func TestOldTimesAreNotToldOf(t *testing.T) {
	w := newWorld(t)
	_, err := w.look()
	w.Expect(err).NotTo(HaveOccurred())
	w.end(v1alpha1.ReasonSucceeded)
	w.clock.SetTime(w.clock.Now().Add(time.Hour))
	before := w.service.DeepCopy()
	w.service.Spec.Notifications = []v1alpha1.Notification{slack()}
	w.Expect(w.c.Patch(t.Context(), w.service, client.MergeFrom(before))).To(Succeed())
	_, err = w.look()
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.sent()).To(BeEmpty())
	w.Expect(w.release.Status.Notifications).To(BeEmpty())
}

// mortal fails at a write of a status.
type mortal struct {
	client.Client
	at  int
	err error
}

func (m *mortal) Status() client.SubResourceWriter { return mortalStatus{m.Client.Status(), m} }

type mortalStatus struct {
	client.SubResourceWriter
	m *mortal
}

func (s mortalStatus) Patch(ctx context.Context, o client.Object, p client.Patch, options ...client.SubResourcePatchOption) error {
	if s.m.at--; s.m.at == 0 {
		return s.m.err
	}
	return s.SubResourceWriter.Patch(ctx, o, p, options...)
}
