// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package rights compares what the manifests let Slipway's processes do with what they did, as the API server recorded it.
package rights

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/slipway-dev/slipway/internal/standalone/install"
)

const namespace = "slipway-system"

// Right is one thing that may be done: "verb resource.group" or "verb resource/subresource.group".
type Right string

func right(verb, group, resource string) Right {
	return Right(verb + " " + strings.TrimSuffix(resource+"."+group, "."))
}

// Granted lists what the roles of a service account let it do.
func Granted(account string) (map[Right]bool, error) {
	objects, err := install.Objects()
	if err != nil {
		return nil, err
	}
	rules := map[string][]rbacv1.PolicyRule{}
	var roles []string
	for _, o := range objects {
		switch o.GetKind() {
		case "ClusterRole", "Role":
			var role rbacv1.ClusterRole
			if err := typed(o, &role); err != nil {
				return nil, err
			}
			rules[o.GetKind()+"/"+o.GetName()] = role.Rules
		case "ClusterRoleBinding", "RoleBinding":
			var binding rbacv1.ClusterRoleBinding
			if err := typed(o, &binding); err != nil {
				return nil, err
			}
			for _, subject := range binding.Subjects {
				if subject.Kind == "ServiceAccount" && subject.Name == account && subject.Namespace == namespace {
					roles = append(roles, binding.RoleRef.Kind+"/"+binding.RoleRef.Name)
				}
			}
		}
	}
	granted := map[Right]bool{}
	for _, role := range roles {
		for _, rule := range rules[role] {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						granted[right(verb, group, resource)] = true
					}
				}
			}
		}
	}
	if len(granted) == 0 {
		return nil, fmt.Errorf("no role is bound to %s", account)
	}
	return granted, nil
}

func typed(o *unstructured.Unstructured, into any) error {
	return runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, into)
}

// event is what an audit record says.
type event struct {
	Verb string
	User struct{ Username string }
	// ObjectRef is nil for what is no resource, such as /version.
	ObjectRef *struct {
		Resource, Subresource, APIGroup, Namespace, Name string
	}
	ResponseStatus struct{ Code int }
}

// Used lists what a service account did after the API server's records, and what it was denied.
func Used(log, account string) (used map[Right]bool, denied []string, err error) {
	files, err := filepath.Glob(strings.TrimSuffix(log, ".log") + "*.log") // those that were rotated away included
	if err != nil {
		return nil, nil, err
	}
	used = map[Right]bool{}
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			return nil, nil, err
		}
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var e event
			if json.Unmarshal(lines.Bytes(), &e) != nil || e.ObjectRef == nil || e.User.Username != "system:serviceaccount:"+namespace+":"+account {
				continue // the last line may be half written
			}
			resource := e.ObjectRef.Resource
			if e.ObjectRef.Subresource != "" {
				resource += "/" + e.ObjectRef.Subresource
			}
			r := right(e.Verb, e.ObjectRef.APIGroup, resource)
			if e.ResponseStatus.Code == 403 {
				denied = append(denied, fmt.Sprintf("%s %s/%s", r, e.ObjectRef.Namespace, e.ObjectRef.Name))
				continue
			}
			used[r] = true
		}
		err = lines.Err()
		_ = file.Close()
		if err != nil {
			return nil, nil, fmt.Errorf("read %s: %w", name, err)
		}
	}
	return used, denied, nil
}

// Needless lists what is granted to a service account and neither used nor excused, and what is excused without need. Who
// watches may list: where the API server can't stream a list, client-go asks for it.
func Needless(granted, used map[Right]bool, excused map[Right]string) []Right {
	var needless []Right
	for r := range granted {
		_, known := excused[r]
		if resource, lists := strings.CutPrefix(string(r), "list "); lists && used["watch "+Right(resource)] {
			known = true
		}
		if !used[r] && !known {
			needless = append(needless, r)
		}
	}
	for r := range maps.Keys(excused) {
		if !granted[r] {
			needless = append(needless, r+" (excused, and not granted)")
		}
	}
	slices.Sort(needless)
	return needless
}
