// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

const (
	// maxLine bounds one line of a host's report, maxReport all of it. A host is not trusted to be brief.
	maxLine   = 256 << 10
	maxReport = 4 << 20
	maxSteps  = 32
	maxHeld   = 1000
	maxText   = 1024
	maxOutput = 4096
	maxBytes  = 1 << 60
)

// errTooLong says that a host sent more than any script of ours would.
var errTooLong = errors.New("the host's report is longer than any script of ours writes")

// event is one line of the script's report. Exactly one field is set, but for done, which comes with state.
type event struct {
	Begin  string     `json:"begin"`
	Note   string     `json:"note"`
	Bytes  int64      `json:"bytes"`
	Pulled bool       `json:"pulled"`
	Prune  string     `json:"prune"`
	Fail   *failLine  `json:"fail"`
	State  *stateLine `json:"state"`
	Done   *doneLine  `json:"done"`
	Exit   *exitLine  `json:"exit"`
}

type failLine struct {
	Step     string `json:"step"`
	Reason   string `json:"reason"`
	Message  string `json:"message"`
	Switched bool   `json:"switched"`
	Terminal bool   `json:"terminal"`
	Fence    int64  `json:"fence"`
}

type doneLine struct {
	Digest string `json:"digest"`
	Fence  int64  `json:"fence"`
}

// exitLine says how a command ended: that of a health check, or a hook that runs once per Release, which has a state.
type exitLine struct {
	State string `json:"state"`
	Code  int    `json:"code"`
	Late  bool   `json:"late"`
	Said  string `json:"said"`
}

type stateLine struct {
	Owner         string     `json:"owner"`
	Service       string     `json:"service"`
	Fence         int64      `json:"fence"`
	SwitchedFence int64      `json:"switchedFence"`
	Digest        string     `json:"digest"`
	Commit        string     `json:"commit"`
	Revision      string     `json:"revision"`
	Release       string     `json:"release"`
	Since         int64      `json:"since"`
	Drift         *driftLine `json:"drift"`
	Held          []string   `json:"held"`
}

type driftLine struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// report collects what the script says.
type report struct {
	now      func() time.Time
	progress func(step string)
	pulled   func()

	steps []v1alpha1.DeliveryStep
	began time.Time
	bytes int64
	prune string
	fail  *failLine
	state *stateLine
	done  *doneLine
	exit  *exitLine
	// last lines that are no JSON: a login shell's greeting, or a shell's complaint.
	noise string
}

// read takes lines until r ends, and returns an error only if r does not end well or never seems to end.
func (r *report) read(in io.Reader) error {
	lines := bufio.NewScanner(io.LimitReader(in, maxReport+1))
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	total := 0
	for lines.Scan() {
		if total += len(lines.Bytes()) + 1; total > maxReport {
			return errTooLong
		}
		r.take(lines.Bytes())
	}
	r.endStep()
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return errTooLong
	}
	if lines.Err() != nil {
		return fmt.Errorf("read the host's report: %w", lines.Err())
	}
	return nil
}

// take takes one line.
func (r *report) take(text []byte) {
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return
	}
	var e event
	if text[0] != '{' || json.Unmarshal(text, &e) != nil {
		r.noise = shorten(string(text))
		return
	}
	switch {
	case e.Begin != "":
		r.endStep()
		if len(r.steps) < maxSteps {
			r.steps = append(r.steps, v1alpha1.DeliveryStep{Name: shorten(e.Begin)})
			r.began = r.now()
		}
		if r.progress != nil {
			r.progress(shorten(e.Begin))
		}
	case e.Note != "":
		if len(r.steps) > 0 {
			r.steps[len(r.steps)-1].Message = shorten(e.Note)
		}
	case e.Pulled:
		if r.pulled != nil {
			r.pulled()
		}
	case e.Prune != "":
		r.prune = shorten(e.Prune)
	case e.Fail != nil:
		e.Fail.Step, e.Fail.Reason, e.Fail.Message = shorten(e.Fail.Step), shorten(e.Fail.Reason), shorten(e.Fail.Message)
		r.fail = e.Fail
	}
	if e.Bytes > 0 && e.Bytes < maxBytes {
		r.bytes = min(r.bytes+e.Bytes, maxBytes)
	}
	if e.State != nil {
		r.state = e.State
	}
	if e.Done != nil {
		r.done = e.Done
	}
	if e.Exit != nil {
		if e.Exit.State == "" {
			e.Exit.Said = shorten(e.Exit.Said)
		}
		e.Exit.Said = bound(e.Exit.Said, maxOutput)
		r.exit = e.Exit
	}
}

// endStep says how long the step that ran took.
func (r *report) endStep() {
	if len(r.steps) > 0 && !r.began.IsZero() {
		r.steps[len(r.steps)-1].Milliseconds = r.now().Sub(r.began).Milliseconds()
		r.began = time.Time{}
	}
}

// observation is what the host said, in this package's words.
func (s *stateLine) observation(hostKey string) Observation {
	o := Observation{
		HostKey: hostKey, Fence: max(s.Fence, 0), SwitchedFence: max(s.SwitchedFence, 0),
		Digest: shorten(s.Digest), Commit: shorten(s.Commit), Revision: shorten(s.Revision), Release: shorten(s.Release),
		Held: s.Held[:min(len(s.Held), maxHeld)],
	}
	if s.Service != "" {
		o.Owner = &v1alpha1.PathOwner{OwnerID: shorten(s.Owner), ServiceUID: v1alpha1.UID(shorten(s.Service))}
	}
	if s.Since > 0 {
		o.Since = time.Unix(s.Since, 0)
	}
	if s.Drift != nil {
		o.Drift = &Drift{Reason: v1alpha1.ReasonContentChanged, Message: shorten(s.Drift.Message)}
		if s.Drift.Reason == v1alpha1.ReasonLinkMoved {
			o.Drift.Reason = v1alpha1.ReasonLinkMoved
		}
	}
	return o
}

// shorten bounds a text that a host sent.
func shorten(s string) string { return bound(s, maxText) }

func bound(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return string(bytes.ToValidUTF8([]byte(s[:limit]), nil))
}
