// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package target

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot"
)

type bound map[string]depot.Binding

func (b bound) Binding(instance string) (depot.Binding, bool) {
	binding, known := b[instance]
	return binding, known
}

// Which key a host is expected to show at the next connection, and whether there is one at all.
func TestWhichHostKeyIsExpected(t *testing.T) {
	for name, c := range map[string]struct {
		policy       v1alpha1.HostKeyPolicy
		pinned, host string
		want, reason string
	}{
		"bound, and proved":                {v1alpha1.HostKeysBound, "", "i-1", "proved", ""},
		"bound, and not proved yet":        {v1alpha1.HostKeysBound, "", "i-2", "", v1alpha1.ReasonHostKeyUnknown},
		"bound, and pinned before":         {v1alpha1.HostKeysBound, "pinned", "i-1", "pinned", ""},
		"bound, and a person named a key":  {v1alpha1.HostKeysBound, "SHA256:x", "i-2", "SHA256:x", ""},
		"first use, and proved":            {v1alpha1.HostKeysFirstUse, "", "i-1", "proved", ""},
		"first use, and not proved":        {v1alpha1.HostKeysFirstUse, "", "i-2", "", ""},
		"listed keys know nothing of this": {v1alpha1.HostKeysKnown, "", "i-1", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			r := &Reconciler{Options: Options{Bindings: bound{"i-1": {HostKey: "proved"}}}}
			j := &job{target: &v1alpha1.Target{}, service: &v1alpha1.Service{}}
			j.target.Spec.Host.ID, j.host.Policy, j.host.HostKey = c.host, c.policy, c.pinned
			failure := r.hostKey(j)
			g.Expect(j.host.HostKey).To(Equal(c.want))
			if c.reason == "" {
				g.Expect(failure).To(BeNil())
				return
			}
			g.Expect(failure).To(And(HaveField("Reason", c.reason), HaveField("Terminal", true)))
		})
	}
}

func TestWhichKeyIsPinned(t *testing.T) {
	for name, c := range map[string]struct {
		policy       v1alpha1.HostKeyPolicy
		before, want string
	}{
		"the first one":               {v1alpha1.HostKeysFirstUse, "", "seen"},
		"the one that was bound":      {v1alpha1.HostKeysBound, "", "seen"},
		"the one that a person named": {v1alpha1.HostKeysBound, "SHA256:x", "seen"},
		"another one stays":           {v1alpha1.HostKeysBound, "ssh-ed25519 AAAA", "ssh-ed25519 AAAA"},
		"none where keys are listed":  {v1alpha1.HostKeysKnown, "", ""},
	} {
		j := &job{}
		j.host.Policy = c.policy
		status := &v1alpha1.TargetStatus{HostKey: c.before}
		j.pin(status, "seen")
		NewWithT(t).Expect(status.HostKey).To(Equal(c.want), name)
		j.pin(status, "")
		NewWithT(t).Expect(status.HostKey).To(Equal(c.want), name)
	}
}

func TestWhatAConsentSays(t *testing.T) {
	g := NewWithT(t)
	key := "SHA256:" + "aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789+/abcde"
	g.Expect(repinRequest.FindStringSubmatch("alice@example.com " + key + " disk restored")).To(HaveExactElements(Not(BeEmpty()), "alice@example.com", key, " disk restored"))
	for _, bad := range []string{"", key, "alice", "alice MD5:00", "alice " + key[:40], "alice " + key + "x"} {
		g.Expect(repinRequest.MatchString(bad)).To(BeFalse(), bad)
	}
	g.Expect(fingerprint("")).To(Equal("none"))
	g.Expect(fingerprint("SHA256:x")).To(Equal("SHA256:x"))
}
