// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package build

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"slices"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// keyVersion names the recipe of the build key. Changing what goes into a key needs a new one: an old key must never
// come to mean something else.
const keyVersion = "slipway-build-1"

// keyFields are what shapes a build's result, in a fixed order of names.
type keyFields struct {
	Version string             `json:"version"`
	Commit  string             `json:"commit"`
	Path    string             `json:"path"`
	Image   string             `json:"image"`
	Script  string             `json:"script"`
	Env     []keyVariable      `json:"env"`
	Output  string             `json:"output"`
	Exclude []v1alpha1.Pattern `json:"exclude"`
	Shared  []string           `json:"shared"`
	Rebuild string             `json:"rebuild"`
}

type keyVariable struct {
	Name   string `json:"name"`
	Value  string `json:"value,omitempty"`
	Secret string `json:"secret,omitempty"`
}

// Key is the build key: "b1-" and 64 hex digits, a hash of the commit, the build spec's fields that shape the result,
// the image's content and the rebuild nonce. Resources, timeout and cache do not shape the result; of a Secret only
// its name and key count.
func Key(in Input) string {
	fields := keyFields{
		Version: keyVersion, Commit: in.Commit, Path: path.Clean(string(in.Source.Path)), Image: in.Image.Digest,
		Script: in.Build.Script, Output: path.Clean(string(in.Build.Output.Path)), Rebuild: in.Rebuild,
		Env: variables(in.Build.Env), Exclude: slices.Sorted(slices.Values(in.Build.Output.Exclude)),
	}
	for _, shared := range in.Shared {
		fields.Shared = append(fields.Shared, string(shared.Path))
	}
	slices.Sort(fields.Shared)
	data, err := json.Marshal(fields)
	if err != nil {
		panic(fmt.Sprintf("build: strings do not go into JSON: %v", err))
	}
	sum := sha256.Sum256(data)
	return "b1-" + hex.EncodeToString(sum[:])
}

func variables(env []v1alpha1.EnvVar) []keyVariable {
	out := make([]keyVariable, 0, len(env))
	for _, e := range env {
		v := keyVariable{Name: e.Name}
		if e.Value != nil {
			v.Value = *e.Value
		}
		if e.SecretKeyRef != nil {
			v.Secret = e.SecretKeyRef.Name + "/" + e.SecretKeyRef.Key
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b keyVariable) int {
		switch {
		case a.Name < b.Name:
			return -1
		case a.Name > b.Name:
			return 1
		}
		return 0
	})
	return out
}

// SameSpec says whether two frozen specs shape a build's result alike, the image's content left aside.
func SameSpec(a, b v1alpha1.FrozenSpec) bool {
	key := func(s v1alpha1.FrozenSpec) string {
		return Key(Input{Source: s.Source, Build: s.Build, Shared: s.Deploy.Shared, Image: Image{Digest: s.Build.Image}})
	}
	return key(a) == key(b) && a.Source.Git.URL == b.Source.Git.URL
}

// JobName names the Job of one attempt at one key: at most 63 characters, a valid label, the same at every call.
func JobName(service v1alpha1.UID, key string, attempt int32) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%d", service, key, attempt))
	return fmt.Sprintf("build-%s-%d", hex.EncodeToString(sum[:8]), attempt)
}
