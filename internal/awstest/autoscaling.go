// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package awstest

import (
	"encoding/xml"
	"slices"
	"strconv"
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
	for _, i := range c.instances {
		if i.Group != "" && i.Region == in.region && i.State != "terminated" && (len(wanted) == 0 || slices.Contains(wanted, i.Group)) {
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
		response.Groups = append(response.Groups, group{Name: name, Desired: len(members[name]), Members: members[name]})
	}
	return response, nil
}
