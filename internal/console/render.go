// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/gitsource"
	"github.com/slipway-dev/slipway/internal/rollout"
)

//go:embed templates/*.html
var templates embed.FS

//go:embed catalogue/*.json
var catalogues embed.FS

//go:embed static/*
var static embed.FS

// languages that there is a catalogue of; the first is the default.
var languages = []string{"en", "ja"}

// renderer makes pages of templates, in a language.
type renderer struct {
	words map[string]map[string]string
	pages map[string]*template.Template
}

func newRenderer() (*renderer, error) {
	r := &renderer{words: map[string]map[string]string{}, pages: map[string]*template.Template{}}
	for _, language := range languages {
		data, err := catalogues.ReadFile("catalogue/" + language + ".json")
		if err != nil {
			return nil, err
		}
		words := map[string]string{}
		if err := json.Unmarshal(data, &words); err != nil {
			return nil, fmt.Errorf("catalogue %s: %w", language, err)
		}
		r.words[language] = words
		t, err := template.New(language).Option("missingkey=error").Funcs(r.functions(language)).ParseFS(templates, "templates/*.html")
		if err != nil {
			return nil, err
		}
		r.pages[language] = t
	}
	return r, nil
}

func (r *renderer) execute(w io.Writer, language, name string, data any) error {
	var out bytes.Buffer
	if err := r.pages[language].ExecuteTemplate(&out, name, data); err != nil {
		return err
	}
	_, err := w.Write(withoutDirections(out.Bytes()))
	return err
}

// withoutDirections takes out what turns the direction of text around: with it a text reads as another than it is
// (https://trojansource.codes).
func withoutDirections(html []byte) []byte {
	if !bytes.Contains(html, []byte("\xe2\x80")) && !bytes.Contains(html, []byte("\xe2\x81")) { // with which all of them begin
		return html
	}
	return bytes.Map(func(r rune) rune {
		if strings.ContainsRune(directions, r) {
			return -1
		}
		return r
	}, html)
}

// capital begins a sentence of a controller with a capital letter, unless its first word is a name: php:8.3-cli, web-1.
func capital(text string) string {
	word, _, _ := strings.Cut(text, " ")
	if strings.ContainsFunc(word, func(r rune) bool { return r < 'a' || r > 'z' }) || word == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// directions are Unicode's explicit embeddings, overrides and isolates.
const directions = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"

// gate is what waits at a gate, or holds a Release, in words.
func (r *renderer) gate(language, name string) string {
	if step, is := strings.CutPrefix(name, "Step-"); is {
		return r.text(language, "gate.step", step)
	}
	return r.text(language, "gate."+name)
}

// plurals are {0:host|hosts}: the first word where the value is 1, the second elsewhere.
var plurals = regexp.MustCompile(`\{(\d):([^|{}]*)\|([^|{}]*)\}`)

// text is a phrase of the catalogue, with {0}, {1} … filled in. One that is missing is shown by its key, and a test finds it.
func (r *renderer) text(language, key string, values ...any) string {
	phrase, known := r.words[language][key]
	if !known {
		return key
	}
	phrase = plurals.ReplaceAllStringFunc(phrase, func(found string) string {
		m := plurals.FindStringSubmatch(found)
		if i := int(m[1][0] - '0'); i < len(values) && fmt.Sprint(values[i]) == "1" {
			return m[2]
		}
		return m[3]
	})
	pairs := make([]string, 0, 2*len(values))
	for i, value := range values {
		pairs = append(pairs, "{"+strconv.Itoa(i)+"}", fmt.Sprint(value))
	}
	return strings.NewReplacer(pairs...).Replace(phrase)
}

// functions that templates have.
func (r *renderer) functions(language string) template.FuncMap {
	t := func(key string, values ...any) string { return r.text(language, key, values...) }
	return template.FuncMap{
		"t":        t,
		"language": func() string { return language },
		// foreign: the controllers speak English. Who reads another language is told in his own first.
		"foreign":  func() bool { return language != "en" },
		"gate":     func(name string) string { return r.gate(language, name) },
		"short":    short,
		"when":     func(at any) moment { return r.moment(language, at) },
		"duration": duration,
		"path":     url.PathEscape,
		"query":    url.QueryEscape,
		"add":      func(a, b int) int { return a + b },
		"percent": func(part, of int32) int {
			if of <= 0 {
				return 0
			}
			return int(100 * int64(part) / int64(of))
		},
		"bytes":   size,
		"icon":    icon,
		"asset":   asset,
		"capital": capital,
		"first":   firstRows,
		"others":  otherRows,
		// step is the glyph of a step of a delivery.
		"step": func(name, failed string) string {
			if name == failed {
				return "cross"
			}
			return "check"
		},
		"milliseconds": milliseconds,
		"begun":        begun,
		"program":      program,
		"revision":     revision,
		"label":        rollout.Label,
		"ref": func(name string) struct{ Kind, Name string } {
			if tag, is := strings.CutPrefix(name, "refs/tags/"); is {
				return struct{ Kind, Name string }{"tag", tag}
			}
			return struct{ Kind, Name string }{"branch", strings.TrimPrefix(name, "refs/heads/")}
		},
		"dict": func(pairs ...any) map[string]any {
			m := map[string]any{}
			for i := 0; i+1 < len(pairs); i += 2 {
				m[fmt.Sprint(pairs[i])] = pairs[i+1]
			}
			return m
		},
	}
}

// icons are the drawings of glyphs, which fonts have in many shapes or not at all.
var icons = map[string]string{
	"○": "ring", "◔": "quarter", "◐": "half", "⧖": "hourglass", "‖": "pause", "✓": "check", "✕": "cross", "■": "stop", "↩": "back", "?": "question", "▲": "warning",
}

// icon draws a glyph, or what is called so.
func icon(glyph string) template.HTML {
	name := glyph
	if known := icons[glyph]; known != "" {
		name = known
	}
	return template.HTML(`<svg class="icon" aria-hidden="true"><use href="` + asset("icons.svg") + `#` + template.HTMLEscapeString(name) + `"/></svg>`)
}

// moment is a time for a <time> element: the script makes it local and relative, and without one it is readable.
type moment struct {
	ISO, Text string
}

func (r *renderer) moment(_ string, at any) moment {
	var value time.Time
	switch at := at.(type) {
	case time.Time:
		value = at
	case metav1.Time:
		value = at.Time
	case *metav1.Time:
		if at != nil {
			value = at.Time
		}
	}
	if value.IsZero() {
		return moment{}
	}
	return moment{ISO: value.UTC().Format(time.RFC3339), Text: value.UTC().Format("2006-01-02 15:04 UTC")}
}

// duration is one a person reads: 3m 5s, 2h 10m, 4d 3h.
func duration(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d < time.Second:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return strings.TrimSuffix(fmt.Sprintf("%dm %ds", d/time.Minute, d%time.Minute/time.Second), " 0s")
	case d < 24*time.Hour:
		return strings.TrimSuffix(fmt.Sprintf("%dh %dm", d/time.Hour, d%time.Hour/time.Minute), " 0m")
	}
	return strings.TrimSuffix(fmt.Sprintf("%dd %dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour), " 0h")
}

// milliseconds is a short time that a person reads: 84 ms, 1.9 s, 2m 5s.
func milliseconds(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d ms", n)
	case n < 60_000:
		return fmt.Sprintf("%.1f s", float64(n)/1000)
	}
	return duration(time.Duration(n) * time.Millisecond)
}

// size is one a person reads, in powers of 1024.
func size(n int64) string {
	units, value, i := []string{"B", "KiB", "MiB", "GiB", "TiB"}, float64(n), 0
	for value >= 1024 && i < len(units)-1 {
		value, i = value/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, units[i])
}

// revision is what a person asked for: the branch, where its commit was released, and not forty digits.
func revision(release *v1alpha1.Release) string {
	asked := string(release.Spec.Revision)
	switch {
	case !gitsource.IsCommit(asked):
		return asked
	case gitsource.CheckRevision(release.Annotations[annotationAsked]) == nil: // people write annotations, but none makes a tag of another
		return release.Annotations[annotationAsked]
	}
	return short(asked)
}

// short is a commit or a digest as people say it.
func short(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(8, len(id))]
}

