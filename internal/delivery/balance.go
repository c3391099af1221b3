// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// Commander runs the commands that take a host out of its load balancer and bring it back.
type Commander interface {
	// Command runs one of them. step is v1alpha1.StepDrain or StepReturn. An error is a Failure with that step; its reason is
	// DrainFailed or ReturnFailed if the command ran and did not end well, and says otherwise why it could not be run.
	Command(ctx context.Context, host Host, deploy v1alpha1.DeploySpec, step string, command v1alpha1.HostHook) error
}

var _ Commander = (*Pool)(nil)

// Command implements Commander. The command is data: no shell reads an argv, and a script is read by "sh -eu" alone.
func (p *Pool) Command(ctx context.Context, host Host, deploy v1alpha1.DeploySpec, step string, command v1alpha1.HostHook) error {
	limit := command.Timeout.Duration
	if limit <= 0 {
		limit = defaultHookTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit+p.options.Probe)
	defer cancel()
	c, err := p.enter(ctx, &host)
	if err != nil {
		return err
	}
	defer c.leave()
	reason := v1alpha1.ReasonDrainFailed
	if step == v1alpha1.StepReturn {
		reason = v1alpha1.ReasonReturnFailed
	}
	dir := string(deploy.Path)
	if deploy.Layout != v1alpha1.LayoutInPlace {
		dir += "/current"
	}
	stdin, err := frame(checkScript, [][2]string{
		{"timeout", seconds(limit + scriptMargin)}, {"limit", seconds(limit)}, {"dir", dir},
		{"command", strings.Join(command.Command, "\n")}, {"script", command.Script},
	})
	if err != nil {
		return &Failure{Step: step, Reason: reason, Message: err.Error(), Terminal: true, HostKey: c.hostKey}
	}
	r := &report{now: p.options.Now}
	stderr, sessionErr, readErr := p.run(ctx, c, stdin, r, nil)
	var failure *Failure
	switch {
	case r.exit != nil && r.exit.Code == 0:
		return nil
	case r.exit != nil:
		failure = &Failure{Reason: reason, Message: ended(r.exit.Code, r.exit.Late, limit, r.exit.Said)}
	case r.fail != nil:
		failure = scriptFailure(r)
	default:
		failure = sessionFailure(ctx, step, sessionErr, readErr, r, stderr)
	}
	failure.Step, failure.HostKey = step, c.hostKey
	return failure
}

// ended says how a command ended that did not end well.
func ended(code int, late bool, limit time.Duration, said string) string {
	text := fmt.Sprintf("the command ended with exit code %d", code)
	if late {
		text = fmt.Sprintf("the command did not end within %s and was killed", limit)
	}
	if said = strings.TrimSpace(said); said != "" {
		text += ": " + said
	}
	return text
}
