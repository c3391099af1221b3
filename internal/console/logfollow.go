// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/phase"
)

// logEvent is some lines of a log.
type logEvent struct {
	Lines []logLine `json:"lines"`
}

// followLog sends what follows a place of a log, until it ends.
func (c *Console) followLog(w http.ResponseWriter, r *http.Request) {
	a, ok := c.ask(w, r)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), maxStream)
	defer cancel()
	release, s, err := a.releaseAndSubject(ctx)
	if err != nil {
		c.trouble(w, r, a, err)
		return
	}
	place := r.Header.Get("Last-Event-ID")
	if place == "" {
		place = r.URL.Query().Get("from")
	}
	l := c.hub.listen(a.user.Name, s.Topic())
	if l == nil {
		c.fail(w, r, http.StatusTooManyRequests, "error.tooManyStreams", a)
		return
	}
	defer c.hub.leave(l)
	out := c.events(w)
	var reader *logReader
	var told time.Time
	title := "unknown"
	for {
		if reader == nil {
			if reader = a.logOf(release, s); reader != nil {
				reader.goOn(place)
			}
		}
		var lines []logLine
		grows := true
		if reader != nil {
			var texts []textLine
			texts, grows, err = readBurst(ctx, reader)
			lines = shownLines(texts)
			if err != nil && !errors.Is(err, depot.ErrNotFound) {
				c.Logger.Info("a log can't be read", "error", err.Error())
			}
		}
		if ctx.Err() != nil {
			return
		}
		if time.Since(told) > c.look { // a build may write much faster than anybody needs a pulse
			a.renew()
			if !c.still(a) || !a.user.sees(ctx, release.Namespace) || out.send("", "pulse", c.pulse(ctx, a, "")) != nil {
				return
			}
			if title = c.tellTitle(ctx, a, out, title); title == "" {
				return
			}
			told = time.Now()
		}
		full := len(lines) >= burstLines
		for len(lines) > 0 {
			n := min(len(lines), batchLines)
			last := n == len(lines)
			id := ""
			if last { // the places between are not known: an event that is cut off is sent again as a whole
				id = reader.place()
			}
			if out.send(id, "lines", logEvent{lines[:n]}) != nil {
				return
			}
			lines = lines[n:]
		}
		if err == nil && !grows {
			_ = out.send(reader.place(), "end", struct{}{})
			return
		}
		if full {
			select {
			case <-ctx.Done():
				return
			case <-time.After(burstEvery):
			}
		}
		if reader == nil || err != nil {
			select {
			case <-ctx.Done():
				return
			case <-time.After(logPoll):
			}
			missing := reader == nil || errors.Is(err, depot.ErrNotFound) // and not only out of reach
			if release, s, err = a.releaseAndSubject(ctx); err != nil {
				_ = out.send("", "gone", struct{}{})
				return
			}
			if missing && phase.Ended(release) && (reader != nil || release.Status.Build == nil || release.Status.Build.Job == "") {
				_ = out.send("", "end", struct{}{})
				return
			}
		}
	}
}

// tellTitle sends how the Release is whose log is followed, if that has changed since the title of a sum. It returns the sum of the new
// one; empty if nobody listens, or the Release is gone.
func (c *Console) tellTitle(ctx context.Context, a *ask, out *events, last string) string {
	release, s, err := a.releaseAndSubject(ctx)
	if err != nil {
		return ""
	}
	parts, err := c.parts(a.Request, view{Parts: []part{logView{subject: s, Release: release, State: phase.OfRelease(release)}.title()}})
	if err != nil || parts[0].sum != last && out.send("", "part", piece{parts[0].id, parts[0].sum, string(parts[0].html)}) != nil {
		return ""
	}
	return parts[0].sum
}
