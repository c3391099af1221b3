// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
)

var noon = time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)

// released is a Release in some state.
func released(change ...func(*v1alpha1.ReleaseStatus)) *v1alpha1.Release {
	release := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: "blog-7"},
		Spec: v1alpha1.ReleaseSpec{Service: "blog", Revision: "v1.4.2", Reason: "ticket 812", RequestedBy: "alice"}}
	release.Status = v1alpha1.ReleaseStatus{Sequence: 7, Commit: strings.Repeat("ab", 20), ShortCommit: "abababab", Targets: v1alpha1.TargetCounts{Total: 8, Updated: 3}}
	for _, c := range change {
		c(&release.Status)
	}
	return release
}

func ended(reason string, ago time.Duration) func(*v1alpha1.ReleaseStatus) {
	return func(s *v1alpha1.ReleaseStatus) {
		conditions.True(&s.Conditions, 1, v1alpha1.ConditionFinished, reason, "the end")
		conditions.Summarize(&s.Conditions, 1, conditions.Stalled, reason, "the end")
		s.CompletionTime = &metav1.Time{Time: noon.Add(-ago)}
	}
}

func awaits(change func(*v1alpha1.ReleaseStatus)) func(*v1alpha1.ReleaseStatus) {
	return func(s *v1alpha1.ReleaseStatus) {
		conditions.Summarize(&s.Conditions, 1, conditions.InProgress, v1alpha1.ReasonAwaitingApproval, "waits")
		change(s)
	}
}

func TestWhatIsToldWhen(t *testing.T) {
	told := func(events ...string) []v1alpha1.NotificationStatus {
		var list []v1alpha1.NotificationStatus
		for _, e := range events {
			list = append(list, v1alpha1.NotificationStatus{Name: "chat", Event: e, State: v1alpha1.NotificationSent})
		}
		return list
	}
	for name, c := range map[string]struct {
		release *v1alpha1.Release
		only    []v1alpha1.NotificationEvent
		want    []string
	}{
		"not bound yet":               {release: released(func(s *v1alpha1.ReleaseStatus) { s.Sequence = 0 })},
		"it only asks":                {release: released(ended(v1alpha1.ReasonPlanned, 0), func(s *v1alpha1.ReleaseStatus) { s.Plan = &v1alpha1.ReleasePlan{} })},
		"it began":                    {release: released(), want: []string{"Started"}},
		"told of already":             {release: released(func(s *v1alpha1.ReleaseStatus) { s.Notifications = told("Started") })},
		"it succeeded":                {release: released(ended(v1alpha1.ReasonSucceeded, time.Minute)), want: []string{"Succeeded"}},
		"it failed":                   {release: released(ended(v1alpha1.ReasonFailed, time.Minute)), want: []string{"Failed"}},
		"it was rolled back":          {release: released(ended(v1alpha1.ReasonRolledBack, time.Minute)), want: []string{"RolledBack"}},
		"it was aborted":              {release: released(ended(v1alpha1.ReasonAborted, time.Minute)), want: []string{"Stopped"}},
		"it was superseded":           {release: released(ended(v1alpha1.ReasonSuperseded, time.Minute)), want: []string{"Stopped"}},
		"it ended long ago":           {release: released(ended(v1alpha1.ReasonSucceeded, time.Hour))},
		"only failures are asked for": {release: released(), only: []v1alpha1.NotificationEvent{v1alpha1.NotifyFailed}},
		"it waits at a step": {
			release: released(awaits(func(s *v1alpha1.ReleaseStatus) {
				s.Step = &v1alpha1.StepStatus{Index: 1}
				s.Notifications = told("Started")
			})),
			want: []string{"ApprovalWanted/Step-2"},
		},
		"it waits at another step": {
			release: released(awaits(func(s *v1alpha1.ReleaseStatus) {
				s.Step = &v1alpha1.StepStatus{Index: 3}
				s.Notifications = told("Started", "ApprovalWanted/Step-2")
			})),
			want: []string{"ApprovalWanted/Step-4"},
		},
		"it shrank": {
			release: released(awaits(func(s *v1alpha1.ReleaseStatus) { s.Build = &v1alpha1.BuildStatus{Shrunk: "2 files"} })),
			only:    []v1alpha1.NotificationEvent{v1alpha1.NotifyApprovalWanted}, want: []string{"ApprovalWanted/ShrunkenArtifact"},
		},
		"it goes back behind a hook": {
			release: released(awaits(func(*v1alpha1.ReleaseStatus) {})),
			only:    []v1alpha1.NotificationEvent{v1alpha1.NotifyApprovalWanted}, want: []string{"ApprovalWanted/Irreversible"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			service := &v1alpha1.Service{Spec: v1alpha1.ServiceSpec{Notifications: []v1alpha1.Notification{{Name: "chat", Events: c.only}}}}
			var got []string
			for _, due := range Due(service, c.release, noon) {
				got = append(got, due.Event)
			}
			NewWithT(t).Expect(got).To(Equal(c.want))
		})
	}
}

