// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// outcome is what a phase returns: a closed set. Phases never set conditions; the runner does, from this.
type outcome struct {
	kind    kind
	reason  string
	message string
	after   time.Duration
	// limit is how long the Release may wait for this reason before it fails; 0 is for ever, which only a person's
	// pause and waits with a deadline of their own may do.
	limit time.Duration
	err   error
}

type kind int

const (
	// advanced: the phase is done, the next one may begin.
	advanced kind = iota
	// waiting: somebody else has to do something; look again on an event or after a while.
	waiting
	// persisting: write the status first, then look again: what follows is an effect that needs the intent on record.
	persisting
	// retrying: something went wrong that may go right the next time.
	retrying
	// failed: the Release ends.
	failed
	// ended: the Release ends in another way than failure.
	ended
)

// defaultLimit bounds every wait and every retry that has no better limit.
const defaultLimit = time.Hour

// advance says that the phase is done. reason and message are for its condition.
func advance(reason, message string) outcome {
	return outcome{kind: advanced, reason: reason, message: message}
}

// wait says that the phase waits, and looks again after a while at the latest.
func wait(after time.Duration, reason, message string) outcome {
	return outcome{kind: waiting, after: after, reason: reason, message: message, limit: defaultLimit}
}

// within gives a wait or a retry another limit.
func (o outcome) within(limit time.Duration) outcome {
	o.limit = limit
	return o
}

// persist says that the status must be written before the phase goes on.
func persist(reason, message string) outcome {
	return outcome{kind: persisting, reason: reason, message: message, limit: defaultLimit}
}

// retry says that err may go away by itself. One who wrote at the same time is no error.
func retry(reason string, err error) outcome {
	if apierrors.IsConflict(err) {
		return wait(100*time.Millisecond, reason, "somebody else wrote at the same time; looking again")
	}
	return outcome{kind: retrying, reason: reason, message: err.Error(), err: err, limit: defaultLimit}
}

// fail ends the Release.
func fail(reason, message string) outcome {
	return outcome{kind: failed, reason: reason, message: message}
}

// end ends the Release with an outcome other than failure, such as Superseded.
func end(reason, message string) outcome {
	return outcome{kind: ended, reason: reason, message: message}
}
