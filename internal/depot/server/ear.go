// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"io"
	"sync/atomic"

	"golang.org/x/crypto/ssh"
)

// ear listens to a receiving rsync for the words that say that the disk is full. They come on standard error, or inside
// the protocol, in clear, while that still works.
type ear struct {
	ssh.Channel
	full     atomic.Bool
	out, err heard
}

func listen(ch ssh.Channel) *ear {
	e := &ear{Channel: ch}
	e.out = heard{ReadWriter: ch, full: &e.full}
	e.err = heard{ReadWriter: ch.Stderr(), full: &e.full}
	return e
}

func (e *ear) Write(p []byte) (int, error) { return e.out.Write(p) }

func (e *ear) Stderr() io.ReadWriter { return &e.err }

// heard is one of the two streams.
type heard struct {
	io.ReadWriter
	last []byte
	full *atomic.Bool
}

// fullWords are the C library's words, as rsync repeats them.
var fullWords = [][]byte{[]byte("No space left on device"), []byte("Disk quota exceeded")}

func (h *heard) Write(p []byte) (int, error) {
	const overlap = 32 // the words may lie across two writes
	h.last = append(h.last, p...)
	for _, word := range fullWords {
		if bytes.Contains(h.last, word) {
			h.full.Store(true)
		}
	}
	h.last = append(h.last[:0], h.last[max(0, len(h.last)-overlap):]...)
	return h.ReadWriter.Write(p)
}
