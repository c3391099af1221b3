// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package ec2

import (
	"maps"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/slipway-dev/slipway/internal/discovery"
)

// account is what is known of one account.
type account struct {
	// tags are the keys asked for, each with the number of good sweeps that looked for it.
	tags map[string]int
	// instances as described last, in a map that is replaced and never changed; missing counts the sweeps since.
	instances map[string]discovery.Instance
	missing   map[string]int
	// swept is when the last good sweep began.
	swept    time.Time
	problem  string
	failures int
	asked    time.Time
	sweeping bool
	// wake ends the wait for the next sweep.
	wake chan struct{}

	// live are instances that were looked at live, looking the live looks under way by instance, batch the one that is gathered.
	live    map[string]described
	looking map[string]*batch
	batch   *batch
	// blind is why nobody looks live until blindUntil.
	blind      error
	blindUntil time.Time

	pace       *rate.Limiter
	connecting sync.Mutex
	api        API // guarded by connecting
}

func (a *account) hasten() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// sureLooks is how many sweeps it takes until one that is missing is gone: EC2's answers lag behind.
const sureLooks = 2

// take takes over what a sweep found and says whether anything changed.
func (a *account) take(found []discovery.Instance) (changed bool) {
	instances := make(map[string]discovery.Instance, len(found))
	missing := map[string]int{}
	for i := range found {
		before, there := a.instances[found[i].ID]
		changed = changed || !there || !equal(&before, &found[i])
		instances[found[i].ID] = found[i]
	}
	for id, before := range a.instances {
		if _, seen := instances[id]; seen {
			continue
		}
		if missed := a.missing[id] + 1; missed < sureLooks {
			instances[id], missing[id] = before, missed
		} else {
			changed = true
		}
	}
	a.instances, a.missing = instances, missing
	return changed
}

// equal says whether two descriptions of an instance are the same.
func equal(a, b *discovery.Instance) bool {
	return a.ID == b.ID && a.Account == b.Account && a.Zone == b.Zone && a.Type == b.Type && a.State == b.State && a.PrivateIP == b.PrivateIP && a.PublicIP == b.PublicIP &&
		a.PrivateDNS == b.PrivateDNS && a.Lifecycle == b.Lifecycle && a.LaunchTime.Equal(b.LaunchTime) && maps.Equal(a.Tags, b.Tags)
}
