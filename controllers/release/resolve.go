// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package release

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/frozen"
	"github.com/slipway-dev/slipway/internal/gitsource"
)

// repositoryGrace is how long an unreachable repository is tried.
const repositoryGrace = 5 * time.Minute

// errSecret says that a Secret cannot be used; its message says which and why.
var errSecret = errors.New("secret")

// resolve pins the commit and freezes the Service.
func (r *Reconciler) resolve(ctx context.Context, l *life) outcome {
	status := &l.release.Status
	source := l.service.Spec.Source
	credentials, err := r.gitCredentials(ctx, l.release.Namespace, source.Git.SecretRef)
	if err != nil {
		return secretOutcome(err)
	}
	resolved, err := r.Resolver.Resolve(ctx, source.Git.URL, string(l.release.Spec.Revision), credentials)
	switch {
	case errors.Is(err, gitsource.ErrRevisionNotFound):
		return fail(v1alpha1.ReasonRevisionNotFound, err.Error())
	case errors.Is(err, gitsource.ErrRefused):
		return fail(v1alpha1.ReasonSourceRefused, err.Error())
	case err != nil:
		return retry(v1alpha1.ReasonRepositoryUnreachable, err).within(repositoryGrace)
	}
	name, err := frozen.Ensure(ctx, r.Client, l.service, frozen.Spec(l.service), status.Sequence)
	if err != nil {
		return retry(v1alpha1.ReasonProgressing, err)
	}
	status.Commit, status.Ref = resolved.Commit, resolved.Ref
	status.ShortCommit = short(resolved.Commit)
	status.Frozen = name
	return advance(v1alpha1.ReasonSucceeded, fmt.Sprintf("%s is commit %s", l.release.Spec.Revision, short(resolved.Commit)))
}

// gitCredentials reads the repository's credentials past the cache.
func (r *Reconciler) gitCredentials(ctx context.Context, namespace string, ref *v1alpha1.LocalReference) (depot.GitCredentials, error) {
	if ref == nil {
		return depot.GitCredentials{}, nil
	}
	secret, err := r.secret(ctx, namespace, ref.Name)
	if err != nil {
		return depot.GitCredentials{}, err
	}
	c, ok := gitsource.CredentialsFrom(secret.Data)
	if !ok {
		return depot.GitCredentials{}, fmt.Errorf("%w %s has neither the key %q (https) nor %q (ssh)", errSecret, ref.Name, corev1.BasicAuthPasswordKey, corev1.SSHAuthPrivateKey)
	}
	return c, nil
}

// secret reads a named Secret of the Service's own namespace past the cache.
func (r *Reconciler) secret(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	var secret corev1.Secret
	err := r.Reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &secret)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%w %s is not in namespace %s: create it", errSecret, name, namespace)
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret %s: %w", name, err)
	}
	return &secret, nil
}

// secretOutcome waits for a person where a Secret is missing and retries other errors.
func secretOutcome(err error) outcome {
	if errors.Is(err, errSecret) {
		return wait(10*time.Second, v1alpha1.ReasonSecretNotFound, err.Error()).within(repositoryGrace)
	}
	return retry(v1alpha1.ReasonProgressing, err)
}

// short is the first eight digits of a commit.
func short(commit string) string { return commit[:min(8, len(commit))] }
