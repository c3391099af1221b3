// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package build

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// sample is a build with every field that shapes its result.
func sample() Input {
	return Input{
		Namespace: "web", Service: "blog", ServiceUID: "svc", Release: "blog-1", Commit: "3b4838c2d1f7a08f2e0e1c7d6a5b4c3d2e1f0a9b",
		Source: v1alpha1.SourceSpec{Git: v1alpha1.GitSource{URL: "https://git.example.com/blog.git"}, Path: "site"},
		Build: v1alpha1.BuildSpec{
			Image: "php:8.3-cli", Script: "composer install", Timeout: metav1.Duration{Duration: 15 * time.Minute},
			Env: []v1alpha1.EnvVar{
				{Name: "APP_ENV", Value: ptr.To("prod")},
				{Name: "TOKEN", SecretKeyRef: &v1alpha1.SecretKeyReference{LocalReference: v1alpha1.LocalReference{Name: "ci"}, Key: "token"}},
			},
			Cache:  []v1alpha1.RelativePath{"vendor"},
			Output: v1alpha1.BuildOutput{Path: "public", Exclude: []v1alpha1.Pattern{".git/", "*.map"}},
		},
		Shared: []v1alpha1.SharedPath{{Path: "uploads", Type: v1alpha1.SharedDir}},
		Image:  Image{Reference: "php@sha256:1", Digest: "sha256:1"}, JobName: "build-x-1", SlipwayImage: "slipway:dev", CredentialSecret: "build-x-1",
	}
}

// TestKeyIsForever pins the key of one build: if this changes, every artifact in every depot is built anew. A new recipe
// needs a new version.
func TestKeyIsForever(t *testing.T) {
	NewWithT(t).Expect(Key(sample())).To(Equal("b1-e07441e7b28ed29c6ea892507278319cdbfe592d3dadcefa8b718ebdfb62f47b"))
}

func TestWhatShapesTheResultChangesTheKey(t *testing.T) {
	base := Key(sample())
	for name, test := range map[string]struct {
		change  func(*Input)
		changes bool
	}{
		"the commit":          {func(in *Input) { in.Commit = "0" + in.Commit[1:] }, true},
		"the image's content": {func(in *Input) { in.Image.Digest = "sha256:2" }, true},
		"the script":          {func(in *Input) { in.Build.Script += "\n" }, true},
		"a variable":          {func(in *Input) { in.Build.Env[0].Value = ptr.To("dev") }, true},
		"a Secret's key":      {func(in *Input) { in.Build.Env[1].SecretKeyRef.Key = "other" }, true},
		"the source's path":   {func(in *Input) { in.Source.Path = "." }, true},
		"the output":          {func(in *Input) { in.Build.Output.Path = "dist" }, true},
		"an exclude":          {func(in *Input) { in.Build.Output.Exclude = in.Build.Output.Exclude[:1] }, true},
		"a shared path":       {func(in *Input) { in.Shared = nil }, true},
		"the rebuild nonce":   {func(in *Input) { in.Rebuild = "2026-11-23" }, true},
		"the timeout":         {func(in *Input) { in.Build.Timeout.Duration++ }, false},
		"the resources":       {func(in *Input) { in.Build.Resources.Limits = corev1.ResourceList{"cpu": resource.MustParse("2")} }, false},
		"the cache":           {func(in *Input) { in.Build.Cache = nil }, false},
		"the image's name":    {func(in *Input) { in.Build.Image, in.Image.Reference = "php:8", "php:8" }, false},
		"the Release":         {func(in *Input) { in.Release = "blog-2" }, false},
		"an equal path":       {func(in *Input) { in.Source.Path = "./site/" }, false},
		"the order of excludes": {func(in *Input) {
			e := in.Build.Output.Exclude
			in.Build.Output.Exclude = []v1alpha1.Pattern{e[1], e[0]}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			in := sample()
			test.change(&in)
			NewWithT(t).Expect(Key(in) != base).To(Equal(test.changes))
		})
	}
}

func TestJobNamesAreValidAndTellAttemptsApart(t *testing.T) {
	g := NewWithT(t)
	first, second := JobName("svc", "key", 1), JobName("svc", "key", 2)
	g.Expect(validation.IsDNS1123Label(first)).To(BeEmpty())
	g.Expect(first).To(Equal(JobName("svc", "key", 1)))
	g.Expect(second).NotTo(Equal(first))
	g.Expect(JobName("other", "key", 1)).NotTo(Equal(first))
}
