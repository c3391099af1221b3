// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"context"
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/metrics"
)

// deaf is a depot that can't be told anything for a while.
type deaf struct {
	Depot
	refusals, heard int
}

func (d *deaf) SetWord(context.Context, depot.Word) error {
	if d.refusals > 0 {
		d.refusals--
		return errors.New("not now")
	}
	d.heard++
	return nil
}

// A depot that is just starting is told a second later; one that stays away is left alone for longer and longer.
func TestTheDepotIsToldAgain(t *testing.T) {
	g, clock := NewWithT(t), clocktesting.NewFakeClock(time.Unix(1e9, 0))
	there := &deaf{refusals: 7}
	w := newWords(there, clock, metrics.New(nil))
	word := &depot.Word{Service: "uid", Name: "blog"}
	for _, seconds := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		g.Expect(w.tell(t.Context(), word)).To(Equal(seconds * time.Second))
		clock.Step(seconds*time.Second - time.Millisecond)
		left := there.refusals
		g.Expect(w.tell(t.Context(), word)).To(Equal(time.Millisecond))
		g.Expect(there.refusals).To(Equal(left), "it is left alone")
		clock.Step(time.Millisecond)
	}
	g.Expect(w.tell(t.Context(), word)).To(BeZero())
	g.Expect(w.tell(t.Context(), word)).To(BeZero())
	g.Expect(there.heard).To(Equal(1), "there was no news")
}
