// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// GroupTag is the tag by which EC2 itself says to which Auto Scaling group an instance belongs.
const GroupTag = "aws:autoscaling:groupName"

// Running is the state of an instance that can be reached, in EC2's word.
const Running = "running"

// Instance is a machine as EC2 and Auto Scaling describe it.
type Instance struct {
	ID string
	// Account that owns it: the 12 digits that its reservation names.
	Account string
	Zone    string
	Type    string
	// State in EC2's words: pending, running, shutting-down, terminated, stopping, stopped.
	State      string
	PrivateIP  string
	PublicIP   string
	PrivateDNS string
	Tags       map[string]string
	// Lifecycle is the state within the Auto Scaling group, in Auto Scaling's words; empty without a group.
	Lifecycle  string
	LaunchTime time.Time
}

// Account is where instances are looked for, and as whom.
type Account struct {
	Region     string
	RoleARN    string
	ExternalID string
}

// AccountOf is where a source's instances are looked for.
func AccountOf(source *v1alpha1.EC2Source) Account {
	return Account{Region: source.Region, RoleARN: source.RoleARN, ExternalID: source.ExternalID}
}

// Owner is the account of the role, 12 digits; empty for the process's own identity, whose account nobody wrote down.
func (a Account) Owner() string {
	if parts := strings.SplitN(a.RoleARN, ":", 6); len(parts) == 6 {
		return parts[4]
	}
	return ""
}

// String names the account for people.
func (a Account) String() string {
	if a.RoleARN == "" {
		return a.Region
	}
	return a.Region + " as " + a.RoleARN
}

// View is what is known of an account's instances.
type View struct {
	// Instances by their ids, as last described. One that was missing from the last look alone is still here. Read only.
	Instances map[string]Instance
	// Looks is how often the instances in question were looked for with success since the process began.
	Looks int
	// Problem is why they can't be looked for now, in words; empty if they can. What was known before stays.
	Problem string
}

// Finder looks at clouds. It answers at once, from what it saw last, and goes on looking by itself.
type Finder interface {
	// View returns what is known of the instances of an account that bear any of the tags.
	View(account Account, tags []string) View
}

// ErrNotDescribed says that a cloud does not know an instance, or does not know it yet.
var ErrNotDescribed = errors.New("EC2 does not describe the instance")

// LiveFinder also looks at one instance now.
type LiveFinder interface {
	Finder
	// Describe returns an instance of an account as it is now, give or take some seconds. Tags, state and addresses are current;
	// Lifecycle is as last looked for. An account without the instance is ErrNotDescribed; any other error means that nobody
	// can say now. It returns within seconds, also if the cloud does not answer.
	Describe(ctx context.Context, account Account, id string) (Instance, error)
}

// tagsOf are the keys of the tags by which a source's instances are found.
func tagsOf(source *v1alpha1.EC2Source) []string {
	if source.AutoScalingGroup != "" {
		return []string{GroupTag}
	}
	var keys []string
	for key := range source.Tags {
		keys = append(keys, key)
	}
	return keys
}

// selects says whether an instance is one of a source's hosts: it matches, runs, and is not on its way out. One of a warm pool is a
// host as long as it runs: what waits in reserve goes into service with what it has.
func selects(source *v1alpha1.EC2Source, instance *Instance) bool {
	if instance.State != Running || leaving(instance.Lifecycle) {
		return false
	}
	if source.AutoScalingGroup != "" && instance.Tags[GroupTag] != source.AutoScalingGroup {
		return false
	}
	for key, value := range source.Tags {
		if have, there := instance.Tags[key]; !there || have != string(value) {
			return false
		}
	}
	return true
}

// leaving says whether an instance is on its way out of its group, or into a stop in its warm pool.
func leaving(lifecycle string) bool {
	state := strings.TrimPrefix(lifecycle, "Warmed:")
	return state == "Stopped" || state == "Hibernated" || strings.HasPrefix(state, "Terminat")
}

// address of an instance, as its source asks for it.
func address(source *v1alpha1.EC2Source, instance *Instance) (string, error) {
	var value string
	switch source.Address {
	case v1alpha1.AddressPublicIP:
		value = instance.PublicIP
	case v1alpha1.AddressPrivateDNS:
		value = instance.PrivateDNS
	case v1alpha1.AddressTag:
		value = instance.Tags[source.AddressTag]
		if value != "" && !plainAddress.MatchString(value) {
			return "", fmt.Errorf("%s: its tag %s holds %q, which is neither an IP address nor a DNS name", instance.ID, source.AddressTag, value)
		}
		if value == "" {
			return "", fmt.Errorf("%s has no tag %s", instance.ID, source.AddressTag)
		}
	default:
		value = instance.PrivateIP
	}
	if value == "" {
		return "", fmt.Errorf("%s has no %s", instance.ID, source.Address)
	}
	return value, nil
}

// status of an instance, for its Target.
func (i *Instance) status() *v1alpha1.InstanceStatus {
	status := &v1alpha1.InstanceStatus{
		ID: i.ID, Account: i.Account, Zone: i.Zone, Type: i.Type, AutoScalingGroup: i.Tags[GroupTag], LifecycleState: i.Lifecycle,
	}
	if !i.LaunchTime.IsZero() {
		launched := metav1.NewTime(i.LaunchTime).Rfc3339Copy()
		status.LaunchTime = &launched
	}
	return status
}
