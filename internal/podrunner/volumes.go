// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package podrunner

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Volumes makes the Pod's volumes as directories below dir, each named as its volume. Made again, they stay as they
// are: what a container wrote is kept. Secrets are readable by root and by the Pod's fsGroup, or as their modes say.
func Volumes(ctx context.Context, objects Objects, pod *corev1.Pod, dir string) error {
	for _, v := range pod.Spec.Volumes {
		path := filepath.Join(dir, v.Name)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		// Made aside and renamed, so that a volume is whole or not there.
		aside := path + ".new"
		if err := os.RemoveAll(aside); err != nil {
			return err
		}
		if err := os.MkdirAll(aside, 0o755); err != nil {
			return err
		}
		if err := fill(ctx, objects, pod, v, aside); err != nil {
			return fmt.Errorf("volume %q: %w", v.Name, err)
		}
		if err := os.Rename(aside, path); err != nil {
			return err
		}
	}
	return nil
}

func fill(ctx context.Context, objects Objects, pod *corev1.Pod, v corev1.Volume, dir string) error {
	group := -1
	if s := pod.Spec.SecurityContext; s != nil && s.FSGroup != nil {
		group = int(*s.FSGroup)
	}
	switch {
	case v.EmptyDir != nil:
		mode := os.FileMode(0o777)
		if group >= 0 {
			if err := os.Chown(dir, -1, group); err != nil {
				return err
			}
			mode |= os.ModeSetgid
		}
		return os.Chmod(dir, mode)
	case v.Secret != nil:
		data, err := secretData(ctx, objects, pod.Namespace, v.Secret.SecretName, v.Secret.Optional)
		if err != nil {
			return err
		}
		return files(dir, data, v.Secret.Items, v.Secret.DefaultMode, v.Secret.Optional, group)
	case v.ConfigMap != nil:
		data, err := configMapData(ctx, objects, pod.Namespace, v.ConfigMap.Name, v.ConfigMap.Optional)
		if err != nil {
			return err
		}
		return files(dir, data, v.ConfigMap.Items, v.ConfigMap.DefaultMode, v.ConfigMap.Optional, group)
	}
	return fmt.Errorf("its kind is not supported")
}

func files(dir string, data map[string][]byte, items []corev1.KeyToPath, defaultMode *int32, optional *bool, group int) error {
	if items == nil {
		for _, key := range sortedKeys(data) {
			items = append(items, corev1.KeyToPath{Key: key, Path: key})
		}
	}
	for _, item := range items {
		value, ok := data[item.Key]
		if !ok {
			if optional != nil && *optional {
				continue
			}
			return fmt.Errorf("there is no key %q", item.Key)
		}
		if !filepath.IsLocal(item.Path) {
			return fmt.Errorf("the path %q of key %q leads out of the volume", item.Path, item.Key)
		}
		mode := os.FileMode(0o644)
		if defaultMode != nil {
			mode = os.FileMode(*defaultMode)
		}
		if item.Mode != nil {
			mode = os.FileMode(*item.Mode)
		}
		path := filepath.Join(dir, item.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, value, 0o600); err != nil {
			return err
		}
		if group >= 0 {
			if err := os.Chown(path, -1, group); err != nil {
				return err
			}
			mode |= 0o040
		}
		if err := os.Chmod(path, mode.Perm()); err != nil {
			return err
		}
	}
	return nil
}

func sortedKeys(m map[string][]byte) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
