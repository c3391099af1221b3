// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// Headers that a delivery proves itself with. GitHub's and GitLab's are from their manuals ("Validating webhook deliveries",
// "Webhooks: validate payloads by using a secret token").
const (
	headerGitHub    = "X-Hub-Signature-256"
	headerGitLab    = "X-Gitlab-Token"
	headerSignature = "X-Slipway-Signature"
	headerTimestamp = "X-Slipway-Timestamp"
)

// skew is how far the time of a Generic delivery may be from this machine's.
const skew = 5 * time.Minute

// verified says whether body was sent by who knows secret. All comparisons take the same time whatever differs.
func verified(provider v1alpha1.WebhookProvider, secret []byte, header http.Header, body []byte, now time.Time) bool {
	switch provider {
	case v1alpha1.WebhookGitHub:
		return signed(header.Get(headerGitHub), secret, body)
	case v1alpha1.WebhookGitLab:
		// Of equal length, so that the secret's is not told either.
		given, want := sha256.Sum256([]byte(header.Get(headerGitLab))), sha256.Sum256(secret)
		return subtle.ConstantTimeCompare(given[:], want[:]) == 1
	case v1alpha1.WebhookGeneric:
		timestamp := header.Get(headerTimestamp)
		ok := signed(header.Get(headerSignature), secret, []byte(timestamp+"."), body)
		return recent(timestamp, now) && ok
	}
	return false
}

// signed says whether signature is "sha256=" and the HMAC of the parts in hex.
func signed(signature string, secret []byte, parts ...[]byte) bool {
	mac := hmac.New(sha256.New, secret)
	for _, part := range parts {
		_, _ = mac.Write(part) // never fails
	}
	digits, ok := strings.CutPrefix(signature, "sha256=")
	given, err := hex.DecodeString(digits)
	return hmac.Equal(given, mac.Sum(nil)) && ok && err == nil
}

// recent says whether text is a time, in seconds since 1970, that is not far from now.
func recent(text string, now time.Time) bool {
	if len(text) > 12 || strings.Trim(text, "0123456789") != "" {
		return false
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	return err == nil && time.Unix(seconds, 0).Sub(now).Abs() <= skew
}
