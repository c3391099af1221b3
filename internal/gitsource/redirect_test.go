// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package gitsource

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/internal/depot"
)

// TestARedirectCarriesNoCredential has the repository's own server send git elsewhere, for which it need not even be
// hostile: the other server hears nothing of the credential, and the message says what to do.
func TestARedirectCarriesNoCredential(t *testing.T) {
	var asked, withCredential atomic.Int32
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Header.Get("Authorization") != "" {
			withCredential.Add(1)
		}
		w.Header().Set("WWW-Authenticate", "Basic realm=x")
		http.Error(w, "who are you", http.StatusUnauthorized)
	}))
	defer elsewhere.Close()
	for name, code := range map[string]int{"for now": http.StatusFound, "for ever": http.StatusMovedPermanently, "as it is": http.StatusTemporaryRedirect} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var credentials atomic.Int32
			server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "" {
					credentials.Add(1)
				}
				http.Redirect(w, r, elsewhere.URL+r.URL.RequestURI(), code)
			}))
			defer server.Close()
			bundle := filepath.Join(t.TempDir(), "ca.pem")
			block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
			g.Expect(os.WriteFile(bundle, block, 0o600)).To(Succeed())
			o, c := Options{CABundle: bundle}, depot.GitCredentials{Username: "ci", Password: "canary-secret"}

			_, resolving := NewResolver(o).Resolve(t.Context(), server.URL+"/x.git", "main", c)
			fetching := NewMirrors(t.TempDir(), o).Fetch(t.Context(), depot.MirrorRequest{
				Service: "svc", URL: server.URL + "/x.git", Commit: "0123456789012345678901234567890123456789", Credentials: c,
			})
			g.Expect(credentials.Load()).To(BeNumerically(">=", 2), "the repository's own server got it")
			for _, err := range []error{resolving, fetching} {
				g.Expect(err).To(MatchError(ErrUnreachable))
				g.Expect(err.Error()).To(And(ContainSubstring("redirect"), ContainSubstring("source.git.url")))
				g.Expect(err.Error()).NotTo(ContainSubstring("canary-secret"))
			}
			g.Expect(asked.Load()).To(BeZero(), "and the other one no request at all")
			g.Expect(withCredential.Load()).To(BeZero())
		})
	}
}
