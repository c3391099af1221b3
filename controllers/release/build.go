// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"context"
	"errors"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/build"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/frozen"
)

const (
	// mirrorLimit bounds one fetch of a repository into the depot's mirror.
	mirrorLimit = 30 * time.Minute
	// logGrace is how long a finished build waits for the rest of its log.
	logGrace = 30 * time.Second
	// imageGrace is how long a registry that does not answer is tried.
	imageGrace = 5 * time.Minute
)

// build gets the artifact of the build key: from the depot if it is there, else by a Job.
func (r *Reconciler) build(ctx context.Context, l *life) outcome {
	spec, err := frozen.Get(ctx, r.Client, l.release.Namespace, l.release.Status.Frozen)
	if err != nil {
		return retry(v1alpha1.ReasonProgressing, err)
	}
	if l.release.Spec.Requires != nil {
		return r.promote(ctx, l, spec)
	}
	if l.release.Status.Build == nil {
		return r.keyOf(ctx, l, spec)
	}
	b := l.release.Status.Build
	if b.Attempt == 0 {
		return r.plan(ctx, l)
	}
	if b.Shrunk != "" {
		return r.shrunk(ctx, l)
	}
	var job batchv1.Job
	err = r.Client.Get(ctx, types.NamespacedName{Namespace: l.release.Namespace, Name: b.Job}, &job)
	switch {
	case apierrors.IsNotFound(err):
		return r.start(ctx, l, spec)
	case err != nil:
		return retry(v1alpha1.ReasonProgressing, err)
	case !metav1.IsControlledBy(&job, l.release):
		b.Attempt++
		b.Job = build.JobName(v1alpha1.UID(l.service.UID), b.Key, b.Attempt)
		return persist(v1alpha1.ReasonBuilding, "another Release's build has this attempt's name")
	}
	return r.watch(ctx, l, spec, &job)
}

// keyOf finds the build key. A Release of a commit that an earlier Release built from the same spec takes over its key
// and image, so that rolling back needs neither a registry nor a build, even if the image's tag moved since.
func (r *Reconciler) keyOf(ctx context.Context, l *life, spec v1alpha1.FrozenSpec) outcome {
	for i := range l.others {
		other := &l.others[i]
		if !l.sameBuild(ctx, r.Client, other, spec) {
			continue
		}
		if _, err := r.Depot.FindBuild(ctx, l.storage(), other.Status.Build.Key); err == nil {
			l.release.Status.Build = &v1alpha1.BuildStatus{Key: other.Status.Build.Key, Image: other.Status.Build.Image}
			return persist(v1alpha1.ReasonBuilding, "the same as Release "+other.Name+" built")
		}
	}
	image, err := r.Images.Resolve(ctx, spec.Build.Image)
	switch {
	case errors.Is(err, build.ErrImageNotFound):
		return fail(v1alpha1.ReasonImageNotFound, err.Error())
	case err != nil:
		return retry(v1alpha1.ReasonRegistryUnreachable, err).within(imageGrace)
	}
	input := r.input(l, spec)
	input.Image = image
	l.release.Status.Build = &v1alpha1.BuildStatus{Key: build.Key(input), Image: image.Reference}
	return persist(v1alpha1.ReasonBuilding, "the build is named")
}

// sameBuild says whether other built what this Release asks for.
func (l *life) sameBuild(ctx context.Context, reader client.Reader, other *v1alpha1.Release, spec v1alpha1.FrozenSpec) bool {
	if other.Status.Build == nil || other.Status.Artifact == nil || other.Status.Commit != l.release.Status.Commit ||
		other.Status.ServiceUID != l.release.Status.ServiceUID || other.Spec.Rebuild != l.release.Spec.Rebuild {
		return false
	}
	theirs, err := frozen.Get(ctx, reader, other.Namespace, other.Status.Frozen)
	return err == nil && build.SameSpec(theirs, spec)
}

// input is all that shapes the build.
func (r *Reconciler) input(l *life, spec v1alpha1.FrozenSpec) build.Input {
	in := build.Input{
		Namespace: l.release.Namespace, Service: l.service.Name, ServiceUID: v1alpha1.UID(l.service.UID),
		Release: l.release.Name, Commit: l.release.Status.Commit, Rebuild: l.release.Spec.Rebuild,
		Source: spec.Source, Build: spec.Build, Shared: spec.Deploy.Shared, SlipwayImage: r.SlipwayImage,
	}
	if b := l.release.Status.Build; b != nil {
		in.Image.Reference, in.JobName, in.CredentialSecret = b.Image, b.Job, b.Job
	}
	return in
}

