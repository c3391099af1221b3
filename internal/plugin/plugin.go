// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package plugin is kubectl's plugin: the five verbs, approvals, and how a Release stands, from a terminal. All it does is done with
// kubectl's own credentials on the resources themselves.
package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/notify"
	"github.com/slipway-dev/slipway/internal/phase"
)

// Name is what the plugin's program is called: kubectl finds it by that.
const Name = "kubectl-slipway"

// fieldOwner of what people do here.
const fieldOwner = client.FieldOwner("kubectl-slipway")

// poll is how often a Release is looked at that is watched.
const poll = time.Second

// Ended is how a command ended that says so by its exit code alone.
type Ended struct{ Code int }

// Error says so.
func (e *Ended) Error() string { return fmt.Sprintf("ended with %d", e.Code) }

// options of all commands.
type options struct {
	kubeconfig, context, namespace, output string

	config *rest.Config
	api    client.Client
	screen screen
}

// Command is the whole plugin.
func Command(scheme *runtime.Scheme) *cobra.Command {
	var o options
	root := &cobra.Command{
		Use: "kubectl-slipway", Short: "Releases services, and says how that goes", SilenceUsage: true, SilenceErrors: true,
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl slipway"},
		Long: "Releases services, and says how that goes.\n\nCommands that watch a Release end with 0 if it succeeded, 2 if it failed or was rolled back, 3 if it ended\n" +
			"otherwise, and 1 if the command itself failed.",
		PersistentPreRunE: func(c *cobra.Command, _ []string) error { return o.connect(c, scheme) },
	}
	f := root.PersistentFlags()
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig; default: KUBECONFIG, or ~/.kube/config")
	f.StringVar(&o.context, "context", "", "context of the kubeconfig")
	f.StringVarP(&o.namespace, "namespace", "n", "", "namespace; default: that of the kubeconfig's context")
	f.StringVarP(&o.output, "output", "o", "", "json prints the Release as it is in the end")
	root.AddCommand(o.releaseCommand(), o.statusCommand(), o.logsCommand(), o.approveCommand(),
		o.change("pause", "Finishes the hosts in flight and starts no more", func(s *v1alpha1.ReleaseSpec) { s.Paused = true }),
		o.change("resume", "Goes on where a Release was paused", func(s *v1alpha1.ReleaseSpec) { s.Paused = false }),
		o.change("abort", "Stops for good: hosts stay as they are", func(s *v1alpha1.ReleaseSpec) { s.Abort = true }),
		o.change("rollback", "Stops and returns the hosts to what ran before", func(s *v1alpha1.ReleaseSpec) { s.RollBack = true }))
	for _, c := range root.Commands() {
		switch c.Name() {
		case "release":
			c.ValidArgsFunction = o.names(scheme, o.serviceThenRevision)
		case "status", "logs":
			c.ValidArgsFunction = o.names(scheme, o.releases(false))
		default:
			c.ValidArgsFunction = o.names(scheme, o.releases(true))
		}
	}
	return root
}

// connect finds the API server, for all commands but those that only print.
func (o *options) connect(c *cobra.Command, scheme *runtime.Scheme) error {
	o.screen = screenOf(c.OutOrStdout())
	switch name := c.Name(); {
	case name == "help", name == cobra.ShellCompRequestCmd, name == cobra.ShellCompNoDescRequestCmd, c.HasParent() && c.Parent().Name() == "completion":
		return nil
	}
	if o.output != "" && o.output != "json" {
		return fmt.Errorf("--output is json or left out, and not %q", o.output)
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.kubeconfig
	kubeconfig := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: o.context})
	var err error
	if o.config, err = kubeconfig.ClientConfig(); err != nil {
		return fmt.Errorf("find the API server: %w; set KUBECONFIG, or --kubeconfig", err)
	}
	if o.namespace == "" {
		if o.namespace, _, err = kubeconfig.Namespace(); err != nil {
			return fmt.Errorf("find the namespace: %w", err)
		}
	}
	if o.api, err = client.New(o.config, client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("connect to the API server: %w", err)
	}
	return nil
}