// languageOf is what somebody chose, or else what his browser prefers.
func languageOf(r *http.Request) string {
	if cookie, err := r.Cookie("language"); err == nil {
		for _, language := range languages {
			if cookie.Value == language {
				return language
			}
		}
	}
	best, quality := languages[0], 0.0
	for one := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		tag, weight, _ := strings.Cut(strings.TrimSpace(one), ";q=")
		q, err := strconv.ParseFloat(weight, 64)
		if err != nil {
			q = 1
		}
		base, _, _ := strings.Cut(strings.ToLower(tag), "-")
		for _, language := range languages {
			if base == language && q > quality {
				best, quality = language, q
			}
		}
	}
	return best
}

// themeOf is light or dark if somebody chose; else the system's.
func themeOf(r *http.Request) string {
	if cookie, err := r.Cookie("theme"); err == nil && (cookie.Value == "light" || cookie.Value == "dark") {
		return cookie.Value
	}
	return "auto"
}

// keysOf is off for who does not want that single keys do something (WCAG 2.1.4), because he speaks to his computer.
func keysOf(r *http.Request) string {
	if cookie, err := r.Cookie("keys"); err == nil && cookie.Value == "off" {
		return "off"
	}
	return "on"
}

// settings keeps what somebody chose of language, theme and keys, in cookies that hold nothing else.
func (c *Console) settings(w http.ResponseWriter, r *http.Request) {
	for name, allowed := range map[string]string{"language": "en ja", "theme": "light dark auto", "keys": "on off"} {
		value := r.PostFormValue(name)
		if value == "" || !strings.Contains(" "+allowed+" ", " "+value+" ") {
			continue
		}
		http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: 365 * 24 * 3600, HttpOnly: true, Secure: c.secure, SameSite: http.SameSiteLaxMode})
	}
	http.Redirect(w, r, localPath(r.PostFormValue("next")), http.StatusSeeOther)
}

// kinds are the types of the files that there are.
var kinds = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

// assets are the sums of the files that pages load, by their names.
var assets = sync.OnceValue(func() map[string]string {
	sums := map[string]string{}
	files, _ := static.ReadDir("static")
	for _, file := range files {
		body, _ := static.ReadFile("static/" + file.Name())
		sums[file.Name()] = fmt.Sprintf("%x", crc32.ChecksumIEEE(body))
	}
	return sums
})

// asset is the address of a file that pages load. It changes with what is in the file, so that a new version's pages never meet an
// old version's script.
func asset(name string) string { return "/static/" + name + "?v=" + assets()[name] }

// static serves the files that pages load: for ever under the address that asset gives, for minutes under any other.
func (c *Console) static() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		kind, known := kinds[path.Ext(name)]
		body, err := static.ReadFile(name)
		if err != nil || !known {
			c.notFound(w, r)
			return
		}
		sum := assets()[path.Base(name)]
		tag, keep := `"`+sum+`"`, "public, max-age=300"
		if r.URL.Query().Get("v") == sum {
			keep = "public, max-age=31536000, immutable"
		}
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Cache-Control", keep)
		w.Header().Set("Vary", "Accept-Encoding")
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		writeBody(w, r, http.StatusOK, body)
	})
}
