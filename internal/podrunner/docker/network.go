// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/network"
)

const (
	defaultNetwork = "slipway-builds"
	bridgeName     = "com.docker.network.bridge.name"
)

// metadata are the addresses at which clouds give credentials of the machine to whoever asks, by the program that
// keeps containers from them.
var metadata = map[string]string{"iptables": "169.254.169.254/32", "ip6tables": "fd00:ec2::254/128"}

// ensureNetwork makes the network of builds if it is not there and returns the name of its bridge. Containers on it do
// not see each other, and have no IPv6.
func (r *Runner) ensureNetwork(ctx context.Context) (bridge string, err error) {
	found, err := r.engine.NetworkInspect(ctx, r.Network, network.InspectOptions{})
	if cerrdefs.IsNotFound(err) {
		_, failed := r.engine.NetworkCreate(ctx, r.Network, network.CreateOptions{Driver: "bridge", Options: map[string]string{
			bridgeName: r.Network, "com.docker.network.bridge.enable_icc": "false"}})
		// Another installation may have made it meanwhile.
		if found, err = r.engine.NetworkInspect(ctx, r.Network, network.InspectOptions{}); err != nil && failed != nil {
			return "", fmt.Errorf("make the network %q of builds: %w", r.Network, failed)
		}
	}
	if err != nil {
		return "", fmt.Errorf("inspect the network %q of builds: %w", r.Network, err)
	}
	if name := found.Options[bridgeName]; name != "" {
		return name, nil
	}
	return "br-" + found.ID[:12], nil // as Docker names what nobody named
}

// blockMetadata drops what comes from the bridge and is for the metadata service. It is dropped in the table raw,
// before any address translation and whether the service is elsewhere or on this machine. Done again it changes nothing.
func blockMetadata(ctx context.Context, bridge string) error {
	if _, err := net.InterfaceByName(bridge); err != nil {
		return fmt.Errorf("nothing keeps builds from a cloud's metadata service: their network is not on this machine (no interface %q); "+
			"where the engine runs, drop what containers send to %s",
			bridge, metadata["iptables"])
	}
	for _, program := range []string{"iptables", "ip6tables"} {
		rule := []string{"PREROUTING", "-i", bridge, "-d", metadata[program], "-j", "DROP"}
		if exec.CommandContext(ctx, program, append([]string{"-w", "5", "-t", "raw", "-C"}, rule...)...).Run() == nil {
			continue
		}
		out, err := exec.CommandContext(ctx, program, append([]string{"-w", "5", "-t", "raw", "-I"}, rule...)...).CombinedOutput()
		switch {
		case err == nil:
		case program == "ip6tables": // the network has no IPv6: this is for one that somebody else made
		default:
			return fmt.Errorf("nothing keeps builds from a cloud's metadata service at %s: %s failed (%w: %s); install iptables and run slipway as root",
				metadata[program], program, err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}
