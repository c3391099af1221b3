// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// reasons that the script may give. Another one, from a host that is not to be trusted, becomes DeliveryFailed.
var reasons = map[string]bool{
	v1alpha1.ReasonFencedOff: true, v1alpha1.ReasonPathRefused: true, v1alpha1.ReasonForeignOwner: true,
	v1alpha1.ReasonExistingContent: true, v1alpha1.ReasonDiskFull: true, v1alpha1.ReasonVerifyFailed: true,
	v1alpha1.ReasonDepotUnavailable: true, v1alpha1.ReasonHookFailed: true, v1alpha1.ReasonTimedOut: true,
	v1alpha1.ReasonContentChanged: true, v1alpha1.ReasonLoginRefused: true, v1alpha1.ReasonLinkMoved: true, v1alpha1.ReasonDeliveryFailed: true,
}

const connectStep = "Connect"

// connectFailure makes a verdict of a connection that did not come about.
func connectFailure(host *Host, err error) *Failure {
	where := fmt.Sprintf("%s (%s port %d)", host.Name, host.Address, host.Port)
	f := &Failure{Step: connectStep}
	switch {
	case errors.Is(err, errOtherKey):
		f.Reason, f.Terminal = v1alpha1.ReasonHostKeyMismatch, true
		f.Message = fmt.Sprintf("%s is not the host it was: %v. If the host was really replaced, update its key in known_hosts, or delete its Target to pin the new one", where, err)
	case errors.Is(err, errUnknownKey):
		f.Reason, f.Terminal = v1alpha1.ReasonHostKeyUnknown, true
		f.Message = fmt.Sprintf("%s can't be trusted: %v. Add its line (ssh-keyscan on a network you trust) to the ConfigMap that spec.ssh.hostKeys names", where, err)
	case errors.Is(err, errLogin):
		f.Reason, f.Terminal = v1alpha1.ReasonLoginRefused, true
		f.Message = fmt.Sprintf("%s does not let %s in: %v. Put the key's public half into that user's authorized_keys", where, host.User, err)
	case errors.Is(err, errOutdated):
		f.Reason, f.Terminal = v1alpha1.ReasonUnreachable, true
		f.Message = fmt.Sprintf("%s can't be talked to safely: %v. Update OpenSSH there to 7.2 or later, or allow "+
			"curve25519-sha256, aes128-gcm@openssh.com and an ed25519 host key in its sshd_config", where, err)
	default:
		f.Reason = v1alpha1.ReasonUnreachable
		f.Message = fmt.Sprintf("%s does not answer over SSH: %v. Look whether it is up, and reachable on that port", where, err)
	}
	return f
}

// sessionFailure makes a verdict of a session that ended without a final line. Whether the host switched is unknown, even
// if the step that began last comes after the switch: the host goes on by itself, and only a probe tells how it ended.
func sessionFailure(ctx context.Context, step string, sessionErr, readErr error, r *report, stderr string) *Failure {
	f := &Failure{Step: step, Reason: v1alpha1.ReasonDeliveryFailed, Unknown: true, Steps: r.steps}
	said := strings.TrimSpace(stderr)
	if said == "" {
		said = r.noise
	}
	if said != "" {
		said = ": " + shorten(said)
	}
	var exit *ssh.ExitError
	var missing *ssh.ExitMissingError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		f.Reason = v1alpha1.ReasonTimedOut
		f.Message = "the time is over and the host has not reported the end; it is looked at again"
	case ctx.Err() != nil:
		f.Message = "interrupted; the host is looked at again"
	case errors.Is(readErr, errTooLong):
		f.Message = readErr.Error()
	case errors.As(sessionErr, &exit):
		f.Message = fmt.Sprintf("the script ended with exit code %d and no report%s. Is the user's login shell a shell, and does nothing print or exit in its profile?",
			exit.ExitStatus(), said)
	case errors.As(sessionErr, &missing), sessionErr != nil, readErr != nil:
		f.Reason = v1alpha1.ReasonUnreachable
		f.Message = "the connection was lost before the host reported the end; it is looked at again"
	default:
		f.Message = "the script ended without a report" + said
	}
	return f
}

// scriptFailure is the verdict of the script.
func scriptFailure(r *report) *Failure {
	f := &Failure{
		Step: r.fail.Step, Reason: r.fail.Reason, Message: r.fail.Message, Switched: r.fail.Switched,
		Terminal: r.fail.Terminal, HostFence: max(r.fail.Fence, 0), Steps: r.steps,
	}
	if !reasons[f.Reason] {
		f.Reason = v1alpha1.ReasonDeliveryFailed
	}
	return f
}
