// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/phase"
)

// CompletionName is the program that kubectl asks what an argument of the plugin may be.
const CompletionName = "kubectl_complete-slipway"

// completionLimit bounds how long a shell waits for names.
const completionLimit = 3 * time.Second

// names completes arguments from what the namespace has. Without an answer there is nothing to complete.
func (o *options) names(scheme *runtime.Scheme, list func(ctx context.Context, args []string) ([]string, error)) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(c.Context(), completionLimit)
		defer cancel()
		if o.connect(c, scheme) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		found, err := list(ctx, args)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

// serviceThenRevision names the Services, and then what was released of the one that was chosen.
func (o *options) serviceThenRevision(ctx context.Context, args []string) ([]string, error) {
	var found []string
	switch len(args) {
	case 0:
		var services v1alpha1.ServiceList
		if err := o.api.List(ctx, &services, client.InNamespace(o.namespace)); err != nil {
			return nil, err
		}
		for i := range services.Items {
			found = append(found, services.Items[i].Name)
		}
	case 1:
		var releases v1alpha1.ReleaseList
		if err := o.api.List(ctx, &releases, client.InNamespace(o.namespace)); err != nil {
			return nil, err
		}
		for i := range releases.Items {
			if r := &releases.Items[i]; r.Spec.Service == args[0] && !slices.Contains(found, string(r.Spec.Revision)) {
				found = append(found, string(r.Spec.Revision))
			}
		}
	}
	return found, nil
}

// releases names Releases, the newest first; active leaves out those that have ended.
func (o *options) releases(active bool) func(ctx context.Context, args []string) ([]string, error) {
	return func(ctx context.Context, args []string) ([]string, error) {
		if len(args) > 0 {
			return nil, nil
		}
		var list v1alpha1.ReleaseList
		if err := o.api.List(ctx, &list, client.InNamespace(o.namespace)); err != nil {
			return nil, err
		}
		slices.SortFunc(list.Items, func(a, b v1alpha1.Release) int { return b.CreationTimestamp.Compare(a.CreationTimestamp.Time) })
		var found []string
		for i := range list.Items {
			if r := &list.Items[i]; !r.IsDryRun() && (!active || !phase.Ended(r)) {
				found = append(found, r.Name)
			}
		}
		return found, nil
	}
}
