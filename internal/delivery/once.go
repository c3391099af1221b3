// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// defaultOnceTimeout stands in where the hook has none.
const defaultOnceTimeout = 10 * time.Minute

// Once is a hook that runs once per Release, on one host.
type Once struct {
	// ID names the run for ever: a host begins no second one of the same name. It may hold letters, digits, '.' and '-'.
	ID string
	// Name and Hook say what is run.
	Name v1alpha1.ReleaseHookName
	Hook v1alpha1.ReleaseHook
	// PreviousCommit is what the hook is told of the Release that was current before.
	PreviousCommit string
	// Forbidden: the hook may not begin any more, not even for somebody who asked before. What came of it is told all the same.
	Forbidden bool
}

// OnceResult is how it went, as the host has it on record.
type OnceResult struct {
	// State is v1alpha1.HookSucceeded, HookFailed, HookUnknown (it began, and its end is not on record) or HookCanceled (it
	// never began, and never will).
	State v1alpha1.HookState
	// Message says how it ended, Output is the end of what it printed.
	Message string
	Output  string
}

// OnceRunner runs hooks that run once per Release.
type OnceRunner interface {
	// RunOnce has the artifact complete on the host, without switching to it, and runs the hook in it. It may be repeated at any
	// time: the hook began at most once. An error is a Failure; unless it is Unknown the hook did not begin. begun is told when
	// the host has claimed the hook.
	RunOnce(ctx context.Context, host Host, order Order, once Once, begun func()) (OnceResult, error)
}

var _ OnceRunner = (*Pool)(nil)

// RunOnce implements OnceRunner.
func (p *Pool) RunOnce(ctx context.Context, host Host, order Order, once Once, begun func()) (OnceResult, error) {
	limit := OnceLimit(&order.Deploy, &once.Hook)
	ctx, cancel := context.WithTimeout(ctx, limit+afterwards)
	defer cancel()
	step := string(once.Name)
	if once.ID == "" || strings.Trim(once.ID, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") != "" {
		return OnceResult{}, &Failure{Step: step, Reason: v1alpha1.ReasonHookFailed, Terminal: true, Message: fmt.Sprintf("%q is no name of a run", once.ID)}
	}
	c, err := p.enter(ctx, &host)
	if err != nil {
		return OnceResult{}, err
	}
	defer c.leave()
	claimed := false
	r := &report{now: p.options.Now, progress: func(at string) {
		if at == step {
			claimed = true
			begun()
		}
	}}
	values := func(access *pullAccess) [][2]string {
		return append(deliverValues(host.User, &order, limit, access), onceValues(&once)...)
	}
	failure := p.exchange(ctx, c, &order, limit, r, values, func() bool { return r.exit != nil })
	if failure != nil {
		failure.HostKey = c.hostKey
		failure.Unknown = failure.Unknown || claimed // whatever the host says of it later, it began
		return OnceResult{}, failure
	}
	return onceResult(r.exit, hookTimeout(&once.Hook)), nil
}

// OnceLimit bounds one attempt to run a hook: the artifact has to get to the host first.
func OnceLimit(deploy *v1alpha1.DeploySpec, hook *v1alpha1.ReleaseHook) time.Duration {
	limit := deploy.Timeout.Duration
	if limit <= 0 {
		limit = defaultTimeout
	}
	return limit + hookTimeout(hook)
}

func hookTimeout(hook *v1alpha1.ReleaseHook) time.Duration {
	if limit := hook.Timeout.Duration; limit > 0 {
		return limit
	}
	return defaultOnceTimeout
}

func onceValues(once *Once) [][2]string {
	may := "1"
	if once.Forbidden {
		may = ""
	}
	return [][2]string{
		{"mode", "once"}, {"once", once.ID}, {"once_step", string(once.Name)}, {"may", may}, {"previous_commit", line(once.PreviousCommit)},
		{"hook", strings.Join(once.Hook.Command, "\n")}, {"hook_script", once.Hook.Script}, {"hook_timeout", seconds(hookTimeout(&once.Hook))},
	}
}

// onceResult puts what the host has on record into words.
func onceResult(exit *exitLine, limit time.Duration) OnceResult {
	result := OnceResult{State: v1alpha1.HookSucceeded, Message: "ended well", Output: strings.TrimRight(exit.Said, "\n")}
	switch {
	case exit.State == "canceled":
		return OnceResult{State: v1alpha1.HookCanceled, Message: "it was not begun"}
	case exit.State != "ended":
		result.State, result.Message = v1alpha1.HookUnknown, "the host was interrupted while the hook ran: how it ended is not on record"
	case exit.Late:
		result.State, result.Message = v1alpha1.HookFailed, fmt.Sprintf("it did not end within %s and was killed", limit)
	case exit.Code != 0:
		result.State, result.Message = v1alpha1.HookFailed, "it ended with exit code "+strconv.Itoa(exit.Code)
	}
	return result
}