// plan takes the artifact that is there, waits for another Release's build of the same key, or numbers a new attempt.
func (r *Reconciler) plan(ctx context.Context, l *life) outcome {
	b := l.release.Status.Build
	if out, found := r.reuse(ctx, l); found {
		return out
	}
	highest := int32(0)
	for i := range l.others {
		other := &l.others[i]
		if other.Status.Build == nil || other.Status.Build.Key != b.Key || other.Status.ServiceUID != l.release.Status.ServiceUID {
			continue
		}
		if !finished(other) && other.Status.Build.Attempt > 0 && other.Status.Artifact == nil {
			return wait(5*time.Second, v1alpha1.ReasonBuilding, "Release "+other.Name+" is building the same commit; its artifact will be used").within(6 * time.Hour)
		}
		highest = max(highest, other.Status.Build.Attempt)
	}
	b.Attempt = highest + 1
	b.Job = build.JobName(v1alpha1.UID(l.service.UID), b.Key, b.Attempt)
	return persist(v1alpha1.ReasonBuilding, fmt.Sprintf("build attempt %d", b.Attempt))
}

// reuse takes the artifact if the depot holds one of the build key.
func (r *Reconciler) reuse(ctx context.Context, l *life) (outcome, bool) {
	artifact, err := r.Depot.FindBuild(ctx, l.storage(), l.release.Status.Build.Key)
	switch {
	case errors.Is(err, depot.ErrNotFound):
		return outcome{}, false
	case err != nil:
		return retry(v1alpha1.ReasonDepotUnavailable, err), true
	}
	mine := l.release.Status.Build.JobUID != ""
	l.release.Status.Artifact = &v1alpha1.ArtifactStatus{
		Digest: artifact.Digest, Files: artifact.Files, Bytes: artifact.Bytes, Reused: !mine,
	}
	if mine {
		return advance(v1alpha1.ReasonSucceeded, built(artifact)), true
	}
	return advance(v1alpha1.ReasonArtifactReused, "the depot holds the artifact of this build already: nothing was built"), true
}

// start brings the source to the depot and makes the Job. The attempt is on record by now.
func (r *Reconciler) start(ctx context.Context, l *life, spec v1alpha1.FrozenSpec) outcome {
	if out, found := r.reuse(ctx, l); found {
		return out
	}
	b := l.release.Status.Build
	if b.JobUID != "" {
		return fail(v1alpha1.ReasonBuildFailed, fmt.Sprintf("Job %s was deleted before it had ended; create a new Release to build again", b.Job))
	}
	credentials, err := r.gitCredentials(ctx, l.release.Namespace, spec.Source.Git.SecretRef)
	if err != nil {
		return secretOutcome(err)
	}
	mirror := depot.MirrorRequest{
		Service: l.storage(), URL: spec.Source.Git.URL, Commit: l.release.Status.Commit, Ref: l.release.Status.Ref, Credentials: credentials,
	}
	done, err := r.background.run(ctx, "mirror/"+string(l.release.UID), mirrorLimit, func(ctx context.Context) error { return r.Depot.Mirror(ctx, mirror) })
	switch {
	case !done:
		return wait(time.Second, v1alpha1.ReasonBuilding, "the depot fetches the source")
	case errors.Is(err, depot.ErrNotFound):
		return fail(v1alpha1.ReasonRevisionNotFound, err.Error())
	case errors.Is(err, depot.ErrRefused):
		return fail(v1alpha1.ReasonSourceRefused, err.Error())
	case errors.Is(err, depot.ErrUnavailable):
		return retry(v1alpha1.ReasonDepotUnavailable, err)
	case err != nil:
		return retry(v1alpha1.ReasonRepositoryUnreachable, err).within(repositoryGrace)
	}
	r.describe(ctx, l)
	return r.createJob(ctx, l, spec)
}

// createJob makes the build's credential and its Job, or finds them made.
func (r *Reconciler) createJob(ctx context.Context, l *life, spec v1alpha1.FrozenSpec) outcome {
	b := l.release.Status.Build
	endpoint, err := r.Endpoint()
	if err != nil {
		return retry(v1alpha1.ReasonDepotUnavailable, err)
	}
	privateKey, certificate, err := r.BuildCredential(r.grant(l, spec), spec.Build.Timeout.Duration+10*time.Minute)
	if err != nil {
		return retry(v1alpha1.ReasonProgressing, err)
	}
	secret := build.CredentialSecret(r.input(l, spec), privateKey, certificate, endpoint)
	job := build.Job(r.input(l, spec))
	owner := *metav1.NewControllerRef(l.release, v1alpha1.GroupVersion.WithKind("Release"))
	for _, object := range []client.Object{secret, job} {
		object.SetOwnerReferences([]metav1.OwnerReference{owner})
		if err := r.Client.Create(ctx, object, client.FieldOwner(FieldOwner)); err != nil && !apierrors.IsAlreadyExists(err) {
			return retry(v1alpha1.ReasonProgressing, fmt.Errorf("make %T %s: %w", object, object.GetName(), err))
		}
	}
	if job.UID == "" {
		return wait(time.Second, v1alpha1.ReasonBuilding, "the build's Job is there") // the cache will show whose it is
	}
	now := metav1.NewTime(r.Clock.Now())
	b.JobUID, b.StartTime = v1alpha1.UID(job.UID), &now
	return persist(v1alpha1.ReasonBuilding, "Job "+b.Job+" was made")
}

