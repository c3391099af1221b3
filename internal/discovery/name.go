// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// maxPrefix bounds the readable part of a Target's name, so that the name with its hash stays far below 253 bytes.
const maxPrefix = 200

// TargetName names the Target of a host: a prefix for people and a hash of the Service's UID and the host's ID, so
// that a Service that is deleted and made anew never takes over a Target of the old one by name.
func TargetName(service string, serviceUID v1alpha1.UID, hostID string) string {
	sum := sha256.Sum256([]byte(string(serviceUID) + "\x00" + hostID))
	return readable(service+"-"+hostID) + "-" + hex.EncodeToString(sum[:5])
}

// readable makes a text fit for the start of an object's name.
func readable(text string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(text) {
		if (r >= 'a' && r <= 'z') || (r >= '0' && r <= '9') {
			b.WriteRune(r)
		} else {
			b.WriteByte('-')
		}
		if b.Len() == maxPrefix {
			break
		}
	}
	prefix := strings.Trim(b.String(), "-")
	if prefix == "" {
		return "host"
	}
	return prefix
}