func (o *options) releaseCommand() *cobra.Command {
	var reason string
	var leave bool
	c := &cobra.Command{
		Use: "release SERVICE REVISION", Short: "Releases a branch, a tag or a commit, and watches that", Args: exactly("SERVICE", "REVISION"),
		Example: "  kubectl slipway release blog v1.4.3 --reason 'ticket 812'",
		RunE: func(c *cobra.Command, args []string) error {
			release := &v1alpha1.Release{
				ObjectMeta: metav1.ObjectMeta{Namespace: o.namespace, Name: args[0] + "-" + rand.String(5)},
				Spec:       v1alpha1.ReleaseSpec{Service: args[0], Revision: v1alpha1.Revision(args[1]), Reason: reason},
			}
			if err := o.api.Get(c.Context(), client.ObjectKey{Namespace: o.namespace, Name: args[0]}, &v1alpha1.Service{}); apierrors.IsNotFound(err) {
				return fmt.Errorf("there is no Service %q in namespace %s", args[0], o.namespace)
			}
			if err := o.api.Create(c.Context(), release, fieldOwner); err != nil {
				return fmt.Errorf("create the Release: %w", err)
			}
			if leave {
				return o.print(release)
			}
			return o.watch(c.Context(), release.Name)
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	c.Flags().BoolVar(&leave, "no-wait", false, "create it and end")
	return c
}

func (o *options) statusCommand() *cobra.Command {
	var once bool
	c := &cobra.Command{
		Use: "status [RELEASE]", Short: "Shows a Release with its hosts until it has ended", Args: cobra.MaximumNArgs(1),
		Long: "Shows a Release with its hosts, those in trouble first, until it has ended. Without a name: the newest of the namespace. Where the output is\n" +
			"no terminal it prints a line for each change.",
		RunE: func(c *cobra.Command, args []string) error {
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			release, err := o.find(c.Context(), name)
			if err != nil {
				return err
			}
			if once {
				return o.show(c.Context(), release)
			}
			return o.watch(c.Context(), release.Name)
		},
	}
	c.Flags().BoolVar(&once, "once", false, "show it as it is now and end")
	return c
}

// find reads a Release, the newest that there is without a name.
func (o *options) find(ctx context.Context, name string) (*v1alpha1.Release, error) {
	if name != "" {
		release := &v1alpha1.Release{}
		if err := o.api.Get(ctx, client.ObjectKey{Namespace: o.namespace, Name: name}, release); err != nil {
			return nil, fmt.Errorf("read Release %s: %w", name, err)
		}
		return release, nil
	}
	var list v1alpha1.ReleaseList
	if err := o.api.List(ctx, &list, client.InNamespace(o.namespace)); err != nil {
		return nil, fmt.Errorf("list Releases: %w", err)
	}
	items := slices.DeleteFunc(list.Items, func(r v1alpha1.Release) bool { return r.IsDryRun() })
	if len(items) == 0 {
		return nil, fmt.Errorf("namespace %s has no Releases", o.namespace)
	}
	newest := slices.MaxFunc(items, func(a, b v1alpha1.Release) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	return &newest, nil
}

// print writes a Release as json, or its name.
func (o *options) print(release *v1alpha1.Release) error {
	if o.output != "json" {
		_, err := fmt.Fprintln(o.screen.out, release.Name)
		return err
	}
	release.APIVersion, release.Kind, release.ManagedFields = v1alpha1.GroupVersion.String(), "Release", nil
	encoder := json.NewEncoder(o.screen.out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(release)
}

// show writes a Release with its hosts once.
func (o *options) show(ctx context.Context, release *v1alpha1.Release) error {
	if o.output == "json" {
		return o.print(release)
	}
	targets, err := o.targets(ctx, release)
	if err != nil {
		return err
	}
	tree(o.screen.out, release, targets, o.screen.palette, max(o.screen.lines, len(targets)+10), o.screen.columns)
	return nil
}

func (o *options) targets(ctx context.Context, release *v1alpha1.Release) ([]v1alpha1.Target, error) {
	var list v1alpha1.TargetList
	if err := o.api.List(ctx, &list, client.InNamespace(release.Namespace), client.MatchingLabels{v1alpha1.LabelService: release.Spec.Service}); err != nil {
		return nil, fmt.Errorf("list Targets: %w", err)
	}
	return list.Items, nil
}

// watch shows a Release until it has ended: a tree that stays in its place on a terminal, a line for each change elsewhere.
func (o *options) watch(ctx context.Context, name string) error {
	last, failures := "", 0
	for {
		release, err := o.find(ctx, name)
		switch {
		case apierrors.IsNotFound(err), ctx.Err() != nil:
			return errors.Join(err, ctx.Err())
		case err != nil: // the API server may be back in a moment
			if failures++; failures > 30 {
				return err
			}
		default:
			failures = 0
			if last, err = o.update(ctx, release, last); err != nil {
				return err
			}
			if phase.Ended(release) {
				if o.output == "json" {
					if err := o.print(release); err != nil {
						return err
					}
				}
				if code := codeOf(release); code != Done {
					return &Ended{code}
				}
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(poll):
		}
	}
}

// update shows what has changed since last, and returns what it shows now.
func (o *options) update(ctx context.Context, release *v1alpha1.Release, last string) (string, error) {
	now := line(release, o.screen.palette)
	switch {
	case o.output == "json":
		return now, nil
	case !o.screen.terminal:
		if now != last {
			_, err := fmt.Fprintf(o.screen.out, "%s %s\n", time.Now().UTC().Format(time.RFC3339), now)
			return now, err
		}
		return now, nil
	}
	targets, err := o.targets(ctx, release)
	if err != nil {
		return last, err
	}
	if _, err := io.WriteString(o.screen.out, "\x1b[H\x1b[2J"); err != nil { // home, and clear
		return last, err
	}
	o.screen = screenOf(o.screen.out) // it may have another size by now
	tree(o.screen.out, release, targets, o.screen.palette, o.screen.lines-1, o.screen.columns)
	return now, nil
}

// exactly is a command's arguments, by what they are called.
func exactly(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return fmt.Errorf("%d arguments were given; it is %s", len(args), c.UseLine())
		}
		return nil
	}
}

// next is what one can do with a Release that has ended, where a verb can't any more.
func (o *options) next(ctx context.Context, verb string, release *v1alpha1.Release) string {
	var list v1alpha1.ReleaseList
	if verb == "rollback" && o.api.List(ctx, &list, client.InNamespace(release.Namespace)) == nil {
		if before := lastGood(list.Items, release); before != nil {
			again := before.Status.Commit // a branch leads elsewhere by now
			if strings.HasPrefix(before.Status.Ref, "refs/tags/") {
				again = string(before.Spec.Revision)
			}
			return fmt.Sprintf("to go back to what ran before: kubectl slipway release %s %s", release.Spec.Service, again)
		}
	}
	return fmt.Sprintf("to release another revision: kubectl slipway release %s REVISION", release.Spec.Service)
}

// lastGood is the last Release before one that succeeded with something else; nil if there is none.
func lastGood(releases []v1alpha1.Release, release *v1alpha1.Release) (found *v1alpha1.Release) {
	for i := range releases {
		r := &releases[i]
		if r.Spec.Service != release.Spec.Service || r.Status.Sequence >= release.Status.Sequence || phase.OfRelease(r) != phase.Succeeded || r.Status.Artifact == nil ||
			release.Status.Artifact != nil && r.Status.Artifact.Digest == release.Status.Artifact.Digest {
			continue
		}
		if found == nil || r.Status.Sequence > found.Status.Sequence {
			found = r
		}
	}
	return found
}

// change makes the command of a verb.
func (o *options) change(verb, short string, apply func(*v1alpha1.ReleaseSpec)) *cobra.Command {
	return &cobra.Command{
		Use: verb + " RELEASE", Short: short, Args: exactly("RELEASE"),
		RunE: func(c *cobra.Command, args []string) error {
			release, err := o.find(c.Context(), args[0])
			if err != nil {
				return err
			}
			if phase.Ended(release) {
				return fmt.Errorf("%s has ended (%s), and nothing of it can be changed; %s", release.Name, phase.OfRelease(release).Word(), o.next(c.Context(), verb, release))
			}
			before := release.DeepCopy()
			apply(&release.Spec)
			if err := o.api.Patch(c.Context(), release, client.MergeFrom(before), fieldOwner); err != nil {
				return fmt.Errorf("%s Release %s: %w", verb, release.Name, err)
			}
			return o.print(release)
		},
	}
}

func (o *options) approveCommand() *cobra.Command {
	var reason, wanted string
	c := &cobra.Command{
		Use: "approve RELEASE", Short: "Lets a Release go on at the gate where it waits, in your name", Args: exactly("RELEASE"),
		RunE: func(c *cobra.Command, args []string) error {
			config, err := kubernetes.NewForConfig(o.config)
			if err != nil {
				return fmt.Errorf("connect to the API server: %w", err)
			}
			review, err := config.AuthenticationV1().SelfSubjectReviews().Create(c.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
			if err != nil {
				return fmt.Errorf("ask who you are: %w", err)
			}
			var release *v1alpha1.Release
			err = retry.RetryOnConflict(retry.DefaultRetry, func() (err error) {
				if release, err = o.find(c.Context(), args[0]); err != nil {
					return err
				}
				gate := notify.Gate(release)
				switch {
				case gate == "":
					return fmt.Errorf("%s waits for no approval: %s", release.Name, message(release))
				case wanted != "" && wanted != gate:
					return fmt.Errorf("%s waits at the gate %s, and not at %s", release.Name, gate, wanted)
				}
				before := release.DeepCopy()
				release.Spec.Approvals = append(release.Spec.Approvals, v1alpha1.Approval{Gate: gate, By: review.Status.UserInfo.Username, Reason: reason})
				return o.api.Patch(c.Context(), release, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), fieldOwner)
			})
			if err != nil {
				return fmt.Errorf("approve: %w", err)
			}
			return o.print(release)
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	c.Flags().StringVar(&wanted, "gate", "", "the gate that is meant; default: the one where it waits")
	return c
}
