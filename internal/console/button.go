// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"context"
)

// button is one action: what it does, in words, and why it can't be done now.
type button struct {
	// Verb is the rest of keys below "verb." and "does.", Path where the form goes; Method is GET for a page of its own.
	Verb, Path, Method string
	// Does is the rest of its own key below "does."; empty: Verb.
	Does string
	// Values of the words of "does.".
	Values []any
	// Why it is disabled; empty if it is not.
	Why string
	// Danger has it look so.
	Danger bool
	// Command does the same with kubectl.
	Command string
	// Reason asks for a reason; Required says that there must be one.
	Reason, Required bool
	// For asks how long.
	For bool
	// Given is the reason that stands there already.
	Given string
	// Hidden values of the form.
	Hidden map[string]string
	// Checks are what can be ticked: the names of fields of the form, which are keys below "check." too.
	Checks []string
}

// permit disables a button that the user has not the right for.
func (a *ask) permit(ctx context.Context, b button, permissions ...permission) button {
	for _, p := range permissions {
		if b.Why == "" && !a.user.allowed(ctx, p) {
			b.Why = a.text("why.permission", p.String(), p.namespace)
		}
	}
	return b
}

// lockButton locks a Service.
func (a *ask) lockButton(ctx context.Context, s *subject, reason string) button {
	namespace := s.Service.Namespace
	return a.permit(ctx, button{
		Verb: "lock", Path: s.Path() + "/lock", Method: "POST", Reason: true, Required: true, Given: reason, For: true,
		Command: patchCommand(namespace, "slsvc", s.Service.Name, "merge", object{"spec": object{"lock": object{"reason": reasonHere, "owner": a.user.Name}}}),
	}, permission{namespace, "patch", "services"})
}
