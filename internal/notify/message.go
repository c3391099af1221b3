// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/rollout"
)

// Version of the body that webhooks get. What a version has does not go away.
const Version = "slipway.dev/notification-v1"

// Message is what a place is told: the body of a webhook, and what templates are filled from.
type Message struct {
	Version   string `json:"version"`
	Event     string `json:"event"`
	Namespace string `json:"namespace"`
	Service   string `json:"service"`
	Release   string `json:"release"`
	Revision  string `json:"revision"`
	// Commit is the full id, ShortCommit its first eight digits; empty before the revision was resolved.
	Commit      string `json:"commit,omitempty"`
	ShortCommit string `json:"shortCommit,omitempty"`
	// RequestedBy and Reason are who asked for the Release and why; empty if nobody said.
	RequestedBy string `json:"requestedBy,omitempty"`
	Reason      string `json:"reason,omitempty"`
	// Gate that people are asked to approve.
	Gate string `json:"gate,omitempty"`
	// Hosts is how many hosts there are, Updated how many run the Release.
	Hosts   int `json:"hosts"`
	Updated int `json:"updated"`
	// Message says in a sentence how the Release stands.
	Message string `json:"message"`
	// Look is how to see more: a command, and the Console's page where there is one.
	Look string `json:"look"`
	URL  string `json:"url,omitempty"`
	// Time in RFC 3339.
	Time string `json:"time"`
}

// MessageOf fills a message. console is the Console's address, or empty.
func MessageOf(release *v1alpha1.Release, s *v1alpha1.NotificationStatus, console string) Message {
	kind, gate, _ := strings.Cut(s.Event, "/")
	status := &release.Status
	m := Message{
		Version: Version, Event: kind, Gate: gate, Namespace: release.Namespace, Service: release.Spec.Service, Release: release.Name,
		Revision: line(string(release.Spec.Revision)), Commit: status.Commit, ShortCommit: status.ShortCommit,
		RequestedBy: line(release.Spec.RequestedBy), Reason: line(release.Spec.Reason),
		Hosts: int(status.Targets.Total), Updated: int(status.Targets.Updated), Time: s.Time.UTC().Format("2006-01-02T15:04:05Z"),
		Look: fmt.Sprintf("kubectl -n %s get slrel %s -o wide", release.Namespace, release.Name),
	}
	if m.RequestedBy == v1alpha1.RequestedByManager {
		m.RequestedBy = ""
	}
	ready := conditions.Get(status.Conditions, v1alpha1.ConditionReady)
	m.Message = line(ready.Message)
	if kind == string(v1alpha1.NotifyStarted) {
		m.Message = ""
	}
	if console != "" {
		m.URL = fmt.Sprintf("%s/namespaces/%s/services/%s/releases/%s", strings.TrimRight(console, "/"), release.Namespace, release.Spec.Service, release.Name)
	}
	return m
}

// line is a text of people in one line of bounded length.
func line(text string) string { return conditions.Shorten(conditions.OneLine(text), 1000) }

var words = map[string]string{
	string(v1alpha1.NotifyStarted): "is being released", string(v1alpha1.NotifySucceeded): "was released",
	string(v1alpha1.NotifyFailed): "FAILED", string(v1alpha1.NotifyRolledBack): "was ROLLED BACK",
	string(v1alpha1.NotifyStopped): "was stopped", string(v1alpha1.NotifyApprovalWanted): "waits for approval",
}

// text is the default for people. Its values are safe for the place already.
func (m *Message) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", m.Service, m.Revision)
	if m.ShortCommit != "" {
		fmt.Fprintf(&b, " (%s)", m.ShortCommit)
	}
	fmt.Fprintf(&b, " %s", words[m.Event])
	if m.Hosts > 0 && m.Event != string(v1alpha1.NotifyStarted) {
		fmt.Fprintf(&b, ", %d of %d hosts run it", m.Updated, m.Hosts)
	}
	if m.RequestedBy != "" {
		fmt.Fprintf(&b, ". Asked for by %s", m.RequestedBy)
	}
	if m.Reason != "" {
		fmt.Fprintf(&b, ": %s", m.Reason)
	}
	if m.Message != "" {
		fmt.Fprintf(&b, "\n%s", m.Message)
	}
	if m.URL != "" {
		fmt.Fprintf(&b, "\n%s", m.URL)
	} else {
		fmt.Fprintf(&b, "\n%s", m.Look)
	}
	return b.String()
}

// mrkdwn keeps Slack from reading more than text in what people wrote: its three control characters are those of links,
// mentions and channels (https://docs.slack.dev/messaging/formatting-message-text#escaping).
var mrkdwn = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// forSlack makes all values of people safe.
func (m Message) forSlack() Message {
	for _, field := range []*string{&m.Revision, &m.RequestedBy, &m.Reason, &m.Message} {
		*field = mrkdwn.Replace(*field)
	}
	return m
}

// Body is what is sent; empty if the template makes nothing. An error is the template's, and says where.
func Body(n *v1alpha1.Notification, m Message) ([]byte, error) {
	if n.Slack != nil {
		m = m.forSlack()
		text := m.text()
		if n.Template != "" {
			var err error
			if text, err = render(n.Template, m); err != nil || strings.TrimSpace(text) == "" {
				return nil, err
			}
		}
		return json.Marshal(map[string]any{"text": text, "unfurl_links": false, "link_names": 0})
	}
	if n.Template == "" {
		return json.Marshal(m)
	}
	text, err := render(n.Template, m)
	if err != nil || strings.TrimSpace(text) == "" {
		return nil, err
	}
	if !json.Valid([]byte(text)) {
		return nil, fmt.Errorf("the template of notification %s makes no JSON: write values of people with the function json, as {{json .Reason}}", n.Name)
	}
	return []byte(text), nil
}

// Check says what is wrong with a Service's notifications; nil if nothing is.
func Check(list []v1alpha1.Notification) error {
	sample := &v1alpha1.Release{Spec: v1alpha1.ReleaseSpec{Service: "blog", Revision: "v1", Reason: `ticket 812 "quoted"`, RequestedBy: "alice"}}
	for i := range list {
		for _, event := range []string{"Started", "Succeeded", "Failed", "RolledBack", "Stopped", "ApprovalWanted/" + rollout.StepGate(0)} {
			if _, err := Body(&list[i], MessageOf(sample, &v1alpha1.NotificationStatus{Event: event}, "")); err != nil {
				return fmt.Errorf("notification %s: %w", list[i].Name, err)
			}
		}
	}
	return nil
}
