// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/slipway-dev/slipway/internal/depot"
)

// textLine is one line as the build wrote it.
type textLine struct {
	number int
	text   []byte
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

// readNow does not wait for a log to grow.
func readNow(ctx context.Context, l *logReader) (lines []textLine, more, grows bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, commitsLimit)
	defer cancel()
	l.at.Now = true
	defer func() { l.at.Now = false }()
	return l.read(ctx)
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