func TestTheRecordOfNotificationsIsBounded(t *testing.T) {
	g := NewWithT(t)
	release := released()
	for range 60 {
		release.Status.Notifications = append(release.Status.Notifications, v1alpha1.NotificationStatus{Name: "gone"})
	}
	g.Expect(Due(&v1alpha1.Service{Spec: v1alpha1.ServiceSpec{Notifications: []v1alpha1.Notification{{Name: "chat"}}}}, release, noon)).To(BeEmpty())
}

func TestAttemptsEnd(t *testing.T) {
	g := NewWithT(t)
	s := &v1alpha1.NotificationStatus{State: v1alpha1.NotificationPending}
	now, waited := noon, time.Duration(0)
	for s.State == v1alpha1.NotificationPending {
		Attempt(s, Answer{Message: "down"}, now)
		if s.NextTime != nil {
			waited += s.NextTime.Sub(now)
			now = s.NextTime.Time
		}
	}
	g.Expect([]any{s.State, s.Attempts, s.Message, s.NextTime}).To(Equal([]any{v1alpha1.NotificationFailed, int32(6), "down", (*metav1.Time)(nil)}))
	g.Expect(waited).To(Equal(17*time.Minute + 40*time.Second))

	s = &v1alpha1.NotificationStatus{State: v1alpha1.NotificationPending}
	Attempt(s, Answer{RetryAfter: 24 * time.Hour}, noon)
	g.Expect(s.NextTime.Sub(noon)).To(Equal(maxRetryAfter), "nobody is waited for a day")
	Attempt(s, Answer{Sent: true}, noon)
	g.Expect(*s).To(Equal(v1alpha1.NotificationStatus{State: v1alpha1.NotificationSent, Attempts: 2}))
	s = &v1alpha1.NotificationStatus{State: v1alpha1.NotificationPending}
	Attempt(s, Answer{Final: true, Message: "404"}, noon)
	g.Expect(s.State).To(Equal(v1alpha1.NotificationFailed))
}

func say(t *testing.T, n v1alpha1.Notification, release *v1alpha1.Release, event string) string {
	body, err := Body(&n, MessageOf(release, &v1alpha1.NotificationStatus{Event: event, Time: metav1.NewTime(noon)}, "https://slipway.example.com/"))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return string(body)
}

func TestWhatSlackIsTold(t *testing.T) {
	g, slack := NewWithT(t), v1alpha1.Notification{Name: "chat", Slack: &v1alpha1.SlackNotification{}}
	var message struct{ Text string }
	g.Expect(json.Unmarshal([]byte(say(t, slack, released(ended(v1alpha1.ReasonRolledBack, 0)), "RolledBack")), &message)).To(Succeed())
	g.Expect(message.Text).To(Equal("blog v1.4.2 (abababab) was ROLLED BACK, 3 of 8 hosts run it. Asked for by alice: ticket 812\nthe end\n" +
		"https://slipway.example.com/namespaces/web/services/blog/releases/blog-7"))

	evil := released()
	evil.Spec.Reason = "<!channel> <https://evil.example|click> & \u202e\x1b[31mred\nnext"
	for _, template := range []string{"", "{{.Reason}}"} {
		slack.Template = template
		g.Expect(json.Unmarshal([]byte(say(t, slack, evil, "Started")), &message)).To(Succeed())
		g.Expect(message.Text).To(ContainSubstring("&lt;!channel&gt; &lt;https://evil.example|click&gt; &amp; [31mred next"), "nobody is called, nothing is linked")
	}
}

