// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"fmt"
	"strings"
)

const prefix = "sha256:"

// Hex is a digest's part that serves as a directory's name: 64 hex digits.
func Hex(digest string) (string, error) {
	hex, ok := strings.CutPrefix(digest, prefix)
	if !ok || len(hex) != 64 || strings.Trim(hex, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%w: %q is no digest (sha256: and 64 hex digits)", ErrInvalid, digest)
	}
	return hex, nil
}

// FromHex is the digest of a directory's name.
func FromHex(hex string) string { return prefix + hex }
