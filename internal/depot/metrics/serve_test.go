// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestOnlyLoopbackIsServedToAnybody(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:8083": true, "[::1]:8083": true, "localhost:8083": true, "127.9.9.9:1": true,
		":8443": false, "0.0.0.0:8443": false, "[::]:8443": false, "10.0.0.1:8443": false, "depot.example.com:8443": false, "127.0.0.1": false,
	} {
		t.Run(address, func(t *testing.T) { NewWithT(t).Expect(onLoopback(address)).To(Equal(want)) })
	}
}
