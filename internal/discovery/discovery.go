// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package discovery says which hosts a Service has. It is pure: sources in, hosts out.
package discovery

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// maxPrefix bounds the readable part of a Target's name, so that the name with its hash stays far below 253 bytes.
const maxPrefix = 200

// Hosts lists the hosts that the sources name, in the order of the sources. A host without a port of its own gets
// defaultPort. One host is listed once, also if two sources name it, or if two names have one address and port; each
// further mention is said in duplicates, in words. The first mention counts.
func Hosts(sources []v1alpha1.TargetSource, defaultPort int32) (hosts []v1alpha1.TargetHost, duplicates []string) {
	byID := map[string]bool{}
	byAddress := map[string]string{}
	for _, source := range sources {
		for _, static := range source.Hosts {
			host := v1alpha1.TargetHost{ID: static.Name, Name: static.Name, Address: static.Address, Port: defaultPort}
			if static.Port != nil {
				host.Port = *static.Port
			}
			if byID[host.ID] {
				duplicates = append(duplicates, fmt.Sprintf("%s is listed twice", host.Name))
				continue
			}
			address := canonicalAddress(host)
			if first, taken := byAddress[address]; taken {
				duplicates = append(duplicates, fmt.Sprintf("%s has the address of %s (%s)", host.Name, first, address))
				continue
			}
			byID[host.ID] = true
			byAddress[address] = host.Name
			hosts = append(hosts, host)
		}
	}
	return hosts, duplicates
}

// canonicalAddress spells one address one way: ::1 and 0:0:0:0:0:0:0:1 are the same host, and so are Web and web.
func canonicalAddress(host v1alpha1.TargetHost) string {
	address := strings.ToLower(strings.TrimSuffix(host.Address, "."))
	if ip, err := netip.ParseAddr(address); err == nil {
		address = ip.Unmap().String()
	}
	return net.JoinHostPort(address, strconv.Itoa(int(host.Port)))
}

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
