// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package region

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Event is something that the region saw happen.
type Event struct {
	Time     time.Time `json:"time"`
	Instance string    `json:"instance,omitempty"`
	Address  string    `json:"address,omitempty"`
	// What happened: a state of Auto Scaling's life cycle, "terminated", Serves, or words on the group.
	What string `json:"what"`
	// Page is the first line of what the instance's web server answers from now on; or why it does not, in brackets.
	Page string `json:"page,omitempty"`
}

// Serves is the event of a web server that answers otherwise than before.
const Serves = "serves"

// lookEvery is the pause between two looks at an instance's web server.
const lookEvery = 50 * time.Millisecond

// Events lists what has happened, in order, and what went wrong with the region itself.
func (r *Region) Events() ([]Event, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events), r.failed
}

func (r *Region) record(m *member, what, page string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(Event{Instance: m.id, Address: m.address, What: what, Page: page})
}

// add adds to the log. The lock is held.
func (r *Region) add(e Event) {
	e.Time = time.Now()
	r.events = append(r.events, e)
	r.options.Tell(e)
}

// watch looks at an instance's web server until ctx ends.
func (r *Region) watch(ctx context.Context, m *member) {
	for {
		r.look(m)
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookEvery):
		}
	}
}

// look looks once, and notes what is otherwise than the last time.
func (r *Region) look(m *member) string {
	answer := ask(m.address)
	if answer != m.page {
		m.page = answer
		r.record(m, Serves, answer)
	}
	return answer
}

// page is a page that was served, and whether it was one.
func page(answer string) (string, bool) {
	return answer, answer != "" && !strings.HasPrefix(answer, "(")
}

// client asks each time anew, so that every answer is of who listens now.
var client = &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func ask(address string) string {
	answer, err := client.Get("http://" + address + "/")
	if err != nil {
		return "(no answer)"
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
	if err != nil {
		return "(no answer)"
	}
	if answer.StatusCode != http.StatusOK {
		return "(" + answer.Status + ")"
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}
