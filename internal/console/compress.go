// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
)

// minCompressed is the size below which compressing gains nothing.
const minCompressed = 1 << 10

// compressible says whether a browser takes gzip. Nothing secret is ever written beside what others choose, so that the size of an
// answer tells them nothing (BREACH): there are no tokens in pages.
func compressible(r *http.Request) bool {
	for one := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, parameters, _ := strings.Cut(strings.TrimSpace(one), ";")
		if name == "gzip" && strings.TrimSpace(parameters) != "q=0" {
			return true
		}
	}
	return false
}

// writeBody answers with a body, compressed where that is worth it.
func writeBody(w http.ResponseWriter, r *http.Request, code int, body []byte) {
	if len(body) >= minCompressed && compressible(r) {
		var small bytes.Buffer
		z := gzip.NewWriter(&small)
		_, err := z.Write(body)
		if err == nil && z.Close() == nil {
			w.Header().Set("Content-Encoding", "gzip")
			body = small.Bytes()
		}
	}
	w.WriteHeader(code)
	_, _ = w.Write(body)
}
