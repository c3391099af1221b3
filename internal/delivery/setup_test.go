// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery_test

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/delivery"
	"github.com/slipway-dev/slipway/test/hosts"
)

// site is one host with a depot and a pool that reaches it.
type site struct {
	*WithT
	host   *hosts.Host
	fleet  *hosts.Fleet
	depot  *standIn
	pool   *delivery.Pool
	reach  delivery.Host
	deploy v1alpha1.DeploySpec
	fence  int64
}

var owner = delivery.Owner{ID: "installation-1", Service: service}

// newSite makes a host of its own for a test, or skips the test where hosts can't be made.
func newSite(t *testing.T, options hosts.Options) *site {
	t.Helper()
	if err := hosts.Available(); err != nil {
		if os.Getenv("SLIPWAY_REQUIRE_ALL") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	g := NewWithT(t)
	t.Parallel()
	options.Dir = t.TempDir()
	fleet, err := hosts.Start(t.Context(), options)
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() {
		if err := fleet.Stop(); err != nil {
			t.Error(err)
		}
	})
	key, err := os.ReadFile(fleet.PrivateKey)
	g.Expect(err).NotTo(HaveOccurred())
	host := fleet.Hosts[0]
	s := &site{
		WithT: g, host: host, fleet: fleet, depot: newStandIn(t, fleet.Gateway),
		reach: delivery.Host{
			Namespace: "web", Name: host.Name, Address: host.Address, Port: host.Port, User: "deploy", PrivateKey: key,
			Policy: v1alpha1.HostKeysKnown, KnownHosts: []byte(fleet.KnownHostsText()),
		},
		deploy: v1alpha1.DeploySpec{
			Path: "/var/www/blog", KeepReleases: 2, Timeout: metav1.Duration{Duration: time.Minute},
			Shared: []v1alpha1.SharedPath{{Path: "wp-content/uploads", Type: v1alpha1.SharedDir}, {Path: "wp-config.php", Type: v1alpha1.SharedFile}},
		},
	}
	s.pool = s.newPool(t, delivery.Options{})
	return s
}

func (s *site) newPool(t *testing.T, options delivery.Options) *delivery.Pool {
	options.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	pool := delivery.New(options)
	t.Cleanup(pool.Close)
	return pool
}

// order is the next order for a digest.
func (s *site) order(digest string) delivery.Order {
	s.fence++
	return delivery.Order{
		Owner: owner, ServiceName: "blog", Deploy: s.deploy, Fence: s.fence, Digest: digest, Commit: "c0ffee", Revision: "v1", Release: "blog-1",
		Depot: s.depot.endpoint, PullKey: s.depot.credential,
	}
}

func (s *site) deliver(order delivery.Order) delivery.Result {
	result, err := s.pool.Deliver(context.Background(), s.reach, order, nil)
	s.ExpectWithOffset(1, err).NotTo(HaveOccurred())
	s.ExpectWithOffset(1, result.Observation.Digest).To(Equal(order.Digest))
	s.ExpectWithOffset(1, result.Observation.SwitchedFence).To(Equal(order.Fence))
	s.ExpectWithOffset(1, result.Observation.Drift).To(BeNil())
	return result
}

// refuse expects a delivery to end with a reason.
func (s *site) refuse(order delivery.Order, reason string) delivery.Failure {
	_, err := s.pool.Deliver(context.Background(), s.reach, order, nil)
	s.ExpectWithOffset(1, err).To(BeAssignableToTypeOf(&delivery.Failure{}))
	failure := err.(*delivery.Failure) //nolint:errorlint // just asserted
	s.ExpectWithOffset(1, failure.Reason).To(Equal(reason), failure.Error())
	return *failure
}

func (s *site) probe() delivery.Observation {
	seen, err := s.pool.Probe(context.Background(), s.reach, owner, s.deploy)
	s.ExpectWithOffset(1, err).NotTo(HaveOccurred())
	return seen
}

// shell runs a script on the host as the user that owns the path.
func (s *site) shell(script string) string {
	out, err := s.host.Shell(context.Background(), "deploy", script)
	s.ExpectWithOffset(1, err).NotTo(HaveOccurred())
	return out
}
