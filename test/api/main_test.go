// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package api holds the tests of the API's own rules, asked of a real API server.
package api

import (
	"testing"

	"github.com/slipway-dev/slipway/test/env"
)

func TestMain(m *testing.M) { env.Main(m) }
