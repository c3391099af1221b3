// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/health"
)

// checkScript runs the command of a health check.
var checkScript = assemble("values", "check")

// scriptMargin is how much longer than the command the script around it may take.
const scriptMargin = 10 * time.Second

// checkCommand runs the command of a health check on a host.
func (p *Pool) checkCommand(ctx context.Context, host *Host, deploy *v1alpha1.DeploySpec) (health.Answer, error) {
	check := deploy.HealthCheck
	limit := health.Timeout(check)
	c, err := p.enter(ctx, host)
	if err != nil {
		return health.Answer{}, err
	}
	defer c.leave()
	ctx, cancel := context.WithTimeout(ctx, limit+scriptMargin)
	defer cancel()
	dir := string(deploy.Path)
	if deploy.Layout != v1alpha1.LayoutInPlace {
		dir += "/current"
	}
	stdin, err := frame(checkScript, [][2]string{
		{"timeout", seconds(limit + scriptMargin)}, {"limit", seconds(limit)}, {"dir", dir}, {"command", strings.Join(check.Command, "\n")},
	})
	if err != nil {
		return health.Answer{}, &Failure{Step: v1alpha1.StepHealth, Reason: v1alpha1.ReasonUnhealthy, Message: err.Error(), Terminal: true, HostKey: c.hostKey}
	}
	r := &report{now: p.options.Now}
	stderr, sessionErr, readErr := p.run(ctx, c, stdin, r, nil)
	switch {
	case r.exit != nil:
		return health.Exit(check, r.exit.Code, r.exit.Late, r.exit.Said), nil
	case r.fail != nil:
		return health.Answer{}, scriptFailure(r)
	}
	failure := sessionFailure(ctx, v1alpha1.StepHealth, sessionErr, readErr, r, stderr)
	failure.HostKey = c.hostKey
	return health.Answer{}, failure
}
