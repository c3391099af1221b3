// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package awstest

import (
	"encoding/xml"
	"slices"
	"strconv"
	"strings"
)

func itoa(n int) string { return strconv.Itoa(n) }

type groupMember struct {
	ID        string `xml:"InstanceId"`
	Zone      string `xml:"AvailabilityZone"`
	Lifecycle string `xml:"LifecycleState"`
	Health    string `xml:"HealthStatus"`
}

type group struct {
	Name    string        `xml:"AutoScalingGroupName"`
	Desired int           `xml:"DesiredCapacity"`
	Members []groupMember `xml:"Instances>member"`
	Pool    *warmPool     `xml:"WarmPoolConfiguration"`
}

type warmPool struct {
	State string `xml:"PoolState"`
}

type describeGroupsResponse struct {
	XMLName xml.Name `xml:"http://autoscaling.amazonaws.com/doc/2011-01-01/ DescribeAutoScalingGroupsResponse"`
	Groups  []group  `xml:"DescribeAutoScalingGroupsResult>AutoScalingGroups>member"`
	Token   string   `xml:"DescribeAutoScalingGroupsResult>NextToken,omitempty"`
}

// describeGroups lists the groups that have instances. A name that no group has is left out, as Auto Scaling does.
func (c *Cloud) describeGroups(in *call) (any, *Refusal) {
	size := in.number("MaxRecords", 50)
	if size < 1 || size > 100 {
		return nil, &Refusal{400, "ValidationError", "MaxRecords must be between 1 and 100."}
	}
	wanted := in.list("AutoScalingGroupNames.member.")
	members := map[string][]groupMember{}
	for name := range c.pools { // a group may have nothing but its reserve
		if len(wanted) == 0 || slices.Contains(wanted, name) {
			members[name] = nil
		}
	}
	for _, i := range c.instances {
		if i.Group != "" && i.Region == in.region && i.State != "terminated" && !strings.HasPrefix(i.Lifecycle, "Warmed:") && (len(wanted) == 0 || slices.Contains(wanted, i.Group)) {
			members[i.Group] = append(members[i.Group], groupMember{ID: i.ID, Zone: i.Zone, Lifecycle: i.Lifecycle, Health: "Healthy"})
		}
	}
	names, token, refusal := c.next(in.form.Get("NextToken"), func() []string {
		var names []string
		for name := range members {
			names = append(names, name)
		}
		return names
	}, size)
	if refusal != nil {
		return nil, refusal
	}
	response := describeGroupsResponse{Token: token}
	for _, name := range names {
		g := group{Name: name, Desired: len(members[name]), Members: members[name]}
		if state, has := c.pools[name]; has {
			g.Pool = &warmPool{State: state}
		}
		response.Groups = append(response.Groups, g)
	}
	return response, nil
}

// describeWarmPool lists the instances that a group keeps in reserve.
func (c *Cloud) describeWarmPool(in *call) (any, *Refusal) {
	name := in.form.Get("AutoScalingGroupName")
	response := struct {
		XMLName xml.Name      `xml:"http://autoscaling.amazonaws.com/doc/2011-01-01/ DescribeWarmPoolResponse"`
		Members []groupMember `xml:"DescribeWarmPoolResult>Instances>member"`
		Token   string        `xml:"DescribeWarmPoolResult>NextToken,omitempty"`
	}{}
	members, token, refusal := c.next(in.form.Get("NextToken"), func() (ids []string) {
		for id, i := range c.instances {
			if i.Group == name && i.Region == in.region && strings.HasPrefix(i.Lifecycle, "Warmed:") && i.State != "terminated" {
				ids = append(ids, id)
			}
		}
		return ids
	}, in.number("MaxRecords", 50))
	if refusal != nil {
		return nil, refusal
	}
	response.Token = token
	for _, id := range members {
		i := c.instances[id]
		response.Members = append(response.Members, groupMember{ID: id, Zone: i.Zone, Lifecycle: i.Lifecycle, Health: "Healthy"})
	}
	return response, nil
}
