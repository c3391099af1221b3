// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"strings"
	"testing"
	"time"
	"unicode"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// A history is a look a second: "+" succeeds, "-" fails. The verdicts are those after each look: "?" open, "h" healthy,
// "u" unhealthy.
func TestVerdicts(t *testing.T) {
	for name, test := range map[string]struct {
		success, failure int32
		grace            time.Duration
		resumed          Verdict
		looks            string
		verdicts         string
		settled          bool
	}{
		"the defaults: one success is enough":              {looks: "+", grace: 30 * time.Second, verdicts: "h", settled: true},
		"three failures in a row, and no grace":            {looks: "---", verdicts: "??u", settled: true},
		"a host that needs its grace to start":             {grace: 5 * time.Second, looks: "----+", verdicts: "????h", settled: true},
		"failures count once the grace is over":            {grace: 3 * time.Second, looks: "------", verdicts: "?????u", settled: true},
		"the first success ends the grace":                 {success: 2, grace: 60 * time.Second, looks: "+---", verdicts: "???u", settled: true},
		"one failure among successes turns nothing":        {looks: "+-+--+", verdicts: "hhhhhh", settled: true},
		"a healthy host with one failure is not settled":   {looks: "+-", verdicts: "hh"},
		"a healthy host turns unhealthy":                   {looks: "+---", verdicts: "hhhu", settled: true},
		"an unhealthy host recovers":                       {looks: "---+", verdicts: "??uh", settled: true},
		"recovery takes as many successes as are asked":    {success: 3, looks: "---+++", verdicts: "??uuuh", settled: true},
		"a flapping host stays unhealthy":                  {success: 2, looks: "---+-+-+-", verdicts: "??uuuuuuu", settled: true},
		"a flapping host stays healthy":                    {failure: 2, looks: "+-+-+-+", verdicts: "hhhhhhh", settled: true},
		"successes interrupted while open start anew":      {success: 2, looks: "+-+-++", verdicts: "?????h", settled: true},
		"further successes of a healthy host change none":  {success: 3, looks: "+++++", verdicts: "??hhh", settled: true},
		"a remembered verdict holds until the threshold":   {resumed: Healthy, looks: "--+--", verdicts: "hhhhh"},
		"a remembered bad verdict needs its successes too": {resumed: Unhealthy, success: 2, looks: "-++", verdicts: "uuh", settled: true},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			check := &v1alpha1.HealthCheck{
				SuccessThreshold: test.success, FailureThreshold: test.failure, StartupGrace: &metav1.Duration{Duration: test.grace},
			}
			now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			state := Begin(check, now)
			if test.resumed != Open {
				state = State{Verdict: test.resumed}
			}
			verdicts := ""
			for _, look := range test.looks {
				state = state.Look(check, Answer{Well: look == '+', Said: "after " + verdicts}, now)
				verdicts += map[Verdict]string{Open: "?", Healthy: "h", Unhealthy: "u"}[state.Verdict]
				now = now.Add(time.Second)
			}
			g.Expect(verdicts).To(Equal(test.verdicts))
			g.Expect(state.Settled()).To(Equal(test.settled))
		})
	}
}

func TestWhatIsSaidIsThatOfTheLookThatDecided(t *testing.T) {
	g := NewWithT(t)
	check, now := &v1alpha1.HealthCheck{FailureThreshold: 2, StartupGrace: &metav1.Duration{}}, time.Time{}
	state := Begin(check, now).Look(check, Answer{Said: "one"}, now)
	g.Expect(state.Said).To(Equal("one"), "while it is open the last look is told")
	state = state.Look(check, Answer{Said: "two"}, now).Look(check, Answer{Said: "three"}, now)
	g.Expect(state).To(Equal(State{Verdict: Unhealthy, Said: "two"}), "a text that changes with each look is not written each time")
	g.Expect(state.Look(check, Answer{Well: true, Said: "four"}, now)).To(Equal(State{Verdict: Healthy, Said: "four"}))
}

func TestAHostThatLetsNobodyAskIsUnhealthyAtOnce(t *testing.T) {
	g := NewWithT(t)
	check, now := &v1alpha1.HealthCheck{SuccessThreshold: 2}, time.Time{}
	state := Begin(check, now).Look(check, Answer{Refused: true, Said: "no"}, now)
	g.Expect(state).To(Equal(State{Verdict: Unhealthy, Refused: true, Said: "no"}))
	g.Expect(state.Reason()).To(Equal(v1alpha1.ReasonForwardingRefused))
	state = state.Look(check, Answer{Said: "503"}, now)
	g.Expect(state).To(Equal(State{Verdict: Unhealthy, Said: "503"}), "what it says once it can be asked is told")
	g.Expect(state.Reason()).To(Equal(v1alpha1.ReasonUnhealthy))
}

func TestDefaults(t *testing.T) {
	g := NewWithT(t)
	g.Expect(Interval(&v1alpha1.HealthCheck{})).To(Equal(5 * time.Second))
	g.Expect(Timeout(&v1alpha1.HealthCheck{})).To(Equal(5 * time.Second))
	g.Expect(Interval(&v1alpha1.HealthCheck{Interval: metav1.Duration{Duration: time.Millisecond}})).To(Equal(time.Second), "a host is not flooded")
	g.Expect(Begin(&v1alpha1.HealthCheck{}, time.Unix(0, 0)).GraceEnds).To(Equal(time.Unix(30, 0)))
}

