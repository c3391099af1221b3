// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"io"
	"os"
	"strings"
	"unicode"

	"golang.org/x/term"

	"github.com/slipway-dev/slipway/internal/phase"
)

// palette paints phases, where that is wanted. A phase is a glyph and a word in any case.
type palette bool

var colours = map[string]string{"good": "32", "bad": "31", "warn": "33", "busy": "34", "calm": "90"}

func (p palette) paint(is phase.Phase, text string) string {
	if !p {
		return text
	}
	return "\x1b[" + colours[is.Tone] + "m" + text + "\x1b[0m"
}

// screen is where output goes: a terminal of a size, or not one.
type screen struct {
	out            io.Writer
	terminal       bool
	lines, columns int
	palette        palette
}

// screenOf looks at an output. NO_COLOR, whatever it says, means no colours (https://no-color.org).
func screenOf(out io.Writer) screen {
	s := screen{out: out, lines: rowsShown}
	file, is := out.(*os.File)
	if !is || !term.IsTerminal(int(file.Fd())) {
		return s
	}
	s.terminal = true
	_, none := os.LookupEnv("NO_COLOR")
	s.palette = palette(!none && os.Getenv("TERM") != "dumb")
	if columns, lines, err := term.GetSize(int(file.Fd())); err == nil {
		s.lines, s.columns = lines, columns
	}
	return s
}

// plain takes out of a text what steers terminals, but for the colours that were put in here.
func plain(text string) string {
	var out strings.Builder
	for i, r := range text {
		switch {
		case r == 0x1b && ours(text[i:]):
			out.WriteRune(r)
		case unicode.IsSpace(r):
			out.WriteByte(' ')
		case unicode.IsPrint(r):
			out.WriteRune(r)
		}
	}
	return out.String()
}

// ours says whether a colour begins here that paint writes. What people wrote may look like one too, and does no more.
func ours(text string) bool {
	for _, code := range []string{"0", "32", "31", "33", "34", "90"} {
		if strings.HasPrefix(text, "\x1b["+code+"m") {
			return true
		}
	}
	return false
}

// fit cuts a line to so many columns, as far as each character takes one; 0 is any number. Colours take none.
func fit(line string, columns int) string {
	if columns <= 0 {
		return line
	}
	var out strings.Builder
	used, colour := 0, false
	for i := 0; i < len(line); {
		if line[i] == 0x1b {
			end := strings.IndexByte(line[i:], 'm')
			if end < 0 {
				break
			}
			out.WriteString(line[i : i+end+1])
			i, colour = i+end+1, true
			continue
		}
		r := []rune(line[i:min(len(line), i+4)])[0]
		if used == columns-1 && len([]rune(line[i:])) > 1 {
			out.WriteString("…")
			break
		}
		out.WriteRune(r)
		i, used = i+len(string(r)), used+1
	}
	if colour {
		out.WriteString("\x1b[0m")
	}
	return out.String()
}
