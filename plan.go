// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/plan"
)

type planOptions struct {
	file, service, revision, kubeconfig, context, namespace, output string
	timeout                                                         time.Duration
}

// planCommand asks what a Release would do.
func planCommand() *cobra.Command {
	var o planOptions
	c := &cobra.Command{
		Use:   "plan",
		Short: "Says what a Release would do, and does nothing",
		Long: "Says what a Release would do if it were made now: what would be built, which files would change, which hosts would move in which order, and what\n" +
			"would hold it up. It asks the manager by a Release with the annotation " + v1alpha1.AnnotationDryRun + ", which it removes again; that takes\n" +
			"the verbs create, get and delete on releases.slipway.dev.",
		Example: "  slipway plan -f release.yaml\n  slipway plan --service blog --revision v1.4.3",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return o.run(c) },
	}
	f := c.Flags()
	f.StringVarP(&o.file, "filename", "f", "", "file with the Release; - is standard input")
	f.StringVar(&o.service, "service", "", "instead of a file: the Service")
	f.StringVar(&o.revision, "revision", "", "instead of a file: the branch, tag or commit")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig; default: KUBECONFIG, or ~/.kube/config")
	f.StringVar(&o.context, "context", "", "context of the kubeconfig")
	f.StringVarP(&o.namespace, "namespace", "n", "", "namespace; default: that of the file, else of the kubeconfig's context")
	f.StringVarP(&o.output, "output", "o", "", "json prints the plan as it is in the Release's status")
	f.DurationVar(&o.timeout, "timeout", time.Minute, "how long the manager is waited for")
	return c
}

func (o *planOptions) run(c *cobra.Command) error {
	if o.output != "" && o.output != "json" {
		return fmt.Errorf("--output is json or left out, and not %q", o.output)
	}
	release, err := o.release(c.InOrStdin())
	if err != nil {
		return err
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.kubeconfig
	kubeconfig := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: o.context})
	config, err := kubeconfig.ClientConfig()
	if err != nil {
		return fmt.Errorf("find the API server: %w; set KUBECONFIG, or --kubeconfig", err)
	}
	switch {
	case o.namespace != "" && release.Namespace != "" && o.namespace != release.Namespace:
		return fmt.Errorf("the file says namespace %s, and --namespace %s", release.Namespace, o.namespace)
	case o.namespace != "":
		release.Namespace = o.namespace
	case release.Namespace == "":
		if release.Namespace, _, err = kubeconfig.Namespace(); err != nil {
			return fmt.Errorf("find the namespace: %w", err)
		}
	}
	api, err := client.New(config, client.Options{Scheme: newScheme()})
	if err != nil {
		return fmt.Errorf("connect to the API server: %w", err)
	}
	answered, err := ask(c.Context(), api, release, o.timeout)
	if err != nil {
		return err
	}
	if o.output == "json" {
		encoder := json.NewEncoder(c.OutOrStdout())
		encoder.SetIndent("", "  ")
		return encoder.Encode(answered.Status.Plan)
	}
	return plan.Print(c.OutOrStdout(), answered)
}

// release is what is asked about.
func (o *planOptions) release(stdin io.Reader) (*v1alpha1.Release, error) {
	switch {
	case o.file == "" && o.service != "" && o.revision != "":
		return &v1alpha1.Release{Spec: v1alpha1.ReleaseSpec{Service: o.service, Revision: v1alpha1.Revision(o.revision)}}, nil
	case o.file == "" || o.service != "" || o.revision != "":
		return nil, errors.New("say either --filename, or --service and --revision")
	}
	var data []byte
	var err error
	if o.file == "-" {
		data, err = io.ReadAll(io.LimitReader(stdin, 1<<20))
	} else {
		data, err = os.ReadFile(o.file)
	}
	if err != nil {
		return nil, fmt.Errorf("read the Release: %w", err)
	}
	var release v1alpha1.Release
	if err := yaml.UnmarshalStrict(data, &release); err != nil {
		return nil, fmt.Errorf("%s holds no Release: %w", o.file, err)
	}
	if release.Kind != "Release" || release.APIVersion != v1alpha1.GroupVersion.String() {
		return nil, fmt.Errorf("%s holds a %s %s and no Release of %s: one document with one Release is planned", o.file, release.APIVersion, release.Kind, v1alpha1.GroupVersion)
	}
	return &release, nil
}

// ask makes the question, waits for the answer, and removes the question, whatever happens.
func ask(ctx context.Context, api client.Client, release *v1alpha1.Release, timeout time.Duration) (*v1alpha1.Release, error) {
	name := release.Name
	if name == "" {
		name = release.Spec.Service
	}
	question := &v1alpha1.Release{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: release.Namespace, GenerateName: name[:min(len(name), 200)] + "-plan-",
			Annotations: map[string]string{v1alpha1.AnnotationDryRun: "true"},
		},
		Spec: release.Spec,
	}
	if err := api.Create(ctx, question); err != nil {
		if apierrors.IsForbidden(err) {
			return nil, fmt.Errorf("to plan takes the verbs create, get and delete on releases.slipway.dev in namespace %s: %w", release.Namespace, err)
		}
		return nil, fmt.Errorf("ask for the plan: %w", err)
	}
	defer func() {
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if err := client.IgnoreNotFound(api.Delete(after, question)); err != nil {
			_, _ = fmt.Fprintf(os.Stderr, "slipway: Release %s was left behind, and goes by itself within an hour: %v\n", question.Name, err)
		}
	}()
	deadline, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		if err := api.Get(deadline, client.ObjectKeyFromObject(question), question); err != nil && deadline.Err() == nil {
			return nil, fmt.Errorf("wait for the plan: %w", err)
		}
		if question.Status.Plan != nil {
			return question, nil
		}
		select {
		case <-time.After(300 * time.Millisecond):
		case <-deadline.Done():
			if ctx.Err() != nil {
				return nil, errors.New("interrupted")
			}
			return nil, fmt.Errorf("no plan within %s: does the manager run, and does it reach the repository?", timeout)
		}
	}
}
