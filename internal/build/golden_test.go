// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package build

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden Jobs anew")

// TestGoldenJobs shows in review what a change does to the Jobs.
func TestGoldenJobs(t *testing.T) {
	for name, change := range map[string]func(*Input){
		"plain": func(in *Input) {
			in.Build.Env, in.Build.Cache, in.Shared = nil, nil, nil
			in.Build.Output, in.Source.Path = v1alpha1.BuildOutput{Path: ".", Exclude: []v1alpha1.Pattern{".git/"}}, "."
		},
		"env-secret-and-cache": func(*Input) {},
		"resources": func(in *Input) {
			in.Build.Resources = v1alpha1.BuildResources{
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m")},
				Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("2Gi")},
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			in := sample()
			change(&in)
			made, err := yaml.Marshal(Job(in))
			g.Expect(err).NotTo(HaveOccurred())
			file := filepath.Join("testdata", name+".golden.yaml")
			if *update {
				g.Expect(os.WriteFile(file, made, 0o644)).To(Succeed())
			}
			golden, err := os.ReadFile(file)
			g.Expect(err).NotTo(HaveOccurred(), "write the golden Jobs with: go test ./internal/build -update")
			g.Expect(string(made)).To(Equal(string(golden)), "if that is right: go test ./internal/build -update")
		})
	}
}
