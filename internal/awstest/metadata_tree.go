// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package awstest

import (
	"fmt"
	"net/netip"
	"strings"
)

// What the mock says of every instance and is true of ours. Its other answers are about another instance, or would tell ours that
// it is a spot instance about to end.
var sameForAll = []string{
	"dynamic/fws/instance-monitoring",
	"meta-data/ami-launch-index",
	"meta-data/ami-manifest-path",
	"meta-data/block-device-mapping/ami",
	"meta-data/block-device-mapping/root",
	"meta-data/instance-action",
	"meta-data/instance-life-cycle",
	"meta-data/services/domain",
	"meta-data/services/partition",
}

// metadataTree is what an instance's metadata service serves, by path beneath the version; nil is what the mock says.
func (c *Cloud) metadataTree(instanceID string) (map[string][]byte, error) {
	signature, err := c.IdentityDocument(instanceID)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.instances[instanceID]
	if i == nil {
		return nil, fmt.Errorf("awstest: there is no instance %s", instanceID)
	}
	tree := map[string][]byte{
		"dynamic/instance-identity/document": identityOf(i),
		"dynamic/instance-identity/rsa2048":  signature,
	}
	for _, path := range sameForAll {
		tree[path] = nil
	}
	if len(i.UserData) > 0 {
		tree["user-data"] = i.UserData // there is none at all otherwise: 404
	}
	said := describedAs(i)
	set := func(folder string, values map[string]string) {
		for name, value := range values {
			if value != "" {
				tree["meta-data/"+folder+name] = []byte(value)
			}
		}
	}
	mac := MAC(i.PrivateIP)
	set("", map[string]string{
		"ami-id": Image, "hostname": said.DNS, "instance-id": i.ID, "instance-type": i.Type, "local-hostname": said.DNS, "local-ipv4": i.PrivateIP,
		"mac": mac, "placement/availability-zone": i.Zone, "placement/region": i.Region, "public-ipv4": i.PublicIP,
		"reservation-id": i.Reservation, "security-groups": "default",
	})
	if subnet := subnetOf(i.PrivateIP); subnet != "" {
		set("network/interfaces/macs/"+mac+"/", map[string]string{
			"device-number": "0", "interface-id": "eni-" + strings.TrimPrefix(i.ID, "i-"), "local-hostname": said.DNS, "local-ipv4s": i.PrivateIP,
			"mac": mac, "owner-id": Account, "public-ipv4s": i.PublicIP, "security-groups": "default", "subnet-ipv4-cidr-block": subnet,
			"vpc-id": "vpc-0123456789abcdef0", "vpc-ipv4-cidr-block": subnet, "vpc-ipv4-cidr-blocks": subnet,
		})
	}
	for key, value := range i.Tags {
		if !strings.ContainsAny(key, "/ ") { // EC2 shows no instance's tags with such a key
			tree["meta-data/tags/instance/"+key] = []byte(value)
		}
	}
	return tree, nil
}

// MAC is the address of an instance's interface, for whoever makes one: from its private IPv4 address; empty without one.
func MAC(privateIP string) string {
	address, err := netip.ParseAddr(privateIP)
	if err != nil || !address.Is4() {
		return ""
	}
	ip := address.As4()
	return fmt.Sprintf("0a:00:%02x:%02x:%02x:%02x", ip[0], ip[1], ip[2], ip[3])
}

// subnetOf an address: a /20, as EC2's default subnets are.
func subnetOf(privateIP string) string {
	address, err := netip.ParseAddr(privateIP)
	if err != nil {
		return ""
	}
	return netip.PrefixFrom(address, 20).Masked().String()
}
