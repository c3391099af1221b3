// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package awstest

import (
	"encoding/xml"
	"path"
	"slices"
	"strings"
)

type tag struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

type describedInstance struct {
	ID        string `xml:"instanceId"`
	Image     string `xml:"imageId"`
	State     string `xml:"instanceState>name"`
	StateCode int    `xml:"instanceState>code"`
	DNS       string `xml:"privateDnsName"`
	PrivateIP string `xml:"privateIpAddress,omitempty"`
	PublicIP  string `xml:"ipAddress,omitempty"`
	Type      string `xml:"instanceType"`
	Launched  string `xml:"launchTime"`
	Zone      string `xml:"placement>availabilityZone"`
	Tags      []tag  `xml:"tagSet>item"`
}

type reservation struct {
	ID        string              `xml:"reservationId"`
	Owner     string              `xml:"ownerId"`
	Instances []describedInstance `xml:"instancesSet>item"`
}

type describeInstancesResponse struct {
	XMLName      xml.Name      `xml:"http://ec2.amazonaws.com/doc/2016-11-15/ DescribeInstancesResponse"`
	Request      string        `xml:"requestId"`
	Reservations []reservation `xml:"reservationSet>item"`
	NextToken    string        `xml:"nextToken,omitempty"`
}

// describeInstances pages by instances, so that one reservation may be split over two pages.
func (c *Cloud) describeInstances(in *call) (any, *Refusal) {
	size := in.number("MaxResults", 1000)
	if size < 5 || size > 1000 {
		return nil, &Refusal{400, "InvalidParameterValue", "Value for parameter maxResults is invalid. Expecting a value from 5 to 1000."}
	}
	ids, token, refusal := c.next(in.form.Get("NextToken"), func() []string { return c.matching(in) }, size)
	if refusal != nil {
		return nil, refusal
	}
	response := describeInstancesResponse{Request: "r", NextToken: token}
	for _, id := range ids {
		i := c.instances[id]
		if i == nil {
			continue // gone since the first page
		}
		at := slices.IndexFunc(response.Reservations, func(r reservation) bool { return r.ID == i.Reservation })
		if at < 0 {
			response.Reservations = append(response.Reservations, reservation{ID: i.Reservation, Owner: in.account()})
			at = len(response.Reservations) - 1
		}
		response.Reservations[at].Instances = append(response.Reservations[at].Instances, describedAs(i))
	}
	return response, nil
}

func describedAs(i *Instance) describedInstance {
	d := describedInstance{
		ID: i.ID, Image: Image, State: i.State, StateCode: stateCodes[i.State], PrivateIP: i.PrivateIP, PublicIP: i.PublicIP, Type: i.Type,
		Launched: i.LaunchTime.UTC().Format("2006-01-02T15:04:05.000Z"), Zone: i.Zone,
	}
	if i.PrivateIP != "" {
		d.DNS = "ip-" + strings.ReplaceAll(i.PrivateIP, ".", "-") + "." + i.Region + ".compute.internal"
	}
	for key, value := range i.Tags {
		d.Tags = append(d.Tags, tag{key, value})
	}
	return d
}

var stateCodes = map[string]int{"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}

// matching lists the instances of the call's region that pass its filters, in no order.
func (c *Cloud) matching(in *call) []string {
	var ids []string
	for id, i := range c.instances {
		if i.Region != in.region || !passes(in, i) {
			continue
		}
		if c.hidden[id] > 0 {
			c.hidden[id]--
			continue
		}
		ids = append(ids, id)
	}
	return ids // as a map gives them: each time otherwise
}

// passes says whether an instance passes every filter of the call; of a filter's values one is enough.
func passes(in *call, i *Instance) bool {
	for n := 1; ; n++ {
		prefix := "Filter." + itoa(n) + "."
		name := in.form.Get(prefix + "Name")
		if name == "" {
			break
		}
		values := in.list(prefix + "Value.")
		var have []string
		switch key, isTag := strings.CutPrefix(name, "tag:"); {
		case isTag:
			if value, there := i.Tags[key]; there {
				have = []string{value}
			}
		case name == "tag-key":
			for key := range i.Tags {
				have = append(have, key)
			}
		case name == "instance-state-name":
			have = []string{i.State}
		case name == "instance-id":
			have = []string{i.ID}
		}
		if !slices.ContainsFunc(have, func(h string) bool {
			return slices.ContainsFunc(values, func(pattern string) bool { ok, _ := path.Match(pattern, h); return ok || pattern == h })
		}) {
			return false
		}
	}
	if wanted := in.list("InstanceId."); len(wanted) > 0 && !slices.Contains(wanted, i.ID) {
		return false
	}
	return true
}
