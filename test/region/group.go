// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package region

import (
	"context"
	"fmt"

	"github.com/slipway-dev/slipway/internal/awstest"
	"github.com/slipway-dev/slipway/test/instances"
)

// member is an instance of the group.
type member struct {
	id, address string
	// image its disk begins with.
	image *instances.Image
	// inService says that the group has put it in service, leaving that it ends it.
	inService, leaving bool
	stop               context.CancelFunc
	// page is what it was last seen to answer.
	page string
}

// Scale sets the group's desired capacity. What is too many goes the oldest first, as with termination policy OldestInstance.
func (r *Region) Scale(desired int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(Event{What: fmt.Sprintf("desired capacity %d", desired)})
	var staying []*member
	for _, m := range r.members {
		if !m.leaving {
			staying = append(staying, m)
		}
	}
	for _, m := range staying[:max(0, len(staying)-desired)] {
		m.leaving = true
		m.stop()
	}
	for range desired - len(staying) {
		m, err := r.launch()
		if err != nil {
			return err
		}
		r.members = append(r.members, m)
		var ctx context.Context
		ctx, m.stop = context.WithCancel(r.ctx)
		r.work.Go(func() { r.live(ctx, m) })
	}
	return nil
}

// live takes an instance through its life cycle, until the group or the region ends it.
func (r *Region) live(ctx context.Context, m *member) {
	defer m.stop()
	r.enter(m, "Pending")
	i, err := r.Subnet.Launch(ctx, m.image, m.id, m.address)
	if err != nil {
		r.fail(err)
		return
	}
	r.Cloud.Change(m.id, func(c *awstest.Instance) { c.State = "running" })
	r.enter(m, "Pending:Wait")
	if r.proceed(ctx, m) {
		r.enter(m, "InService")
		r.watch(ctx, m)
	}
	if r.ctx.Err() != nil {
		return // all instances end
	}
	r.enter(m, "Terminating")
	r.Cloud.Change(m.id, func(c *awstest.Instance) { c.Lifecycle = "Terminating:Wait" })
	r.Cloud.Await(r.ctx, m.id)
	r.Cloud.Change(m.id, func(c *awstest.Instance) { c.State = "shutting-down" })
	if err := i.Shutdown(r.ctx); err != nil {
		r.fail(err)
	}
	if err := i.Terminate(); err != nil {
		r.fail(err)
	}
	r.Cloud.Terminate(m.id)
	r.record(m, "terminated", "")
}

// proceed watches an instance until its launch hook is completed, and says whether it is to be put in service.
func (r *Region) proceed(ctx context.Context, m *member) bool {
	waiting, stop := context.WithCancel(ctx)
	result := make(chan string, 1)
	go func() {
		defer stop()
		result <- r.Cloud.Await(waiting, m.id)
	}()
	r.watch(waiting, m)
	return <-result == "CONTINUE"
}

// enter moves an instance to the next state of its life cycle.
func (r *Region) enter(m *member, state string) {
	r.Cloud.Change(m.id, func(c *awstest.Instance) { c.Lifecycle = state })
	r.record(m, state, "")
	r.mu.Lock()
	defer r.mu.Unlock()
	m.inService = state == "InService"
}

func (r *Region) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed == nil && r.ctx.Err() == nil {
		r.failed = err
	}
}

// InService counts the instances that the group has put in service and does not end.
func (r *Region) InService() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, m := range r.members {
		if m.inService && !m.leaving {
			n++
		}
	}
	return n
}
