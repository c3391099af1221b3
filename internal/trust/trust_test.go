// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package trust_test

import (
	"log/slog"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"

	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/trust"
	"github.com/slipway-dev/slipway/test/env"
)

func TestMain(m *testing.M) { env.Main(m) }

// Manager and depot find each other with exactly their own rights, and the depot knows the manager's keys after a
// restart without the API server.
func TestManagerAndDepotFindEachOther(t *testing.T) {
	g := NewWithT(t)
	manager, depotClient := env.ClientFor(t, env.Manager(t)), env.ClientFor(t, env.Depot(t))
	endpoint := trust.NewEndpoint(manager, clock.RealClock{})
	_, err := endpoint.Get()
	g.Expect(err).To(MatchError(depot.ErrUnavailable))

	authority, err := trust.EnsureAuthority(t.Context(), manager, clock.RealClock{})
	g.Expect(err).NotTo(HaveOccurred())
	again, err := trust.EnsureAuthority(t.Context(), manager, clock.RealClock{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(again.PublicKeys()).To(Equal(authority.PublicKeys()), "a restart keeps the authority")

	file := filepath.Join(t.TempDir(), "user_ca")
	where := depot.Endpoint{Host: "192.0.2.7", Port: 2222, HostCAs: []string{"ssh-ed25519 AAAA current", "ssh-ed25519 BBBB next"}}
	side, err := trust.NewDepot(depotClient, file, func() depot.Endpoint { return where }, slog.Default())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(side.UserCAs()).To(BeEmpty())
	g.Expect(side.Sync(t.Context())).To(Succeed())
	g.Expect(side.UserCAs()).To(Equal(authority.PublicKeys()))
	g.Expect(endpoint.Get()).To(Equal(where))

	restarted, err := trust.NewDepot(nil, file, nil, slog.Default())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(restarted.UserCAs()).To(Equal(authority.PublicKeys()))
}
