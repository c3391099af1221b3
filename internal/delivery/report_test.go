// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// ticking is a clock that moves by 5 ms whenever it is read.
func ticking() func() time.Time {
	now := time.Unix(1_000_000, 0)
	return func() time.Time {
		now = now.Add(5 * time.Millisecond)
		return now
	}
}

func TestReport(t *testing.T) {
	g := NewWithT(t)
	var begun []string
	pulled := 0
	r := &report{now: ticking(), progress: func(step string) { begun = append(begun, step) }, pulled: func() { pulled++ }}
	g.Expect(r.read(strings.NewReader(`Welcome to web-1!
{"begin":"Fence"}
{"begin":"Pull"}
{"bytes":10}
{"note":"mending: a"}
{"bytes":5}
{"pulled":true}
{"prune":"can't remove x"}
{"done":{"digest":"sha256:aa","fence":7},"state":{"owner":"o","service":"s","fence":7,"switchedFence":7,"digest":"sha256:aa","since":12,"held":["sha256:aa"],"drift":{"reason":"Nonsense","message":"m"}}}
`))).To(Succeed())
	g.Expect(begun).To(Equal([]string{"Fence", "Pull"}))
	g.Expect(r.steps).To(Equal([]v1alpha1.DeliveryStep{{Name: "Fence", Milliseconds: 5}, {Name: "Pull", Milliseconds: 5, Message: "mending: a"}}))
	g.Expect(r.bytes).To(Equal(int64(15)))
	g.Expect(pulled).To(Equal(1))
	g.Expect(r.prune).To(Equal("can't remove x"))
	g.Expect(r.noise).To(Equal("Welcome to web-1!"))
	g.Expect(*r.done).To(Equal(doneLine{Digest: "sha256:aa", Fence: 7}))
	o := r.state.observation("key")
	g.Expect(o.Owner).To(Equal(&v1alpha1.PathOwner{OwnerID: "o", ServiceUID: "s"}))
	g.Expect(o.Since).To(Equal(time.Unix(12, 0)))
	g.Expect(o.Drift).To(Equal(&Drift{Reason: v1alpha1.ReasonContentChanged, Message: "m"}))
}

func TestReportIsBounded(t *testing.T) {
	g := NewWithT(t)
	g.Expect((&report{now: ticking()}).read(strings.NewReader(strings.Repeat("x", maxLine+1)))).To(MatchError(errTooLong))
	g.Expect((&report{now: ticking()}).read(strings.NewReader(strings.Repeat("{}\n", maxReport)))).To(MatchError(errTooLong))
	r := &report{now: ticking()}
	g.Expect(r.read(strings.NewReader(strings.Repeat(`{"begin":"Again"}`+"\n", 1000)))).To(Succeed())
	g.Expect(len(r.steps)).To(Equal(maxSteps))
}

func TestScriptFailureGivesKnownReasonsOnly(t *testing.T) {
	g := NewWithT(t)
	g.Expect(scriptFailure(&report{fail: &failLine{Reason: "Made up"}}).Reason).To(Equal(v1alpha1.ReasonDeliveryFailed))
	g.Expect(scriptFailure(&report{fail: &failLine{Reason: "DiskFull"}}).Reason).To(Equal(v1alpha1.ReasonDiskFull))
}

func FuzzReport(f *testing.F) {
	f.Add([]byte(`{"begin":"Pull"}` + "\n" + `{"state":{"held":["a"]}}`))
	f.Add([]byte(`{"fail":{"step":"Switch","fence":-1}}`))
	f.Add([]byte("{\"note\":\"\xff\"}\nnoise"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &report{now: ticking()}
		_ = r.read(strings.NewReader(string(data)))
		if len(r.steps) > maxSteps || r.bytes < 0 {
			t.Fatalf("out of bounds: %d steps, %d bytes", len(r.steps), r.bytes)
		}
		if r.state != nil {
			o := r.state.observation("")
			if o.Fence < 0 || len(o.Held) > maxHeld || len(o.Digest) > maxText || !utf8.ValidString(o.Digest) {
				t.Fatalf("out of bounds: %+v", o)
			}
		}
		if r.fail != nil && !reasons[scriptFailure(r).Reason] {
			t.Fatal("a reason that is not documented")
		}
	})
}
