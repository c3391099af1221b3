// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"fmt"
	"io"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	corev1 "k8s.io/api/core/v1"

	"github.com/slipway-dev/slipway/internal/build"
)

const (
	// After this many failed pulls a Pod fails: a kubelet would try for ever, and a Job with it.
	maxPulls    = 4
	pullTimeout = 10 * time.Minute
)

// pull remembers how often an image was asked for.
type pull struct {
	tries int
	next  time.Time
	err   error
}

// image makes sure of a container's image, or says what the container waits for.
func (r *Runner) image(ctx context.Context, pod *corev1.Pod, c corev1.Container) (image.InspectResponse, *corev1.ContainerStateWaiting, step) {
	policy := c.ImagePullPolicy
	in, err := r.engine.ImageInspect(ctx, c.Image)
	if err == nil && (policy != corev1.PullAlways || isID(c.Image)) {
		r.event(pod, corev1.EventTypeNormal, "Pulled", "Pulling", "Container image %q already present on machine", c.Image)
		return in, nil, step{}
	}
	key := string(pod.UID) + "/" + c.Name
	r.mu.Lock()
	p := r.images[key]
	if p == nil {
		p = &pull{}
		r.images[key] = p
	}
	r.mu.Unlock()
	now := r.Now()
	if now.Before(p.next) {
		return in, &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: fmt.Sprintf("Back-off pulling image %q: %s", c.Image, p.err)}, step{after: p.next.Sub(now)}
	}
	reason := "ErrImagePull"
	if policy == corev1.PullNever {
		reason, p.err = "ErrImageNeverPull", fmt.Errorf("image %q is not present, and its pull policy is Never", c.Image)
	} else if p.err = r.pull(ctx, c.Image); p.err == nil {
		if in, p.err = r.engine.ImageInspect(ctx, c.Image); p.err == nil {
			r.event(pod, corev1.EventTypeNormal, "Pulled", "Pulling", "Successfully pulled image %q", c.Image)
			return in, nil, step{}
		}
	}
	p.tries++
	wait := time.Second << p.tries
	p.next = r.Now().Add(wait)
	message := fmt.Sprintf("image %q: %s", c.Image, p.err)
	r.event(pod, corev1.EventTypeWarning, "Failed", "Pulling", "Error: %s: %s", reason, message)
	s := step{after: wait}
	if p.tries >= maxPulls {
		s = step{reason: reason, message: fmt.Sprintf("container %q: %s; tried %d times", c.Name, message, p.tries)}
	}
	return in, &corev1.ContainerStateWaiting{Reason: reason, Message: message}, s
}

func (r *Runner) pull(ctx context.Context, reference string) error {
	ctx, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	return pullImage(ctx, r.engine, reference)
}

func pullImage(ctx context.Context, engine *client.Client, reference string) error {
	progress, err := engine.ImagePull(ctx, reference, image.PullOptions{})
	if err != nil {
		return err
	}
	defer progress.Close()
	_, err = io.Copy(io.Discard, progress)
	return err
}

func isID(reference string) bool { return len(reference) == 71 && reference[:7] == "sha256:" }

// ImageResolver resolves build images on the engine; it satisfies build.ImageResolver.
type ImageResolver struct{ engine *client.Client }

var _ build.ImageResolver = (*ImageResolver)(nil)

// NewImageResolver asks the engine at host; "" is DOCKER_HOST or the local socket.
func NewImageResolver(host string) (*ImageResolver, error) {
	engine, err := newEngine(host)
	if err != nil {
		return nil, err
	}
	return &ImageResolver{engine: engine}, nil
}

// Resolve returns the image by its local id, having pulled it if it was missing. The error wraps
// build.ErrImageNotFound when neither the engine nor its registry has it.
func (r *ImageResolver) Resolve(ctx context.Context, reference string) (build.Image, error) {
	in, err := r.engine.ImageInspect(ctx, reference)
	if cerrdefs.IsNotFound(err) {
		if err = pullImage(ctx, r.engine, reference); err == nil {
			in, err = r.engine.ImageInspect(ctx, reference)
		}
		if cerrdefs.IsNotFound(err) || cerrdefs.IsPermissionDenied(err) || cerrdefs.IsUnauthorized(err) || cerrdefs.IsInvalidArgument(err) {
			return build.Image{}, fmt.Errorf("%w: %q is not on this machine and cannot be pulled: %w", build.ErrImageNotFound, reference, err)
		}
	}
	if err != nil {
		return build.Image{}, fmt.Errorf("resolve image %q: %w", reference, err)
	}
	return build.Image{Reference: in.ID, Digest: in.ID}, nil
}
