// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
)

const (
	// settle is how long changes are gathered before a page is sent again; that of everything takes longer.
	settle, settleAll = 500 * time.Millisecond, 2 * time.Second
	// heartbeat is how often a stream that has nothing to say says so, restlessEvery how often a page is looked at that changes without
	// the cluster telling.
	heartbeat, restlessEvery = 10 * time.Second, 2 * time.Second
	// maxStream is how long a stream lasts: the browser asks again, and who may not any more is told.
	maxStream = 30 * time.Minute
	// maxStreamsOf bounds the streams of one user.
	maxStreamsOf = 64
	// upstreamEvery is how often the API server is asked whether it is there, upstreamLate how long it may not answer before
	// what is shown is called stale.
	upstreamEvery, upstreamLate = 5 * time.Second, 15 * time.Second
)

// hub tells streams that something has changed.
type hub struct {
	mu      sync.Mutex
	streams map[*listener]bool
	stale   time.Time
	heard   time.Time
}

// listener is one stream that wants to know.
type listener struct {
	user, topic string
	wake        chan struct{}
}

func newHub() *hub { return &hub{streams: map[*listener]bool{}} }

// listen adds a stream; nil if its user has too many.
func (h *hub) listen(user, topic string) *listener {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for l := range h.streams {
		if l.user == user {
			n++
		}
	}
	if n >= maxStreamsOf {
		return nil
	}
	l := &listener{user: user, topic: topic, wake: make(chan struct{}, 1)}
	h.streams[l] = true
	return l
}

func (h *hub) leave(l *listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, l)
}

// changed tells of a Service, or of all with an empty topic.
func (h *hub) changed(topic string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for l := range h.streams {
		if topic == "" || l.topic == "" || l.topic == topic {
			select {
			case l.wake <- struct{}{}:
			default:
			}
		}
	}
}

func (h *hub) staleSince() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stale
}

// answered notes whether the API server answered.
func (h *hub) answered(now time.Time, ok bool) {
	h.mu.Lock()
	before := h.stale
	switch {
	case ok:
		h.heard, h.stale = now, time.Time{}
	case h.heard.IsZero():
		h.heard = now
	case now.Sub(h.heard) > upstreamLate:
		h.stale = h.heard
	}
	turned := before.IsZero() != h.stale.IsZero()
	h.mu.Unlock()
	if turned {
		h.changed("")
	}
}

// changed tells the pages that an object has changed.
func (c *Console) changed(object client.Object) {
	service := object.GetLabels()[v1alpha1.LabelService]
	switch o := object.(type) {
	case *v1alpha1.Service:
		service = o.Name
	case *v1alpha1.Release:
		service = o.Spec.Service
	case *v1alpha1.Target:
		service = o.Spec.Service
	}
	c.hub.changed(types.NamespacedName{Namespace: object.GetNamespace(), Name: service}.String())
}

// watchUpstream notes since when what the caches have is old.
func (c *Console) watchUpstream(ctx context.Context) {
	ticker := time.NewTicker(upstreamEvery)
	defer ticker.Stop()
	for {
		limited, cancel := context.WithTimeout(ctx, upstreamEvery)
		var list v1alpha1.ServiceList
		err := c.Direct.List(limited, &list, client.Limit(1))
		cancel()
		if ctx.Err() != nil {
			return
		}
		c.hub.answered(c.Clock.Now(), err == nil)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// events writes a stream of server-sent events.
type events struct {
	w http.ResponseWriter
	*http.ResponseController
	// limit is how long the browser may take to load an event. It is longer than the time between two: with HTTP/2 a stream whose
	// deadline has passed ends even if there was nothing to write.
	limit time.Duration
}

func (c *Console) events(w http.ResponseWriter) *events {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("X-Accel-Buffering", "no")
	e := &events{w, http.NewResponseController(w), 3 * c.beat}
	w.WriteHeader(http.StatusOK)
	return e
}

// send writes one event. data becomes one line of JSON.
func (e *events) send(id, name string, data any) error {
	line, err := json.Marshal(data)
	if err != nil {
		return err
	}
	if err := e.SetWriteDeadline(time.Now().Add(e.limit)); err != nil {
		return err
	}
	if id != "" {
		fmt.Fprintf(e.w, "id: %s\n", id)
	}
	if _, err := fmt.Fprintf(e.w, "event: %s\ndata: %s\n\n", name, line); err != nil {
		return err
	}
	return e.Flush()
}

// piece is a part that has changed.
type piece struct {
	ID   string `json:"id"`
	Sum  string `json:"sum"`
	HTML string `json:"html"`
}

// pulse is how the page stands: whether what it shows is old, what waits for somebody, and its title, which a tab shows that is not
// looked at.
type pulse struct {
	Stale string `json:"stale,omitempty"`
	Needs int    `json:"needs"`
	Title string `json:"title,omitempty"`
}

// still says whether who began a stream is signed in yet, as the same and in the same groups.
func (c *Console) still(a *ask) bool {
	who, is := c.whoIs(a.Request)
	return is && who.Name == a.user.Name && slices.Equal(who.Groups, a.user.Groups)
}

// stream sends a page's parts, all of them first and then those that have changed.
func (c *Console) stream(w http.ResponseWriter, a *ask, make pageFunc) {
	ctx, cancel := context.WithTimeout(a.Context(), maxStream)
	defer cancel()
	first, err := make(ctx, a)
	if err != nil {
		c.trouble(w, a.Request, a, err)
		return
	}
	l := c.hub.listen(a.user.Name, first.Topic)
	if l == nil {
		c.fail(w, a.Request, http.StatusTooManyRequests, "error.tooManyStreams", a)
		return
	}
	defer c.hub.leave(l)
	out, sent, wait := c.events(w), map[string]string{}, settle
	if first.Topic == "" {
		wait = settleAll
	}
	beat := time.NewTicker(c.beat)
	defer beat.Stop()
	look := time.NewTicker(c.look)
	defer look.Stop()
	for v := first; ; {
		parts, err := c.parts(a.Request, v)
		if err != nil {
			return
		}
		for _, p := range parts {
			if sent[p.id] == p.sum {
				continue
			}
			if out.send("", "part", piece{p.id, p.sum, string(p.html)}) != nil {
				return
			}
			sent[p.id] = p.sum
		}
		if out.send("", "pulse", c.pulse(ctx, a, conditions.OneLine(v.Title))) != nil {
			return
		}
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return
			case <-l.wake:
				waiting = false
			case <-look.C:
				waiting = !v.Restless
			case <-beat.C:
				a.renew()
				if !c.still(a) || out.send("", "pulse", c.pulse(ctx, a, conditions.OneLine(v.Title))) != nil {
					return
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		a.renew()
		if v, err = make(ctx, a); err != nil {
			_ = out.send("", "gone", struct{}{})
			return
		}
	}
}

func (c *Console) pulse(ctx context.Context, a *ask, title string) pulse {
	f := c.frame(ctx, a, title)
	p := pulse{Needs: f.Needs, Title: title}
	if !f.Stale.IsZero() {
		p.Stale = f.Stale.UTC().Format(time.RFC3339)
	}
	return p
}