func TestResponses(t *testing.T) {
	for name, test := range map[string]struct {
		check v1alpha1.HTTPCheck
		code  int
		body  string
		cut   string
		well  bool
		said  string
	}{
		"well":                   {code: 204, well: true, said: "GET http://127.0.0.1:80/: 204"},
		"a redirect is well":     {code: 399, well: true, said: "GET http://127.0.0.1:80/: 399"},
		"an error":               {code: 503, body: "down\x1b[31m\n", said: `GET http://127.0.0.1:80/: 503, wanted 200-399; body: "down\x1b[31m\n"`},
		"an error without words": {code: 400, said: "GET http://127.0.0.1:80/: 400, wanted 200-399; empty body"},
		"the codes that are wanted": {check: v1alpha1.HTTPCheck{Status: []v1alpha1.StatusRange{"204", "500-503"}}, code: 502, well: true,
			said: "GET http://127.0.0.1:80/: 502"},
		"other codes": {check: v1alpha1.HTTPCheck{Status: []v1alpha1.StatusRange{"204", "500-503"}}, code: 200, body: "hi",
			said: `GET http://127.0.0.1:80/: 200, wanted 204, 500-503; body: "hi"`},
		"the text": {check: v1alpha1.HTTPCheck{Scheme: "HTTPS", Path: "/a?b", Body: "pong"}, code: 200, body: "ping pong", well: true,
			said: "GET https://127.0.0.1:80/a?b: 200"},
		"another text": {check: v1alpha1.HTTPCheck{Body: "pong"}, code: 200, body: "ping", cut: "no end within 5s",
			said: `GET http://127.0.0.1:80/: 200, but the first 64 KiB of the body do not hold "pong" (no end within 5s); body: "ping"`},
		"the text too far behind": {check: v1alpha1.HTTPCheck{Body: "pong"}, code: 200, body: strings.Repeat("x", MaxBody-3) + "pong",
			said: `GET http://127.0.0.1:80/: 200, but the first 64 KiB of the body do not hold "pong"; body: "` + strings.Repeat("x", 200) + `"…`},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			test.check.Port = 80
			g.Expect(Response(&test.check, test.code, []byte(test.body), test.cut)).To(Equal(Answer{Well: test.well, Said: test.said}))
		})
	}
}

func TestExits(t *testing.T) {
	g := NewWithT(t)
	check := &v1alpha1.HealthCheck{Command: []string{"/usr/bin/check", "secret"}}
	g.Expect(Exit(check, 0, false, "all is well")).To(Equal(Answer{Well: true, Said: "command /usr/bin/check ended with exit code 0"}))
	g.Expect(Exit(check, 3, false, "no\tdatabase\n")).To(Equal(Answer{Said: `command /usr/bin/check ended with exit code 3: "no\tdatabase"`}))
	g.Expect(Exit(check, 0, true, "")).To(Equal(Answer{Said: "command /usr/bin/check did not end within 5s and was killed"}))
}

func TestConnections(t *testing.T) {
	g := NewWithT(t)
	check := &v1alpha1.TCPCheck{Port: 9000}
	g.Expect(Connection(check, "")).To(Equal(Answer{Well: true, Said: "connect to 127.0.0.1:9000: accepted"}))
	g.Expect(Connection(check, "Connection \"refused\"\r")).To(Equal(Answer{Said: `connect to 127.0.0.1:9000: Connection \"refused\"\r`}))
}

func FuzzStatus(f *testing.F) {
	for _, seed := range []string{"200", "200-399", "399-200", "99", "600", "2e2", "+20", "200-", "-200", "200-300-400", "", "２００"} {
		f.Add(seed, 200)
	}
	f.Fuzz(func(t *testing.T, text string, code int) {
		wanted, err := parseStatus(v1alpha1.StatusRange(text))
		if err != nil {
			if WantsStatus(&v1alpha1.HTTPCheck{Status: []v1alpha1.StatusRange{v1alpha1.StatusRange(text)}}, code) {
				t.Fatalf("%q is nonsense and wants %d", text, code)
			}
			return
		}
		if wanted.low < 100 || wanted.high > 599 || wanted.low > wanted.high || len(text) != 3 && len(text) != 7 {
			t.Fatalf("%q was read as %v", text, wanted)
		}
		is := wanted.low <= code && code <= wanted.high
		if WantsStatus(&v1alpha1.HTTPCheck{Status: []v1alpha1.StatusRange{v1alpha1.StatusRange(text)}}, code) != is {
			t.Fatalf("%q and %d", text, code)
		}
	})
}

func FuzzSaid(f *testing.F) {
	f.Add([]byte("\x00\x1b\xff"), "why\n")
	f.Fuzz(func(t *testing.T, body []byte, why string) {
		check := &v1alpha1.HTTPCheck{Port: 1, Body: "x"}
		for _, answer := range []Answer{Response(check, 500, body, why), Response(check, 200, body, why), NoResponse(check, why)} {
			if len(answer.Said) > 3000 || strings.ContainsFunc(answer.Said, unicode.IsControl) {
				t.Fatalf("%q", answer.Said)
			}
		}
	})
}
