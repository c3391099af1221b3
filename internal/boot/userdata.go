// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package boot is what a host does by itself when it starts: the user-data that asks the depot what to run, and what the
// depot answers. It is pure; package depot/boot acts on it.
package boot

import (
	_ "embed"
	"fmt"
	"strings"
	"text/template"

	"github.com/slipway-dev/slipway/internal/delivery"
	"github.com/slipway-dev/slipway/internal/depot"
)

// User is the user name at the depot of a host that boots. Any key logs in as it: what it may do is decided afterwards.
const User = "boot"

// Limit is what user-data of ours may have, in bytes. EC2 takes 16 KB, before base64, and a host has other things to say:
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html
const Limit = 4096

//go:embed stub.sh
var stub string

//go:embed boot.sh
var script string

var (
	stubTemplate   = template.Must(template.New("stub").Parse(stub))
	scriptTemplate = template.Must(template.New("boot").Parse(script))
)

// UserData is what a host's user-data has to hold: a boothook of cloud-init. It names the depot and the authorities that
// prove it, and no secret.
func UserData(endpoint depot.Endpoint) (string, error) {
	if _, err := delivery.KnownHosts(endpoint); err != nil {
		return "", err
	}
	var known strings.Builder
	for _, authority := range endpoint.HostCAs {
		known.WriteString("@cert-authority * " + strings.TrimSpace(authority) + "\n") // the file is for depots alone
	}
	var boot, all strings.Builder
	if err := scriptTemplate.Execute(&boot, struct{ Command string }{strings.TrimPrefix(delivery.Command, "exec ")}); err != nil {
		return "", fmt.Errorf("write the user-data: %w", err)
	}
	err := stubTemplate.Execute(&all, struct{ Depots, KnownHosts, Boot string }{
		Depots: fmt.Sprintf("%s %d\n", endpoint.Host, endpoint.Port), KnownHosts: known.String(), Boot: boot.String(),
	})
	if err != nil {
		return "", fmt.Errorf("write the user-data: %w", err)
	}
	if all.Len() > Limit {
		return "", fmt.Errorf("the user-data has %d bytes, more than %d: the depot's advertised name %q is too long", all.Len(), Limit, endpoint.Host)
	}
	return all.String(), nil
}
