// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package awstest

import (
	"context"
	"encoding/xml"
	"slices"
	"strings"
	"time"
)

// Transitions at which hooks wait, in Auto Scaling's words.
const (
	Launching   = "autoscaling:EC2_INSTANCE_LAUNCHING"
	Terminating = "autoscaling:EC2_INSTANCE_TERMINATING"
)

// Hook is a lifecycle hook of an Auto Scaling group. Default: launching, an hour, ABANDON.
type Hook struct {
	Name       string
	Transition string
	Timeout    time.Duration
	Default    string
}

// Action is a lifecycle action that is over. Expired ones had no answer in time.
type Action struct {
	Instance, Hook, Result string
	Expired                bool
}

// open is a lifecycle action that waits for an answer.
type open struct {
	hook     Hook
	deadline time.Time
}

// lifecycles are the groups' hooks and the instances that wait at them.
type lifecycles struct {
	hooks map[string][]Hook
	open  map[string][]open
	over  []Action
	beats map[[2]string]int
	// pools are the states in which groups keep instances in reserve.
	pools map[string]string
	// changed is closed when an action is over, and then replaced.
	changed chan struct{}
}

func newLifecycles() lifecycles {
	return lifecycles{
		hooks: map[string][]Hook{}, open: map[string][]open{}, beats: map[[2]string]int{}, pools: map[string]string{}, changed: make(chan struct{}),
	}
}

// AddHook gives a group a hook. An instance waits at all hooks that its group has when it comes to them.
func (c *Cloud) AddHook(group string, h Hook) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.Transition == "" {
		h.Transition = Launching
	}
	if h.Timeout == 0 {
		h.Timeout = time.Hour
	}
	if h.Default == "" {
		h.Default = "ABANDON"
	}
	c.hooks[group] = append(c.hooks[group], h)
}

// AddWarmPool gives a group a warm pool that keeps instances Stopped, Running or Hibernated. They are no members of the group.
func (c *Cloud) AddWarmPool(group, state string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pools[group] = state
}

// Actions lists the lifecycle actions that are over, in order.
func (c *Cloud) Actions() []Action {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expire()
	return slices.Clone(c.over)
}

// Heartbeats counts those of an instance at a hook.
func (c *Cloud) Heartbeats(instance, hook string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.beats[[2]string{instance, hook}]
}

// Await returns how an instance's wait at its hooks ended: CONTINUE or ABANDON; empty if ctx ended before. One that waits at no
// hook goes on at once.
func (c *Cloud) Await(ctx context.Context, instance string) string {
	for {
		c.mu.Lock()
		c.expire()
		waiting, changed, result := len(c.open[instance]) > 0, c.changed, "CONTINUE"
		for _, a := range c.over {
			if a.Instance == instance && a.Result == "ABANDON" {
				result = a.Result
			}
		}
		c.mu.Unlock()
		if !waiting {
			return result
		}
		select {
		case <-ctx.Done():
			return ""
		case <-changed:
		case <-time.After(time.Second): // its time may be over
		}
	}
}

// wait opens the actions of an instance that has come to hooks. The lock is held.
func (c *Cloud) wait(i *Instance) {
	if !strings.HasSuffix(i.Lifecycle, ":Wait") {
		return
	}
	transition := Launching
	if strings.Contains(i.Lifecycle, "Terminating") {
		transition = Terminating
	}
	c.open[i.ID] = slices.DeleteFunc(c.open[i.ID], func(a open) bool { return a.hook.Transition != transition }) // it is beyond those
	if len(c.open[i.ID]) > 0 {
		return
	}
	for _, h := range c.hooks[i.Group] {
		if h.Transition == transition {
			c.open[i.ID] = append(c.open[i.ID], open{h, c.Now().Add(h.Timeout)})
			c.announce(i, h)
		}
	}
}

// expire ends the actions whose time is over. The lock is held.
func (c *Cloud) expire() {
	for id, actions := range c.open {
		for _, a := range slices.Clone(actions) {
			if !c.Now().Before(a.deadline) && slices.Contains(c.open[id], a) {
				c.end(id, a, a.hook.Default, true)
			}
		}
	}
}

