// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

func (o *options) logsCommand() *cobra.Command {
	var follow bool
	c := &cobra.Command{
		Use: "logs [RELEASE]", Short: "Prints the log of a Release's build, while its Pod is there", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			release, err := o.find(c.Context(), name)
			if err != nil {
				return err
			}
			return o.logs(c.Context(), release, follow)
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on while the build goes on")
	return c
}

// logs prints what the containers of a build said, one after the other, as they ran.
func (o *options) logs(ctx context.Context, release *v1alpha1.Release, follow bool) error {
	b := release.Status.Build
	if b == nil || b.Job == "" {
		return fmt.Errorf("nothing was built for Release %s yet", release.Name)
	}
	var pods corev1.PodList
	if err := o.api.List(ctx, &pods, client.InNamespace(release.Namespace), client.MatchingLabels{"batch.kubernetes.io/job-name": b.Job}); err != nil {
		return fmt.Errorf("find the build's Pod: %w", err)
	}
	if len(pods.Items) == 0 {
		return fmt.Errorf("the Pod of build %s is gone; the Console has its log, as %s/log of the Release's page", b.Job, release.Name)
	}
	pod := slices.MaxFunc(pods.Items, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	config, err := kubernetes.NewForConfig(o.config)
	if err != nil {
		return fmt.Errorf("connect to the API server: %w", err)
	}
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if err := o.container(ctx, config, &pod, container.Name, follow); err != nil {
			return err
		}
	}
	return nil
}

// container prints the log of one container, once it has begun.
func (o *options) container(ctx context.Context, config kubernetes.Interface, pod *corev1.Pod, name string, follow bool) error {
	for {
		stream, err := config.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: name, Follow: follow}).Stream(ctx)
		if err == nil {
			_, err = io.Copy(o.screen.out, stream)
			return errors.Join(err, stream.Close())
		}
		if !follow || !apierrors.IsBadRequest(err) { // it waits to start
			if apierrors.IsBadRequest(err) {
				return nil
			}
			return fmt.Errorf("read the log of %s: %w", name, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(poll):
		}
		if err := o.api.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
			return fmt.Errorf("read the build's Pod: %w", err)
		}
		if pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded {
			follow = false
		}
	}
}
