// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/depot/store"
)

func open(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(dir, clock.RealClock{})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return s
}

// A manager that leads no more may still talk. Nothing that it says takes back what its successor said.
func TestALateWordTakesNothingBack(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	s := open(t, dir)
	record := func(digest string, sequence int64) *v1alpha1.ReleaseRecord {
		return &v1alpha1.ReleaseRecord{Release: digest, Digest: digest, Frozen: "f-" + digest, Sequence: sequence}
	}
	word := func(generation int64, current *v1alpha1.ReleaseRecord, host string, fence int64) depot.Word {
		return depot.Word{Service: "uid", Storage: "uid", Generation: generation, Current: current,
			Records: []v1alpha1.ReleaseRecord{*record(host, 0)}, Deploy: map[string]v1alpha1.DeploySpec{"f-" + host: {Path: "/srv/" + v1alpha1.AbsolutePath(host)}},
			Hosts: []depot.HostWord{{ID: "web-2", Digest: "a", Frozen: "f-a", Fence: 1}, {ID: "web-1", Digest: host, Frozen: "f-" + host, Fence: fence}}}
	}
	g.Expect(s.SetWord(word(3, record("two", 2), "two", 7))).To(Succeed())
	g.Expect(s.SetWord(word(2, record("three", 3), "x", 9))).To(Succeed(), "an older spec")
	g.Expect(s.SetWord(word(3, record("one", 1), "x", 9))).To(Succeed(), "an older Release")
	g.Expect(s.SetWord(word(3, nil, "x", 9))).To(Succeed(), "from before the first Release")
	g.Expect(s.Words()[0].Host("web-1")).To(HaveValue(Equal(depot.HostWord{ID: "web-1", Digest: "two", Frozen: "f-two", Fence: 7})))

	g.Expect(s.SetWord(word(4, record("two", 2), "one", 6))).To(Succeed(), "a newer spec, and an older order")
	s = open(t, dir)
	g.Expect(s.Words()).To(HaveLen(1))
	got := s.Words()[0]
	g.Expect(got.Generation).To(BeEquivalentTo(4))
	g.Expect(got.Host("web-1").Digest).To(Equal("two"), "a fence never falls")
	g.Expect(got.Record("two", "f-two")).NotTo(BeNil())
	g.Expect(got.Deploy["f-two"].Path).To(BeEquivalentTo("/srv/two"))
	g.Expect(got.Host("web-3")).To(BeNil())

	g.Expect(os.WriteFile(filepath.Join(dir, "words", "broken.json"), []byte("{"), 0o600)).To(Succeed())
	g.Expect(open(t, dir).Words()).To(HaveLen(1), "a damaged file is as if the manager had said nothing")
	g.Expect(s.SetWord(depot.Word{Service: "../x", Storage: "uid"})).To(MatchError(depot.ErrRefused))
}

func TestBindingsAreKeptAndTold(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	s := open(t, dir)
	bind := func(instance, key string) {
		_, err := s.ChangeBinding(instance, func(b *depot.Binding, _ map[string]depot.Binding) error { b.HostKey = key; return nil })
		g.Expect(err).NotTo(HaveOccurred())
	}
	bind("i-1", "one")
	bind("i-2", "two")
	no := errors.New("no")
	_, err := s.ChangeBinding("i-1", func(b *depot.Binding, _ map[string]depot.Binding) error { b.HostKey = "other"; return no })
	g.Expect(err).To(MatchError(no))
	_, err = s.ChangeBinding("../i", func(*depot.Binding, map[string]depot.Binding) error { return nil })
	g.Expect(err).To(MatchError(depot.ErrRefused))

	s = open(t, dir)
	binding, bound := s.BindingOfKey("one")
	g.Expect(bound).To(BeTrue())
	g.Expect(binding.Instance).To(Equal("i-1"))
	_, bound = s.BindingOfKey("other")
	g.Expect(bound).To(BeFalse())
	list := s.Bindings(t.Context(), 0)
	g.Expect(list).To(HaveLen(2))
	g.Expect(list[1].Instance).To(Equal("i-2"))

	got := make(chan []depot.Binding)
	go func() { got <- s.Bindings(t.Context(), list[1].Serial) }()
	bind("i-1", "three")
	g.Eventually(got).Should(Receive(HaveExactElements(HaveField("HostKey", "three"))))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	g.Expect(s.Bindings(ended, 99)).To(BeEmpty())
}
