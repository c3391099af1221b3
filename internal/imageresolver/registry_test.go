// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package imageresolver

import (
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/internal/build"
)

func TestResolve(t *testing.T) {
	g := NewWithT(t)
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	image, err := random.Image(64, 1)
	g.Expect(err).NotTo(HaveOccurred())
	tag, err := name.NewTag(host+"/php:8.3", name.Insecure)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(remote.Write(tag, image)).To(Succeed())
	digest, err := image.Digest()
	g.Expect(err).NotTo(HaveOccurred())

	r := Registry{Insecure: true}
	found, err := r.Resolve(t.Context(), host+"/php:8.3")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(found).To(Equal(build.Image{Reference: host + "/php@" + digest.String(), Digest: digest.String()}))

	pinned, err := r.Resolve(t.Context(), found.Reference)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(pinned).To(Equal(found), "a digest is taken as it is")

	for _, missing := range []string{host + "/php:9.9", host + "/nothing:1", "PHP:bad reference"} {
		_, err = r.Resolve(t.Context(), missing)
		g.Expect(err).To(MatchError(build.ErrImageNotFound), missing)
	}
	server.Close()
	_, err = r.Resolve(t.Context(), host+"/php:8.3")
	g.Expect(err).To(HaveOccurred())
	g.Expect(err).NotTo(MatchError(build.ErrImageNotFound), "a registry that is down may come back")
}