// grant says what the build may do at the depot.
func (r *Reconciler) grant(l *life, spec v1alpha1.FrozenSpec) depot.BuildGrant {
	b := l.release.Status.Build
	grant := depot.BuildGrant{
		Service: l.storage(), BuildKey: b.Key, Attempt: b.Attempt,
		Mirror: spec.Source.Git.URL, Commit: l.release.Status.Commit, Path: string(spec.Source.Path),
		AllowShrink: l.release.Spec.AllowShrink || approvals(l.release).Missing(v1alpha1.GateShrunkenArtifact) == "",
	}
	for _, shared := range spec.Deploy.Shared {
		grant.Shared = append(grant.Shared, string(shared.Path))
	}
	for _, cache := range spec.Build.Cache {
		grant.Cache = append(grant.Cache, string(cache))
	}
	if current := l.service.Status.Current; current != nil {
		grant.Previous = current.Digest
	}
	return grant
}

// watch looks at the Job and its Pod.
func (r *Reconciler) watch(ctx context.Context, l *life, spec v1alpha1.FrozenSpec, job *batchv1.Job) outcome {
	b := l.release.Status.Build
	if b.JobUID == "" { // made, but not on record: the manager ended in between
		b.JobUID, b.StartTime = v1alpha1.UID(job.UID), &job.CreationTimestamp
		return persist(v1alpha1.ReasonBuilding, "Job "+b.Job+" is there")
	}
	secrets, err := r.buildSecrets(ctx, l.release.Namespace, spec)
	if err != nil {
		return secretOutcome(err)
	}
	r.BuildLogs.Ensure(job.Namespace, job.Name, l.storage(), secrets)
	var pods corev1.PodList
	if err := r.Client.List(ctx, &pods, client.InNamespace(job.Namespace), client.MatchingLabels{batchv1.JobNameLabel: job.Name}); err != nil {
		return retry(v1alpha1.ReasonProgressing, err)
	}
	verdict := build.Judge(job, pods.Items)
	if verdict.State == build.Running {
		return wait(30*time.Second, v1alpha1.ReasonBuilding, verdict.Message).within(spec.Build.Timeout.Duration + 10*time.Minute)
	}
	now := r.Clock.Now()
	if b.CompletionTime == nil {
		completed := metav1.NewTime(now)
		b.CompletionTime = &completed
	}
	if !r.BuildLogs.Done(job.Namespace, job.Name) && now.Sub(b.CompletionTime.Time) < logGrace {
		return wait(time.Second, v1alpha1.ReasonBuilding, "the build ended; its log is being kept")
	}
	if verdict.Reason == v1alpha1.ReasonArtifactShrunk {
		b.Shrunk = conditions.Shorten(verdict.Message, 1024)
		return persist(v1alpha1.ReasonArtifactShrunk, b.Shrunk)
	}
	if verdict.State == build.Failed {
		return fail(verdict.Reason, verdict.Message)
	}
	if out, found := r.reuse(ctx, l); found {
		return out
	}
	return fail(v1alpha1.ReasonPublishFailed, "the build reports an artifact that the depot does not hold; create a new Release to build again")
}

// buildSecrets are the values of the build's environment that come from Secrets, for redaction.
func (r *Reconciler) buildSecrets(ctx context.Context, namespace string, spec v1alpha1.FrozenSpec) ([]string, error) {
	var values []string
	for _, variable := range spec.Build.Env {
		if variable.SecretKeyRef == nil {
			continue
		}
		secret, err := r.secret(ctx, namespace, variable.SecretKeyRef.Name)
		if err != nil {
			return nil, err
		}
		values = append(values, string(secret.Data[variable.SecretKeyRef.Key]))
	}
	return values, nil
}

// built says in words what was built.
func built(a depot.Artifact) string {
	return fmt.Sprintf("built an artifact of %d files, %d bytes", a.Files, a.Bytes)
}
