// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import "context"

// runConsole keeps the console's place: it has no pages yet, only its health.
func runConsole(ctx context.Context, address string, ready func()) error {
	return serveHealth(ctx, address, func() error { return nil }, ready)
}
