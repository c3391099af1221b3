// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package ec2

import (
	"encoding/json"
	"regexp"
)

// Kinds of messages in a queue of events.
const (
	// KindEvent tells that something happened to an instance or a group.
	KindEvent = "event"
	// KindTest is what Auto Scaling sends when a hook is given the queue.
	KindTest = "test"
	// KindUnknown can't be read.
	KindUnknown = "unknown"
)

// region is how AWS names regions.
var region = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]+)+-[0-9]+$`)

// message reads the two kinds of messages that tell of instances: an event of EventBridge from EC2 or Auto Scaling, and Auto
// Scaling's own notification of a lifecycle hook, which names no region. Sources:
// docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-event-reference.html and prepare-for-lifecycle-notifications.html.
func message(body string) (kind, where string) {
	var m struct {
		Source string `json:"source"`
		Region string `json:"region"`
		Event  string `json:"Event"`
		Hook   string `json:"LifecycleHookName"`
	}
	switch {
	case json.Unmarshal([]byte(body), &m) != nil:
		return KindUnknown, ""
	case m.Event == "autoscaling:TEST_NOTIFICATION":
		return KindTest, ""
	case (m.Source == "aws.autoscaling" || m.Source == "aws.ec2") && region.MatchString(m.Region):
		return KindEvent, m.Region
	case m.Hook != "":
		return KindEvent, ""
	}
	return KindUnknown, ""
}
