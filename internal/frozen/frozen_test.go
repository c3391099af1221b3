// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package frozen

import (
	"encoding/json"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

func sample() v1alpha1.FrozenSpec {
	return v1alpha1.FrozenSpec{
		Source: v1alpha1.SourceSpec{Git: v1alpha1.GitSource{URL: "https://git.example.com/blog.git"}, Path: "."},
		Build:  v1alpha1.BuildSpec{Image: "php:8.3-cli", Script: "true", Timeout: metav1.Duration{Duration: time.Minute}},
		Deploy: v1alpha1.DeploySpec{Path: "/var/www/blog", Layout: v1alpha1.LayoutAtomic},
	}
}

// TestFrozenSpecsAreReadForEver pins name and encoding: records of years ago must still be found and read.
func TestFrozenSpecsAreReadForEver(t *testing.T) {
	g := NewWithT(t)
	g.Expect(Name("blog", sample())).To(Equal("blog-ad16b77b3e"))
	back, err := Decode(&appsv1.ControllerRevision{Data: runtime.RawExtension{Raw: encode(sample())}})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(back).To(Equal(sample()))
}

func TestAnEditHasAnotherName(t *testing.T) {
	g := NewWithT(t)
	edited := sample()
	edited.Deploy.KeepReleases = 9
	g.Expect(Name("blog", edited)).NotTo(Equal(Name("blog", sample())))
	g.Expect(Name("shop", sample())).NotTo(Equal(Name("blog", sample())))
}

func TestAnUnknownEncodingIsSaid(t *testing.T) {
	g := NewWithT(t)
	raw, err := json.Marshal(map[string]any{"version": "slipway.dev/frozen-v99"})
	g.Expect(err).NotTo(HaveOccurred())
	_, err = Decode(&appsv1.ControllerRevision{Data: runtime.RawExtension{Raw: raw}})
	g.Expect(err).To(MatchError(ContainSubstring("frozen-v99")))
}
