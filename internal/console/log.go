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

// textLine is one line as the build wrote it.
type textLine struct {
	number int
	text   []byte
}

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

// logReader reads a log line by line.
type logReader struct {
	depot  depot.Reader
	at     depot.LogRange
	number int
	// rest is a line that has not ended yet.
	rest []byte
}

// place is where a reader can go on after the lines that it gave: the offset and the number of the last line.
func (l *logReader) place() string {
	return fmt.Sprintf("%d-%d", l.at.Offset-int64(len(l.rest)), l.number)
}

// goOn reads a place.
func (l *logReader) goOn(place string) {
	offset, number, _ := strings.Cut(place, "-")
	o, err := strconv.ParseInt(offset, 10, 64)
	n, err2 := strconv.Atoi(number)
	if err == nil && err2 == nil && o >= 0 && n >= 0 {
		l.at.Offset, l.number = o, n
	}
}

// read returns the lines that have come, whether there is more already, and whether the log grows. The end of one that does not is a
// line too.
func (l *logReader) read(ctx context.Context) (lines []textLine, more, grows bool, err error) {
	chunk, err := l.depot.Log(ctx, l.at)
	if err != nil {
		return nil, false, true, err
	}
	data := chunk.Data
	if chunk.Before > 0 { // a gap, told by a line of its own, and then the log goes on in the middle of a line
		if len(l.rest) > 0 {
			l.number++
			lines = append(lines, textLine{l.number, l.rest})
		}
		gap, after, _ := bytes.Cut(bytes.TrimPrefix(data, []byte("\n")), []byte("\n"))
		l.number++
		lines = append(lines, textLine{l.number, gap})
		l.number, l.rest, data = max(l.number, int(chunk.Before)), nil, after
	}
	l.rest = append(l.rest, data...)
	l.at.Offset = chunk.Next
	for {
		line, rest, ended := bytes.Cut(l.rest, []byte("\n"))
		if !ended && (len(line) == 0 || chunk.More || chunk.Grows) && len(line) < 1<<20 {
			return lines, chunk.More, chunk.Grows || chunk.More, nil
		}
		l.rest = rest
		l.number++
		lines = append(lines, textLine{l.number, line})
	}
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

// readNow does not wait for a log to grow.
func readNow(ctx context.Context, l *logReader) (lines []textLine, more, grows bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, commitsLimit)
	defer cancel()
	l.at.Now = true
	defer func() { l.at.Now = false }()
	return l.read(ctx)
}

// logEvent is some lines of a log.
type logEvent struct {
	Lines []logLine `json:"lines"`
}

// readBurst returns what has come. Of very much it is the end: the numbers of its lines say how many were left out before.
func readBurst(ctx context.Context, l *logReader) (lines []textLine, grows bool, err error) {
	more := true
	for i := 0; more && i < maxBurst; i++ {
		var some []textLine
		if some, more, grows, err = l.read(ctx); err != nil {
			break
		}
		lines = append(lines, some...)
		if extra := len(lines) - burstLines; extra > burstLines { // now and then is often enough
			lines = append([]textLine(nil), lines[extra:]...)
		}
	}
	return lines[max(len(lines)-burstLines, 0):], grows, err
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
