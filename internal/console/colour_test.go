// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestLinesOfALog(t *testing.T) {
	for name, c := range map[string]struct{ line, want string }{
		"text is text":                     {`<script>alert("1")</script> & 'x'`, `&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt; &amp; &#39;x&#39;`},
		"colours stay":                     {"\x1b[32mok\x1b[0m then", `<span class="s3">ok</span> then`},
		"bold and bright":                  {"\x1b[1;91mbad\x1b[m", `<span class="sb s2">bad</span>`},
		"a style that is not ended":        {"\x1b[31mbad", `<span class="s2">bad</span>`},
		"256 colours are no other codes":   {"\x1b[38;5;31mx\x1b[48;2;1;31;32my", `xy`},
		"what moves the cursor goes":       {"a\x1b[2Jb\x1b[10;10Hc", `abc`},
		"titles and links of terminals go": {"\x1b]0;title\x07a\x1b]8;;http://evil\x1b\\b\x1b]8;;\x1b\\", `ab`},
		"a sequence that never ends":       {"a\x1b]0;title", `a`},
		"a progress bar":                   {"10%\r50%\r100%\r", `100%`},
		"controls go":                      {"a\x00\x07\x08b\u202ec\u2066d", `abcd`},
		"broken bytes":                     {"a\xffb", "a\uFFFDb"},
		"a tab":                            {"a\tb", "a    b"},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(string(colour([]byte(c.line)))).To(Equal(c.want))
		})
	}
}

// tag is all that a line may hold of HTML.
var tag = regexp.MustCompile(`^(?:[^<>"']|<span class="(?:sb|s[1-8]|sb s[1-8])">|</span>)*$`)

func FuzzLinesOfALog(f *testing.F) {
	for _, seed := range []string{"plain", "\x1b[31m<b>\x1b[0m", "\x1b]8;;javascript:alert(1)\x07x", "a\rb", "\x1b[38;5;\x1b[1m", "\x1bP\x1b\\", strings.Repeat("\x1b[1m\x1b[31mx", 50)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		html := string(colour(line))
		if !tag.MatchString(html) {
			t.Fatalf("%q makes %q", line, html)
		}
		if strings.Count(html, "<span") != strings.Count(html, "</span>") {
			t.Fatalf("%q leaves something open: %q", line, html)
		}
	})
}