func TestWhatWebhooksAreTold(t *testing.T) {
	g, hook := NewWithT(t), v1alpha1.Notification{Name: "hook", Webhook: &v1alpha1.WebhookNotification{}}
	g.Expect(say(t, hook, released(ended(v1alpha1.ReasonSucceeded, 0)), "Succeeded")).To(MatchJSON(`{
		"version": "slipway.dev/notification-v1", "event": "Succeeded", "namespace": "web", "service": "blog", "release": "blog-7",
		"revision": "v1.4.2", "commit": "abababababababababababababababababababab", "shortCommit": "abababab", "requestedBy": "alice", "reason": "ticket 812",
		"hosts": 8, "updated": 3, "message": "the end", "look": "kubectl -n web get slrel blog-7 -o wide",
		"url": "https://slipway.example.com/namespaces/web/services/blog/releases/blog-7", "time": "2026-11-23T03:00:00Z"}`))
	hook.Template = `{{with find "ticket ([0-9]+)" .Reason}}{{if eq $.Event "Succeeded"}}{"ticket": {{.}}, "comment": {{json $.Message}}}{{end}}{{end}}`
	g.Expect(say(t, hook, released(ended(v1alpha1.ReasonSucceeded, 0)), "Succeeded")).To(Equal(`{"ticket": 812, "comment": "the end"}`))
	g.Expect(say(t, hook, released(ended(v1alpha1.ReasonFailed, 0)), "Failed")).To(BeEmpty(), "nothing is sent")
}

func TestTemplatesThatAreRefused(t *testing.T) {
	for template, says := range map[string]string{
		"{{.Nothing}}": "Nothing", "{{.Reason": "unclosed action", `{{printf "%1000000d" 1}}`: `"printf" is not allowed`, "{{call .Reason}}": "not allowed",
		"{{range .Reason}}{{end}}": "is not allowed", `{{define "x"}}{{template "x"}}{{end}}{{template "x"}}`: "no other templates",
		`{{if true}}{{else}}{{html .Reason}}{{end}}`: "not allowed", `{{find "(" .Reason}}`: "missing closing", `no JSON: {{.Reason}}`: "makes no JSON",
		`{{with $x := printf "a"}}{{$x}}{{end}}`: "not allowed", "{{block `x` .}}{{end}}": "no other templates", `{"r": "{{.Reason}}"}`: "function json",
	} {
		t.Run(template, func(t *testing.T) {
			err := Check([]v1alpha1.Notification{{Name: "hook", Webhook: &v1alpha1.WebhookNotification{}, Template: template}})
			NewWithT(t).Expect(err).To(MatchError(And(ContainSubstring("notification hook"), ContainSubstring(says))))
		})
	}
	g := NewWithT(t)
	g.Expect(Check([]v1alpha1.Notification{{Name: "a", Slack: &v1alpha1.SlackNotification{}}, {Name: "b", Webhook: &v1alpha1.WebhookNotification{}}})).To(Succeed())
	_, err := render(strings.Repeat("{{.Reason}}", 300), Message{Reason: strings.Repeat("x", 1000)})
	g.Expect(err).To(MatchError(ContainSubstring("more than 16384 bytes")))
}

// FuzzTemplate: whatever a template is, it ends soon, and what it makes is bounded and, for a webhook, JSON.
func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{"{{.Reason}}", `{"a": {{json .Reason}}}`, `{{with find "[0-9]+" .Reason}}{{.}}{{end}}`, "{{if and .URL (eq .Event `x`)}}{{end}}", "{{range .}}", "{{/**/}}"} {
		f.Add(seed, "ticket 812")
	}
	f.Fuzz(func(t *testing.T, template, reason string) {
		release := released()
		release.Spec.Reason = reason
		for _, n := range []v1alpha1.Notification{{Slack: &v1alpha1.SlackNotification{}, Template: template}, {Webhook: &v1alpha1.WebhookNotification{}, Template: template}} {
			body, err := Body(&n, MessageOf(release, &v1alpha1.NotificationStatus{Event: "Started"}, ""))
			if err == nil && len(body) > 0 && (!json.Valid(body) || len(body) > 8*maxText) {
				t.Fatalf("%d bytes: %.200s", len(body), body)
			}
		}
	})
}
