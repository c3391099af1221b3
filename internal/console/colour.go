// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"html/template"
	"strconv"
	"strings"
	"unicode/utf8"
)

// colour makes one line of a log safe for a page: of what steers terminals the colours of SGR stay (ECMA-48, 8.3.117), as classes,
// and all else goes.
func colour(line []byte) template.HTML {
	cut := len(line) > maxLine
	if cut {
		line = line[:maxLine]
	}
	text := strings.ToValidUTF8(string(line), "\uFFFD")
	var out strings.Builder
	open := ""
	style := func(class string) {
		if class == open {
			return
		}
		if open != "" {
			out.WriteString("</span>")
		}
		if class != "" {
			out.WriteString(`<span class="` + class + `">`)
		}
		open = class
	}
	current := sgr{}
	for len(text) > 0 {
		if text[0] == 0x1b {
			sequence, rest := escape(text)
			if codes, is := strings.CutPrefix(sequence, "\x1b["); is && strings.HasSuffix(codes, "m") {
				current.apply(strings.TrimSuffix(codes, "m"))
				style(current.class())
			}
			text = rest
			continue
		}
		r, n := utf8.DecodeRuneInString(text)
		text = text[n:]
		switch {
		case r == '\r' && text != "": // what was written over is gone on a terminal too
			out.Reset()
			open = ""
			style(current.class())
		case r == '\t':
			out.WriteString("    ")
		case r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x200e, r == 0x200f:
			// controls, and those that turn the direction of text
		default:
			out.WriteString(template.HTMLEscapeString(string(r)))
		}
	}
	style("")
	if cut {
		out.WriteString("…")
	}
	return template.HTML(out.String()) // escaped above, rune by rune
}

// escape splits an escape sequence off: CSI, OSC and the like with all that belongs to them.
func escape(text string) (sequence, rest string) {
	if len(text) < 2 {
		return text, ""
	}
	switch text[1] {
	case '[':
		for i := 2; i < len(text); i++ {
			if text[i] >= 0x40 && text[i] <= 0x7e {
				return text[:i+1], text[i+1:]
			}
			if text[i] < 0x20 || text[i] > 0x3f { // no sequence after all
				return text[:2], text[2:]
			}
		}
		return text, ""
	case ']', 'P', '_', '^', 'X':
		for i := 2; i < len(text); i++ {
			if text[i] == 0x07 {
				return text[:i+1], text[i+1:]
			}
			if text[i] == 0x1b && i+1 < len(text) && text[i+1] == '\\' {
				return text[:i+2], text[i+2:]
			}
		}
		return text, ""
	}
	return text[:2], text[2:]
}

// sgr is how text looks.
type sgr struct {
	bold   bool
	colour int // 0: the default; else 1 to 8
}

func (s *sgr) apply(codes string) {
	if codes == "" {
		*s = sgr{}
		return
	}
	list := strings.Split(codes, ";")
	for i := 0; i < len(list); i++ {
		code, err := strconv.Atoi(list[i])
		switch {
		case err != nil && list[i] == "", code == 0 && err == nil:
			*s = sgr{}
		case err != nil:
		case code == 1:
			s.bold = true
		case code == 22:
			s.bold = false
		case code >= 30 && code <= 37:
			s.colour = code - 29
		case code >= 90 && code <= 97:
			s.colour = code - 89
		case code == 39:
			s.colour = 0
		case code == 38 || code == 48: // 256 or true colours: their values are no codes
			if i+1 < len(list) && list[i+1] == "5" {
				i += 2
			} else {
				i += 4
			}
		}
	}
}

func (s *sgr) class() string {
	class := ""
	if s.bold {
		class = "sb"
	}
	if s.colour > 0 {
		class = strings.TrimSpace(class + " s" + strconv.Itoa(s.colour))
	}
	return class
}
