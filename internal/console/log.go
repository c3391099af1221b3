// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/phase"
)

const (
	// logLines is how many lines of a log a page has; those that the build writes then come as events.
	logLines = 2000
	// maxFound is how many lines a search shows.
	maxFound = 500
	// batchLines is how many lines one event has at most, burstLines how many are sent within burstEvery: no browser keeps up with
	// more, and nobody reads them.
	batchLines, burstLines, burstEvery = 400, 2000, time.Second
	// maxBurst is how many parts of a log are taken for one burst.
	maxBurst = 100
	// maxLine bounds a line that is shown.
	maxLine = 4000
	// logPoll is how often a log is looked for that is not there yet.
	logPoll = time.Second
)

type logView struct {
	*subject
	Release *v1alpha1.Release
	State   phase.Phase
	Lines   []logLine
	// Earlier and Later lines are left out; Total is how many there are.
	Earlier, Later, Total int
	// Search is what lines were looked for with; Found is how many have it.
	Search string
	Found  int
	// Part says that a part from the middle is shown, which does not grow.
	Part bool
	// Resume is where the events go on.
	Resume  string
	Grows   bool
	Trouble string
	Job     string
}

// parts of the page. The title alone changes while the log grows.
func (v logView) parts() []part {
	return []part{{"crumbs", "crumbs", v.subject, across}, v.title(), {"log-bar", "log-bar", v, across}, {"log-body", "log-body", v, across}}
}

func (v logView) title() part { return part{"log-title", "log-title", v, across} }

// logLine is one line as a page shows it.
type logLine struct {
	Number int           `json:"n"`
	HTML   template.HTML `json:"html"`
	// Bad lines look like errors.
	Bad bool `json:"bad,omitempty"`
}

func shownLines(lines []textLine) []logLine {
	list := make([]logLine, 0, len(lines))
	for _, line := range lines {
		list = append(list, logLine{Number: line.number, HTML: template.HTML(withoutDirections([]byte(colour(line.text)))), Bad: looksBad(line.text)})
	}
	return list
}

// looksBad says whether people look for a line when a build has failed.
func looksBad(line []byte) bool {
	lower := bytes.ToLower(line[:min(len(line), maxLine)])
	for _, word := range [][]byte{[]byte("error"), []byte("fatal"), []byte("failed"), []byte("panic:"), []byte("exception")} {
		if bytes.Contains(lower, word) {
			return true
		}
	}
	return false
}

// logOf is a reader of a Release's build log; nil if there is no build.
func (a *ask) logOf(release *v1alpha1.Release, s *subject) *logReader {
	b := release.Status.Build
	if b == nil || b.Job == "" || a.console.Depot == nil {
		return nil
	}
	return &logReader{depot: a.console.Depot, at: depot.LogRange{Service: s.storage(), Job: b.Job}}
}

// logPage shows the build log; who asks for events gets what follows.
func logPage(ctx context.Context, a *ask) (view, error) {
	release, s, err := a.releaseAndSubject(ctx)
	if err != nil {
		return view{}, err
	}
	v := logView{subject: s, Release: release, State: phase.OfRelease(release)}
	title := a.text("title.log", release.Name)
	reader := a.logOf(release, s)
	if reader == nil {
		v.Trouble = "log.none"
		if a.console.Depot != nil && !phase.Ended(release) {
			v.Trouble, v.Grows = "log.notYet", true
		}
		return view{Title: title, Topic: s.Topic(), Still: v.Grows, Parts: v.parts()}, nil
	}
	v.Job = release.Status.Build.Job
	choice := chosenLines(a)
	v.Search, v.Part = choice.search, choice.around > 0
	for more := true; more; {
		var lines []textLine
		if lines, more, v.Grows, err = readNow(ctx, reader); err != nil {
			v.Trouble = "log.trouble"
			if errors.Is(err, depot.ErrNotFound) {
				v.Trouble, v.Grows = "log.notYet", !phase.Ended(release)
				if phase.Ended(release) {
					v.Trouble = "log.none"
				}
			}
			break
		}
		choice.add(lines)
	}
	v.Lines, v.Total, v.Found, v.Resume = shownLines(choice.kept), choice.total, choice.found, reader.place()
	if n := len(choice.kept); n > 0 && v.Search == "" {
		v.Earlier, v.Later = choice.kept[0].number-1, choice.total-choice.kept[n-1].number
	}
	if v.Search != "" || v.Part {
		v.Grows = false
	}
	return view{Title: title, Topic: s.Topic(), Still: true, Parts: v.parts()}, nil
}

// choice is which lines of a log a page shows: the last ones, those around one, or those that have what is looked for.
type choice struct {
	around       int
	search       string
	kept         []textLine
	total, found int
}

// chosenLines reads what was asked for: line, or q.
func chosenLines(a *ask) *choice {
	query := a.URL.Query()
	c := &choice{search: strings.TrimSpace(query.Get("q"))}
	if n, err := strconv.Atoi(query.Get("line")); err == nil && n > 0 && c.search == "" {
		c.around = n
	}
	return c
}

// add takes more lines.
func (c *choice) add(lines []textLine) {
	if len(lines) > 0 {
		c.total = lines[len(lines)-1].number
	}
	for _, line := range lines {
		switch {
		case c.search != "":
			if bytes.Contains(bytes.ToLower(line.text), []byte(strings.ToLower(c.search))) {
				if c.found++; len(c.kept) < maxFound {
					c.kept = append(c.kept, line)
				}
			}
		case c.around > 0:
			if line.number >= c.around-logLines/4 && len(c.kept) < logLines {
				c.kept = append(c.kept, line)
			}
		default:
			c.kept = append(c.kept, line)
		}
	}
	if extra := len(c.kept) - logLines; extra > 0 {
		c.kept = append([]textLine(nil), c.kept[extra:]...)
	}
}

// endLines is how many lines of a log the page of its Release has.
const endLines = 15

// logTail is the end of a log. A page that is followed reads on where it was.
type logTail struct {
	reader *logReader
	job    string
	kept   []textLine
}

// logEnd is the end of a build's log; none if it can't be read now, for the page has more to say.
func (a *ask) logEnd(ctx context.Context, release *v1alpha1.Release, s *subject) []logLine {
	reader := a.logOf(release, s)
	if reader == nil {
		return nil
	}
	if a.tail == nil || a.tail.job != reader.at.Job {
		a.tail = &logTail{reader: reader, job: reader.at.Job}
	}
	t := a.tail
	for more := true; more; {
		var lines []textLine
		var err error
		if lines, more, _, err = readNow(ctx, t.reader); err != nil {
			break
		}
		t.kept = append(t.kept, lines...)
		t.kept = append([]textLine(nil), t.kept[max(len(t.kept)-endLines, 0):]...)
	}
	return shownLines(t.kept)
}

// rawLog is the log as the build wrote it, as text.
func (c *Console) rawLog(w http.ResponseWriter, r *http.Request) {
	a, ok := c.ask(w, r)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
	defer cancel()
	release, s, err := a.releaseAndSubject(ctx)
	if err != nil {
		c.trouble(w, r, a, err)
		return
	}
	reader := a.logOf(release, s)
	if reader == nil {
		c.fail(w, r, http.StatusNotFound, "log.none", a)
		return
	}
	reader.at.Now = true
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Disposition", fmt.Sprintf(`inline; filename="%s.log"`, release.Name))
	for {
		chunk, err := reader.depot.Log(ctx, reader.at)
		if err != nil {
			return
		}
		if _, err := w.Write(chunk.Data); err != nil || !chunk.More {
			return
		}
		reader.at.Offset = chunk.Next
	}
}
