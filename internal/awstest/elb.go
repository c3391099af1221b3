// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package awstest

import (
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// TargetGroup of Elastic Load Balancing. Its zero fields are filled in by AddTargetGroup.
type TargetGroup struct {
	ARN    string
	Region string
	// Type of its targets: instance or ip. Default instance.
	Type string
	// Port of its targets. Default 80.
	Port int
	// Delay is how long a target drains.
	Delay time.Duration
	// Slow: what is registered stays initial until SetTargetState.
	Slow bool

	targets map[target]*registered
}

type target struct {
	id   string
	port int
}

type registered struct {
	state string
	// gone is when one that drains is no longer registered.
	gone time.Time
}

// ELBDenied is what Elastic Load Balancing answers without the right to ask, ELBThrottled to who asks too often.
var (
	ELBDenied    = Refusal{Status: 403, Code: "AccessDenied", Message: "User is not authorized to perform this operation."}
	ELBThrottled = Refusal{Status: 400, Code: "Throttling", Message: "Rate exceeded"}
)

// AddTargetGroup makes a target group and returns its ARN.
func (c *Cloud) AddTargetGroup(name string, g TargetGroup) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number++
	if g.Region == "" {
		g.Region = "ap-northeast-1"
	}
	if g.ARN == "" {
		g.ARN = fmt.Sprintf("arn:aws:elasticloadbalancing:%s:%s:targetgroup/%s/%016x", g.Region, Account, name, c.number)
	}
	if g.Type == "" {
		g.Type = "instance"
	}
	if g.Port == 0 {
		g.Port = 80
	}
	g.targets = map[target]*registered{}
	if c.groups == nil {
		c.groups = map[string]*TargetGroup{}
	}
	c.groups[g.ARN] = &g
	return g.ARN
}

// SetTargetState sets how a target stands in a group, registered or not; empty takes it out at once. Port 0 is the group's.
func (c *Cloud) SetTargetState(arn, id string, port int, state string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.groups[arn]
	if port == 0 {
		port = g.Port
	}
	if state == "" {
		delete(g.targets, target{id, port})
		return
	}
	g.targets[target{id, port}] = &registered{state: state}
}

// TargetState says how a target stands in a group; empty if it is not registered. Port 0 is the group's.
func (c *Cloud) TargetState(arn, id string, port int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.groups[arn]
	if port == 0 {
		port = g.Port
	}
	if r := c.registration(g, target{id, port}); r != nil {
		return r.state
	}
	return ""
}

// registration of a target; nil if there is none. The lock is held.
func (c *Cloud) registration(g *TargetGroup, t target) *registered {
	r := g.targets[t]
	if r != nil && r.state == "draining" && !r.gone.IsZero() && !c.Now().Before(r.gone) {
		delete(g.targets, t)
		return nil
	}
	return r
}

// group that a call names, in its region. The lock is held.
func (c *Cloud) group(in *call, arn string) (*TargetGroup, *Refusal) {
	if g := c.groups[arn]; g != nil && g.Region == in.region {
		return g, nil
	}
	return nil, &Refusal{400, "TargetGroupNotFound", "One or more target groups not found"}
}

// targets that a call names.
func (c *Cloud) targets(in *call, g *TargetGroup) ([]target, *Refusal) {
	var list []target
	for n := 1; ; n++ {
		prefix := "Targets.member." + strconv.Itoa(n)
		id := in.form.Get(prefix + ".Id")
		if id == "" {
			return list, nil
		}
		if _, there := c.instances[id]; g.Type == "instance" && !there || g.Type == "ip" && strings.HasPrefix(id, "i-") {
			return nil, &Refusal{400, "InvalidTarget", "The following targets are not valid: '" + id + "'"}
		}
		list = append(list, target{id, in.number(prefix+".Port", g.Port)})
	}
}

type describedGroup struct {
	ARN  string `xml:"TargetGroupArn"`
	Type string `xml:"TargetType"`
	Port int    `xml:"Port"`
}

func (c *Cloud) describeTargetGroups(in *call) (any, *Refusal) {
	response := struct {
		XMLName xml.Name         `xml:"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/ DescribeTargetGroupsResponse"`
		Groups  []describedGroup `xml:"DescribeTargetGroupsResult>TargetGroups>member"`
	}{}
	for _, arn := range in.list("TargetGroupArns.member.") {
		g, refusal := c.group(in, arn)
		if refusal != nil {
			return nil, refusal
		}
		response.Groups = append(response.Groups, describedGroup{g.ARN, g.Type, g.Port})
	}
	return response, nil
}

type describedHealth struct {
	ID          string `xml:"Target>Id"`
	Port        int    `xml:"Target>Port"`
	State       string `xml:"TargetHealth>State"`
	Reason      string `xml:"TargetHealth>Reason,omitempty"`
	Description string `xml:"TargetHealth>Description,omitempty"`
}

func (c *Cloud) describeTargetHealth(in *call) (any, *Refusal) {
	response := struct {
		XMLName xml.Name          `xml:"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/ DescribeTargetHealthResponse"`
		Health  []describedHealth `xml:"DescribeTargetHealthResult>TargetHealthDescriptions>member"`
	}{}
	g, refusal := c.group(in, in.form.Get("TargetGroupArn"))
	if refusal != nil {
		return nil, refusal
	}
	list, refusal := c.targets(in, g)
	if refusal != nil {
		return nil, refusal
	}
	for _, t := range list {
		d := describedHealth{ID: t.id, Port: t.port, State: "unused", Reason: "Target.NotRegistered", Description: "Target is not registered to the target group"}
		if r := c.registration(g, t); r != nil {
			d.State, d.Reason, d.Description = r.state, reasons[r.state], ""
		}
		response.Health = append(response.Health, d)
	}
	return response, nil
}

var reasons = map[string]string{
	"initial": "Elb.RegistrationInProgress", "unhealthy": "Target.ResponseCodeMismatch", "draining": "Target.DeregistrationInProgress", "unused": "Target.NotInUse",
}

func (c *Cloud) registerTargets(in *call) (any, *Refusal) {
	g, refusal := c.group(in, in.form.Get("TargetGroupArn"))
	if refusal != nil {
		return nil, refusal
	}
	list, refusal := c.targets(in, g)
	if refusal != nil {
		return nil, refusal
	}
	for _, t := range list {
		if r := c.registration(g, t); r != nil && r.state != "draining" {
			continue
		}
		state := "healthy"
		if g.Slow {
			state = "initial"
		}
		g.targets[t] = &registered{state: state}
	}
	return struct {
		XMLName xml.Name `xml:"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/ RegisterTargetsResponse"`
		Result  string   `xml:"RegisterTargetsResult"`
	}{}, nil
}

func (c *Cloud) deregisterTargets(in *call) (any, *Refusal) {
	g, refusal := c.group(in, in.form.Get("TargetGroupArn"))
	if refusal != nil {
		return nil, refusal
	}
	list, refusal := c.targets(in, g)
	if refusal != nil {
		return nil, refusal
	}
	for _, t := range list {
		if r := c.registration(g, t); r != nil && r.state != "draining" {
			g.targets[t] = &registered{state: "draining", gone: c.Now().Add(g.Delay)}
		}
	}
	return struct {
		XMLName xml.Name `xml:"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/ DeregisterTargetsResponse"`
		Result  string   `xml:"DeregisterTargetsResult"`
	}{}, nil
}
