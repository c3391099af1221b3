// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/delivery"
	"github.com/slipway-dev/slipway/internal/discovery"
	"github.com/slipway-dev/slipway/internal/policy"
)

// knownHostsKey of a ConfigMap with host keys, and authoritiesKey of one with certificates.
const (
	knownHostsKey  = "known_hosts"
	authoritiesKey = "ca.crt"
)

// permitted looks again, just before the host is reached, whether it is still the Service's and still permitted.
func (r *Reconciler) permitted(ctx context.Context, j *job) *delivery.Failure {
	var policies v1alpha1.TargetPolicyList
	if err := r.Client.List(ctx, &policies); err != nil {
		return &delivery.Failure{Step: accessStep, Reason: v1alpha1.ReasonNotPermitted, Message: fmt.Sprintf("list TargetPolicies: %v", err)}
	}
	err := discovery.Check(ctx, j.target.Spec.Host, j.service.Spec.Targets, r.Finder, policy.For(j.service, policies.Items))
	if err != nil {
		return &delivery.Failure{Step: accessStep, Reason: v1alpha1.ReasonNotPermitted, Terminal: true, Message: err.Error() + "; the host is left alone"}
	}
	return nil
}

// access reads how the host is reached. Key and host keys are read past the cache, by name, in the Service's namespace.
func (r *Reconciler) access(ctx context.Context, j *job) *delivery.Failure {
	ssh := j.service.Spec.SSH
	host := j.target.Spec.Host
	j.host = delivery.Host{
		Namespace: j.target.Namespace, Name: host.Name, Address: host.Address, Port: int(host.Port),
		User: ssh.User, Policy: ssh.HostKeys.Policy, HostKey: j.target.Status.HostKey,
	}
	var secret corev1.Secret
	name := types.NamespacedName{Namespace: j.target.Namespace, Name: ssh.KeySecretRef.Name}
	if err := r.Reader.Get(ctx, name, &secret); err != nil {
		return unreadable("Secret", name.Name, "spec.ssh.keySecretRef", err)
	}
	if j.host.PrivateKey = secret.Data[corev1.SSHAuthPrivateKey]; len(j.host.PrivateKey) == 0 {
		return missing("Secret", name.Name, corev1.SSHAuthPrivateKey)
	}
	if ref := ssh.HostKeys.ConfigMapRef; ref != nil {
		text, problem := r.configMap(ctx, j, ref.Name, knownHostsKey, "spec.ssh.hostKeys.configMapRef")
		if problem != nil {
			return problem
		}
		j.host.KnownHosts = text
	}
	if check := j.deploy.HealthCheck; check != nil && check.HTTP != nil && check.HTTP.TLS != nil && check.HTTP.TLS.CAConfigMapRef != nil {
		text, problem := r.configMap(ctx, j, check.HTTP.TLS.CAConfigMapRef.Name, authoritiesKey, "spec.deploy.healthCheck.http.tls.caConfigMapRef")
		if problem != nil {
			return problem
		}
		j.authorities = text
	}
	return nil
}

// configMap reads one key of a ConfigMap.
func (r *Reconciler) configMap(ctx context.Context, j *job, name, key, field string) ([]byte, *delivery.Failure) {
	var configMap corev1.ConfigMap
	if err := r.Reader.Get(ctx, types.NamespacedName{Namespace: j.target.Namespace, Name: name}, &configMap); err != nil {
		return nil, unreadable("ConfigMap", name, field, err)
	}
	text, there := configMap.Data[key]
	if !there {
		return nil, missing("ConfigMap", name, key)
	}
	return []byte(text), nil
}

// accessStep names the step at which reading the key or the host keys failed.
const accessStep = "Access"

func unreadable(kind, name, field string, err error) *delivery.Failure {
	if apierrors.IsNotFound(err) {
		return &delivery.Failure{Step: accessStep, Reason: v1alpha1.ReasonSecretNotFound, Terminal: true,
			Message: fmt.Sprintf("%s %s, which the Service names in %s, is not there: create it in the Service's namespace", kind, name, field)}
	}
	return &delivery.Failure{Step: accessStep, Reason: v1alpha1.ReasonSecretNotFound, Message: fmt.Sprintf("read %s %s: %v", kind, name, err)}
}

func missing(kind, name, key string) *delivery.Failure {
	return &delivery.Failure{Step: accessStep, Reason: v1alpha1.ReasonSecretNotFound, Terminal: true,
		Message: fmt.Sprintf("%s %s has no key %q", kind, name, key)}
}
