// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package podrunner

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Objects reads the objects that a Pod names, in the Pod's own namespace.
type Objects interface {
	Secret(ctx context.Context, namespace, name string) (*corev1.Secret, error)
	ConfigMap(ctx context.Context, namespace, name string) (*corev1.ConfigMap, error)
}

// Environment returns a container's environment as NAME=value in order, and the command and arguments with $(NAME)
// expanded. An error names the object or key that is missing.
func Environment(ctx context.Context, objects Objects, pod *corev1.Pod, c corev1.Container) (env, command, args []string, err error) {
	values := map[string]string{}
	var order []string
	set := func(name, value string) {
		if _, known := values[name]; !known {
			order = append(order, name)
		}
		values[name] = value
	}
	for _, from := range c.EnvFrom {
		data, err := envFrom(ctx, objects, pod.Namespace, from)
		if err != nil {
			return nil, nil, nil, err
		}
		for _, k := range sortedKeys(data) {
			set(from.Prefix+k, string(data[k]))
		}
	}
	for _, e := range c.Env {
		if e.ValueFrom == nil {
			set(e.Name, expand(e.Value, values))
			continue
		}
		value, found, err := valueFrom(ctx, objects, pod, e)
		if err != nil {
			return nil, nil, nil, err
		}
		if found {
			set(e.Name, value)
		}
	}
	for _, name := range order {
		env = append(env, name+"="+values[name])
	}
	for _, s := range c.Command {
		command = append(command, expand(s, values))
	}
	for _, s := range c.Args {
		args = append(args, expand(s, values))
	}
	return env, command, args, nil
}

func envFrom(ctx context.Context, objects Objects, namespace string, from corev1.EnvFromSource) (map[string][]byte, error) {
	switch {
	case from.SecretRef != nil:
		return secretData(ctx, objects, namespace, from.SecretRef.Name, from.SecretRef.Optional)
	case from.ConfigMapRef != nil:
		return configMapData(ctx, objects, namespace, from.ConfigMapRef.Name, from.ConfigMapRef.Optional)
	}
	return nil, nil
}

func valueFrom(ctx context.Context, objects Objects, pod *corev1.Pod, e corev1.EnvVar) (string, bool, error) {
	var (
		data      map[string][]byte
		err       error
		kind      string
		name, key string
		optional  *bool
	)
	switch from := e.ValueFrom; {
	case from.FieldRef != nil:
		value, ok := field(pod, from.FieldRef.FieldPath)
		return value, ok, nil
	case from.SecretKeyRef != nil:
		kind, name, key, optional = "secret", from.SecretKeyRef.Name, from.SecretKeyRef.Key, from.SecretKeyRef.Optional
		data, err = secretData(ctx, objects, pod.Namespace, name, optional)
	case from.ConfigMapKeyRef != nil:
		kind, name, key, optional = "configmap", from.ConfigMapKeyRef.Name, from.ConfigMapKeyRef.Key, from.ConfigMapKeyRef.Optional
		data, err = configMapData(ctx, objects, pod.Namespace, name, optional)
	}
	if err != nil {
		return "", false, err
	}
	value, found := data[key]
	if !found && (optional == nil || !*optional) {
		return "", false, fmt.Errorf("%s %s/%s has no key %q for the variable %s", kind, pod.Namespace, name, key, e.Name)
	}
	return string(value), found, nil
}

func secretData(ctx context.Context, objects Objects, namespace, name string, optional *bool) (map[string][]byte, error) {
	secret, err := objects.Secret(ctx, namespace, name)
	if apierrors.IsNotFound(err) && optional != nil && *optional {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("secret %s/%s: %w", namespace, name, err)
	}
	return secret.Data, nil
}

func configMapData(ctx context.Context, objects Objects, namespace, name string, optional *bool) (map[string][]byte, error) {
	m, err := objects.ConfigMap(ctx, namespace, name)
	if apierrors.IsNotFound(err) && optional != nil && *optional {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("configmap %s/%s: %w", namespace, name, err)
	}
	data := map[string][]byte{}
	for k, v := range m.Data {
		data[k] = []byte(v)
	}
	for k, v := range m.BinaryData {
		data[k] = v
	}
	return data, nil
}

// expand replaces $(NAME) by the value of NAME where it is set; $$ is a dollar sign. As a kubelet does it.
func expand(s string, values map[string]string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '$' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		switch s[i+1] {
		case '$':
			b.WriteByte('$')
			i++
		case '(':
			end := strings.IndexByte(s[i:], ')')
			if end < 0 {
				b.WriteByte('$')
				continue
			}
			name := s[i+2 : i+end]
			if value, ok := values[name]; ok {
				b.WriteString(value)
			} else {
				b.WriteString(s[i : i+end+1])
			}
			i += end
		default:
			b.WriteByte('$')
		}
	}
	return b.String()
}