// end ends an action; with the last one the instance goes on, and with ABANDON it ends. The lock is held.
func (c *Cloud) end(id string, a open, result string, expired bool) {
	c.over = append(c.over, Action{Instance: id, Hook: a.hook.Name, Result: result, Expired: expired})
	c.open[id] = slices.DeleteFunc(c.open[id], func(other open) bool { return other == a })
	i := c.instances[id]
	switch {
	case a.hook.Transition == Launching && result == "ABANDON":
		delete(c.open, id)
		i.Lifecycle, i.State = "Terminating:Proceed", "shutting-down"
	case len(c.open[id]) > 0:
	case i.Lifecycle == "Pending:Wait":
		i.Lifecycle = "InService"
	case i.Lifecycle == "Warmed:Pending:Wait":
		i.Lifecycle = "Warmed:" + c.pools[i.Group]
		if c.pools[i.Group] != "Running" {
			i.State = "stopped"
		}
	default:
		i.Lifecycle, i.State = strings.Replace(i.Lifecycle, ":Wait", ":Proceed", 1), "shutting-down"
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// active finds the action that a call names. The lock is held.
func (c *Cloud) active(in *call) (string, open, *Refusal) {
	id, hook := in.form.Get("InstanceId"), in.form.Get("LifecycleHookName")
	for _, a := range c.open[id] {
		if i := c.instances[id]; a.hook.Name == hook && i.Group == in.form.Get("AutoScalingGroupName") && i.Region == in.region {
			return id, a, nil
		}
	}
	return "", open{}, &Refusal{400, "ValidationError", "No active Lifecycle Action found with instance ID " + id}
}

func (c *Cloud) heartbeat(in *call) (any, *Refusal) {
	id, a, refusal := c.active(in)
	if refusal != nil {
		return nil, refusal
	}
	c.beats[[2]string{id, a.hook.Name}]++
	for n := range c.open[id] {
		if c.open[id][n] == a {
			c.open[id][n].deadline = c.Now().Add(a.hook.Timeout)
		}
	}
	return struct {
		XMLName xml.Name `xml:"http://autoscaling.amazonaws.com/doc/2011-01-01/ RecordLifecycleActionHeartbeatResponse"`
		Result  string   `xml:"RecordLifecycleActionHeartbeatResult"`
	}{}, nil
}

func (c *Cloud) completeAction(in *call) (any, *Refusal) {
	result := in.form.Get("LifecycleActionResult")
	if result != "CONTINUE" && result != "ABANDON" {
		return nil, &Refusal{400, "ValidationError", "Lifecycle action result must be CONTINUE or ABANDON"}
	}
	id, a, refusal := c.active(in)
	if refusal != nil {
		return nil, refusal
	}
	c.end(id, a, result, false)
	return struct {
		XMLName xml.Name `xml:"http://autoscaling.amazonaws.com/doc/2011-01-01/ CompleteLifecycleActionResponse"`
		Result  string   `xml:"CompleteLifecycleActionResult"`
	}{}, nil
}

type describedHook struct {
	Name       string `xml:"LifecycleHookName"`
	Group      string `xml:"AutoScalingGroupName"`
	Transition string `xml:"LifecycleTransition"`
	Timeout    int    `xml:"HeartbeatTimeout"`
	Global     int    `xml:"GlobalTimeout"`
	Default    string `xml:"DefaultResult"`
}

func (c *Cloud) describeHooks(in *call) (any, *Refusal) {
	response := struct {
		XMLName xml.Name        `xml:"http://autoscaling.amazonaws.com/doc/2011-01-01/ DescribeLifecycleHooksResponse"`
		Hooks   []describedHook `xml:"DescribeLifecycleHooksResult>LifecycleHooks>member"`
	}{}
	group := in.form.Get("AutoScalingGroupName")
	for _, h := range c.hooks[group] {
		seconds := int(h.Timeout.Seconds())
		response.Hooks = append(response.Hooks, describedHook{
			Name: h.Name, Group: group, Transition: h.Transition, Timeout: seconds, Global: min(100*seconds, 172800), Default: h.Default,
		})
	}
	return response, nil
}
