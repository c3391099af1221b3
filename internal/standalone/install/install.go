// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package install applies Slipway's kinds, namespace and roles to an API server.
package install

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/config"
)

const fieldOwner = client.FieldOwner("slipway-install")

// Everything applies all manifests and waits until the kinds are served. It may be repeated.
func Everything(ctx context.Context, admin *rest.Config) error {
	c, err := client.New(admin, client.Options{})
	if err != nil {
		return fmt.Errorf("connect to the API server: %w", err)
	}
	objects, err := Objects()
	if err != nil {
		return err
	}
	for _, o := range objects {
		if err := apply(ctx, c, o); err != nil {
			return fmt.Errorf("apply %s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	for _, o := range objects {
		if o.GetKind() == "CustomResourceDefinition" {
			if err := waitEstablished(ctx, c, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// Operators lets who runs standalone do in its Console what people may do.
func Operators(ctx context.Context, admin *rest.Config) error {
	c, err := client.New(admin, client.Options{})
	if err != nil {
		return fmt.Errorf("connect to the API server: %w", err)
	}
	objects, err := read("operators")
	if err != nil {
		return err
	}
	for _, o := range objects {
		if err := apply(ctx, c, o); err != nil {
			return fmt.Errorf("apply %s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return nil
}

// Requester has the cluster say who asks for a Release, and waits until it can: for seconds after the kinds were made it refuses all
// Releases. A cluster before Kubernetes 1.36 has no such kind of policy, and then nobody says it.
func Requester(ctx context.Context, admin *rest.Config) error {
	c, err := client.New(admin, client.Options{})
	if err != nil {
		return fmt.Errorf("connect to the API server: %w", err)
	}
	objects, err := read("requester")
	if err != nil {
		return err
	}
	for _, o := range objects {
		if err := apply(ctx, c, o); meta.IsNoMatchError(err) {
			return nil
		} else if err != nil {
			return fmt.Errorf("apply %s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		release := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"service": "nobody", "revision": "none"}}}
		release.SetAPIVersion("slipway.dev/v1alpha1")
		release.SetKind("Release")
		release.SetNamespace("default")
		release.SetName("is-it-served")
		return !apierrors.IsServiceUnavailable(c.Create(ctx, release, client.DryRunAll)), nil
	})
}

// Policy makes the TargetPolicy of a standalone installation, unless there is one of any name.
func Policy(ctx context.Context, admin *rest.Config) error {
	c, err := client.New(admin, client.Options{})
	if err != nil {
		return fmt.Errorf("connect to the API server: %w", err)
	}
	objects, err := read("standalone")
	if err != nil {
		return err
	}
	for _, o := range objects {
		there := &unstructured.UnstructuredList{}
		there.SetAPIVersion(o.GetAPIVersion())
		there.SetKind(o.GetKind() + "List")
		if err := c.List(ctx, there, client.Limit(1)); err != nil {
			return fmt.Errorf("look for a %s: %w", o.GetKind(), err)
		}
		if len(there.Items) > 0 {
			continue
		}
		if err := c.Create(ctx, o, fieldOwner); err != nil {
			return fmt.Errorf("make %s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return nil
}

// Objects returns what Everything applies, in order.
func Objects() ([]*unstructured.Unstructured, error) {
	return read("namespace", "crd/bases", "rbac", "console", "policy")
}

// read returns the objects of the manifests in some directories, in order.
func read(dirs ...string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for _, dir := range dirs {
		err := fs.WalkDir(config.Manifests, dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			f, err := config.Manifests.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			found, err := decode(f)
			if err != nil {
				return fmt.Errorf("read %s: %w", path, err)
			}
			objects = append(objects, found...)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return objects, nil
}

func decode(r io.Reader) (objects []*unstructured.Unstructured, _ error) {
	decoder := yaml.NewYAMLOrJSONDecoder(r, 4096)
	for {
		o := &unstructured.Unstructured{}
		if err := decoder.Decode(&o.Object); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, err
		}
		if len(o.Object) > 0 {
			objects = append(objects, o)
		}
	}
}

// apply retries while the API server has only just started: RBAC's own roles are written after it is ready.
func apply(ctx context.Context, c client.Client, o *unstructured.Unstructured) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		last = c.Apply(ctx, client.ApplyConfigurationFromUnstructured(o.DeepCopy()), fieldOwner, client.ForceOwnership)
		if apierrors.IsInvalid(last) || apierrors.IsBadRequest(last) || meta.IsNoMatchError(last) {
			return false, last
		}
		return last == nil, nil
	})
	if err != nil && last != nil {
		return last
	}
	return err
}

func waitEstablished(ctx context.Context, c client.Client, crd *unstructured.Unstructured) error {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(crd.GroupVersionKind())
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		if err := c.Get(ctx, client.ObjectKeyFromObject(crd), live); err != nil {
			return false, client.IgnoreNotFound(err)
		}
		conditions, _, err := unstructured.NestedSlice(live.Object, "status", "conditions")
		for _, condition := range conditions {
			if m, ok := condition.(map[string]any); ok && m["type"] == "Established" && m["status"] == "True" {
				return true, err
			}
		}
		return false, err
	})
	if err != nil {
		return fmt.Errorf("wait until %s is served: %w", crd.GetName(), err)
	}
	return nil
}
