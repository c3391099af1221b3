// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// TestADriftedHostConvergesAgain edits a file without changing its size or mtime, and then moves the link.
func TestADriftedHostConvergesAgain(t *testing.T) {
	w, g := shared, NewWithT(t)
	r := newRepository(t)
	r.commit("v1", map[string]string{"index.html": "one\n"})
	w.service(t, "drift", r, "", func(s *v1alpha1.Service) {
		s.Spec.Revision, s.Spec.Deploy.DriftInterval = "v1", metav1.Duration{Duration: 5 * time.Second}
	})
	w.succeeded(t, "drift-1")

	file := w.onHost(1, "srv/www/drift/current/index.html")
	info, err := os.Stat(file)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.WriteFile(file, []byte("bad\n"), 0o644)).To(Succeed())
	g.Expect(os.Chtimes(file, info.ModTime(), info.ModTime())).To(Succeed())
	g.Eventually(func() (string, error) {
		content, err := os.ReadFile(w.onHost(1, "srv/www/drift/current/index.html"))
		return string(content), err
	}, time.Minute, 200*time.Millisecond).Should(Equal("one\n"))
	w.ready(t, "drift")

	current := w.onHost(2, "srv/www/drift/current")
	g.Expect(os.Mkdir(filepath.Join(filepath.Dir(current), "elsewhere"), 0o755)).To(Succeed())
	g.Expect(os.Remove(current)).To(Succeed())
	g.Expect(os.Symlink("elsewhere", current)).To(Succeed())
	g.Eventually(func() (string, error) {
		content, err := os.ReadFile(filepath.Join(current, "index.html"))
		return string(content), err
	}, time.Minute, 200*time.Millisecond).Should(Equal("one\n"))
	w.ready(t, "drift")
}
