// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/docker/docker/api/types/image"
	corev1 "k8s.io/api/core/v1"
)

const (
	// After this many failed pulls a Pod fails: a kubelet would try for ever, and a Job with it.
	maxPulls    = 3
	pullTimeout = 10 * time.Minute

	neverPull = "ErrImageNeverPull"
)

// pull remembers how the pulls of a container's image went.
type pull struct {
	tries  int
	next   time.Time
	reason string
	err    error
	pulled bool
}

// image makes sure of a container's image, or says what the container waits for.
func (r *Runner) image(ctx context.Context, pod *corev1.Pod, c corev1.Container) (image.InspectResponse, *corev1.ContainerStateWaiting, step) {
	key := pullKey(string(pod.UID)) + c.Name
	r.mu.Lock()
	p := pull{}
	if known := r.images[key]; known != nil {
		p = *known
	}
	r.mu.Unlock()
	in, err := r.engine.ImageInspect(ctx, c.Image)
	if err == nil && (p.pulled || c.ImagePullPolicy != corev1.PullAlways || isID(c.Image)) {
		if !p.pulled {
			r.event(pod, corev1.EventTypeNormal, "Pulled", "Pulling", "Container image %q already present on machine", c.Image)
		}
		return in, nil, step{}
	}
	now := r.Now()
	switch {
	case p.tries >= maxPulls || p.reason == neverPull:
		message := fmt.Sprintf("image %q: %s", c.Image, p.err)
		return in, &corev1.ContainerStateWaiting{Reason: p.reason, Message: message},
			step{reason: p.reason, message: fmt.Sprintf("container %q: %s", c.Name, message)}
	case now.Before(p.next):
		reason := "ImagePullBackOff"
		if p.tries <= 1 { // as a kubelet: at first the failure itself is told
			reason = p.reason
		}
		return in, &corev1.ContainerStateWaiting{Reason: reason, Message: fmt.Sprintf("Back-off pulling image %q: %s", c.Image, p.err)},
			step{after: p.next.Sub(now)}
	case c.ImagePullPolicy == corev1.PullNever:
		r.pullEnded(pod, c, neverPull, fmt.Errorf("image %q is not present, and its pull policy is Never", c.Image))
	case !r.work.running(key):
		r.event(pod, corev1.EventTypeNormal, "Pulling", "Pulling", "Pulling image %q", c.Image)
		r.work.start(key, func(ctx context.Context) error { return r.pull(ctx, c.Image) },
			func(err error) { r.pullEnded(pod, c, "ErrImagePull", err) })
	}
	return in, &corev1.ContainerStateWaiting{Reason: "ContainerCreating", Message: fmt.Sprintf("pulling image %q", c.Image)}, step{}
}

// pullEnded remembers how a pull went and has the Pod looked at again.
func (r *Runner) pullEnded(pod *corev1.Pod, c corev1.Container, reason string, err error) {
	key := pullKey(string(pod.UID)) + c.Name
	r.mu.Lock()
	p := r.images[key]
	if p == nil {
		p = &pull{}
		r.images[key] = p
	}
	p.reason, p.err, p.pulled = reason, err, err == nil
	switch {
	case errors.Is(err, errEngine):
		p.next = r.Now().Add(tryAgain) // it says nothing of the image
	case err != nil:
		p.tries++
		p.next = r.Now().Add(time.Second << p.tries)
	}
	r.mu.Unlock()
	if err != nil {
		r.event(pod, corev1.EventTypeWarning, "Failed", "Pulling", "Error: %s: image %q: %s", reason, c.Image, err)
	} else {
		r.event(pod, corev1.EventTypeNormal, "Pulled", "Pulling", "Successfully pulled image %q", c.Image)
	}
	r.queue.Add(pod.Namespace + "/" + pod.Name)
}

// cancelPulls ends a Pod's pulls and forgets them.
func (r *Runner) cancelPulls(uid string) {
	own := func(key string) bool { return strings.HasPrefix(key, pullKey(uid)) }
	r.work.cancel(own)
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.images, func(key string, _ *pull) bool { return own(key) })
}

func pullKey(uid string) string { return uid + "/pull/" }

func (r *Runner) pull(ctx context.Context, reference string) error {
	ctx, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	err := pullImage(ctx, r.engine, reference)
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("the registry did not deliver it within %s", pullTimeout)
	}
	asking, cancel := context.WithTimeout(ctx, engineTimeout)
	defer cancel()
	if _, down := r.engine.Ping(asking); down != nil {
		return fmt.Errorf("%w: %w", errEngine, err)
	}
	return err
}

// errEngine says that a pull failed because the engine went away.
var errEngine = errors.New("the container engine does not answer")
