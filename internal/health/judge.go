// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

const (
	// MaxBody is how much of a response is searched for the text that a check wants.
	MaxBody = 64 << 10
	// excerpt is how much of what a host said is told to people.
	excerpt = 200
)

// URL of a check, as it is asked for on the host.
func URL(check *v1alpha1.HTTPCheck) string {
	path := check.Path
	if path == "" {
		path = "/"
	}
	scheme := "http"
	if check.Scheme == v1alpha1.SchemeHTTPS {
		scheme = "https"
	}
	return fmt.Sprintf("%s://127.0.0.1:%d%s", scheme, check.Port, path)
}

// Response judges the response to an HTTP check. body is its beginning, at most MaxBody; cut says why not all of that
// could be read, or is empty.
func Response(check *v1alpha1.HTTPCheck, code int, body []byte, cut string) Answer {
	body = body[:min(len(body), MaxBody)]
	said := fmt.Sprintf("GET %s: %d", URL(check), code)
	if !WantsStatus(check, code) {
		return Answer{Said: said + ", wanted " + wanted(check) + saidBody(body)}
	}
	if check.Body == "" || bytes.Contains(body, []byte(check.Body)) {
		return Answer{Well: true, Said: said}
	}
	said += fmt.Sprintf(", but the first 64 KiB of the body do not hold %q", check.Body)
	if cut != "" {
		said += " (" + Excerpt(cut) + ")"
	}
	return Answer{Said: said + saidBody(body)}
}

// NoResponse is the answer of a port that gave none.
func NoResponse(check *v1alpha1.HTTPCheck, why string) Answer {
	return Answer{Said: fmt.Sprintf("GET %s: %s", URL(check), Excerpt(why))}
}

// Connection judges a TCP check. why says why there was none, or is empty.
func Connection(check *v1alpha1.TCPCheck, why string) Answer {
	said := fmt.Sprintf("connect to 127.0.0.1:%d", check.Port)
	if why != "" {
		return Answer{Said: said + ": " + Excerpt(why)}
	}
	return Answer{Well: true, Said: said + ": accepted"}
}

// Exit judges a command: its exit code, whether it was killed at its limit, and what it printed.
func Exit(check *v1alpha1.HealthCheck, code int, late bool, printed string) Answer {
	said := "command " + Excerpt(check.Command[0])
	switch {
	case late:
		said += fmt.Sprintf(" did not end within %s and was killed", Timeout(check))
	default:
		said += fmt.Sprintf(" ended with exit code %d", code)
	}
	if printed = strings.TrimSpace(printed); printed != "" && (late || code != 0) {
		said += ": " + quote(printed)
	}
	return Answer{Well: code == 0 && !late, Said: said}
}

// saidBody tells the beginning of a body.
func saidBody(body []byte) string {
	if len(body) == 0 {
		return "; empty body"
	}
	return "; body: " + quote(string(body))
}

// quote puts the beginning of a text between quotes, with control characters escaped.
func quote(text string) string {
	if len(text) <= excerpt {
		return strconv.Quote(text)
	}
	return strconv.Quote(strings.ToValidUTF8(text[:excerpt], "")) + "…"
}

// Excerpt is the beginning of a text that a host sent, with control characters escaped.
func Excerpt(text string) string {
	quoted := quote(text)
	end := strings.LastIndexByte(quoted, '"')
	return quoted[1:end] + quoted[end+1:]
}
