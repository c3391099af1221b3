// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package trust_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/crypto/ssh"
	corev1 "k8s.io/api/core/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/sshca"
	"github.com/slipway-dev/slipway/internal/trust"
	"github.com/slipway-dev/slipway/test/env"
)

// rotation is a running manager and a running depot, with exactly their rights.
type rotation struct {
	*WithT
	t         *testing.T
	clock     *clocktesting.FakePassiveClock
	manager   client.Client
	authority *sshca.Authority
	depot     *trust.Depot
}

func newRotation(t *testing.T) *rotation {
	t.Helper()
	r := &rotation{WithT: NewWithT(t), t: t, clock: clocktesting.NewFakePassiveClock(time.Now()), manager: env.ClientFor(t, env.Manager(t))}
	admin := env.Client(t)
	t.Cleanup(func() { // the next test begins with nothing
		for name, object := range map[string]client.Object{"slipway-manager-ca": &corev1.Secret{}, "slipway-manager-trust": &corev1.ConfigMap{}, "slipway-depot": &corev1.ConfigMap{}} {
			object.SetNamespace(trust.Namespace)
			object.SetName(name)
			r.Expect(client.IgnoreNotFound(admin.Delete(context.Background(), object))).To(Succeed())
		}
	})
	var err error
	r.authority, err = trust.EnsureAuthority(t.Context(), r.manager, r.clock)
	r.Expect(err).NotTo(HaveOccurred())
	where := depot.Endpoint{Host: "192.0.2.7", Port: 2222, HostCAs: []string{"ssh-ed25519 AAAA current"}}
	r.depot, err = trust.NewDepot(env.ClientFor(t, env.Depot(t)), filepath.Join(t.TempDir(), "user_ca"), func() depot.Endpoint { return where }, slog.Default())
	r.Expect(err).NotTo(HaveOccurred())
	return r
}

// seconds pass: manager and depot look again.
func (r *rotation) seconds() {
	r.t.Helper()
	r.Expect(trust.Refresh(r.t.Context(), r.manager, r.authority, r.clock)).To(Succeed())
	r.Expect(r.depot.Sync(r.t.Context())).To(Succeed())
}

// build is what a build that begins now shows, as the key that has signed it.
func (r *rotation) build() string {
	r.t.Helper()
	_, line, err := r.authority.Build(depot.BuildGrant{}, time.Hour)
	r.Expect(err).NotTo(HaveOccurred())
	key, _, _, _, err := ssh.ParseAuthorizedKey(line)
	r.Expect(err).NotTo(HaveOccurred())
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.(*ssh.Certificate).SignatureKey)))
}

// TestTheAuthorityIsRotatedWhileManagerAndDepotRun: at every moment the depot trusts what the manager signs, and what it
// signed before the last step.
func TestTheAuthorityIsRotatedWhileManagerAndDepotRun(t *testing.T) {
	r := newRotation(t)
	r.seconds()
	before := r.build()
	r.Expect(r.depot.UserCAs()).To(ConsistOf(before))
	r.Expect(trust.Finish(t.Context(), r.manager, r.clock, false)).To(MatchError(ContainSubstring("run prepare first")))

	r.Expect(trust.Prepare(t.Context(), r.manager, r.clock)).To(Succeed())
	r.Expect(r.depot.Sync(t.Context())).To(Succeed())
	r.Expect(r.depot.UserCAs()).To(And(HaveLen(2), ContainElement(before)))
	prepared := r.depot.UserCAs()
	r.seconds()
	r.Expect(r.build()).To(Equal(before), "the next key is trusted before it signs")
	r.Expect(trust.Prepare(t.Context(), r.manager, r.clock)).To(Succeed(), "again")
	r.seconds()
	r.Expect(r.depot.UserCAs()).To(Equal(prepared))
	r.Expect(trust.Finish(t.Context(), r.manager, r.clock, false)).To(MatchError(ContainSubstring("may not know the next key yet")))

	r.clock.SetTime(r.clock.Now().Add(2 * time.Minute))
	r.Expect(trust.Finish(t.Context(), r.manager, r.clock, false)).To(Succeed())
	r.Expect(r.build()).To(Equal(before), "a manager that has not looked yet")
	r.Expect(r.depot.Sync(t.Context())).To(Succeed())
	r.Expect(r.depot.UserCAs()).To(ConsistOf(prepared), "is trusted")
	r.seconds()
	after := r.build()
	r.Expect(after).NotTo(Equal(before))
	r.Expect(r.depot.UserCAs()).To(ConsistOf(before, after), "and so are the builds under way")
	restarted, err := trust.EnsureAuthority(t.Context(), r.manager, r.clock)
	r.Expect(err).NotTo(HaveOccurred())
	r.Expect(restarted.PublicKeys()).To(Equal([]string{after}))
	r.seconds()
	r.Expect(r.depot.UserCAs()).To(ConsistOf(before, after), "after a restart too")

	r.clock.SetTime(r.clock.Now().Add(25 * time.Hour))
	r.seconds()
	r.Expect(r.depot.UserCAs()).To(ConsistOf(after))
}

func TestAStolenKeyIsDroppedAtOnce(t *testing.T) {
	r := newRotation(t)
	stolen := r.build()
	r.Expect(trust.Prepare(t.Context(), r.manager, r.clock)).To(Succeed())
	r.clock.SetTime(r.clock.Now().Add(2 * time.Minute))
	r.Expect(trust.Finish(t.Context(), r.manager, r.clock, true)).To(Succeed())
	r.seconds()
	r.Expect(r.depot.UserCAs()).To(And(HaveLen(1), Not(ContainElement(stolen))))
	r.Expect(r.depot.UserCAs()).To(ConsistOf(r.build()))
}
