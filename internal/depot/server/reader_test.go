// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/depot/client"
)

// TestTheConsoleStaysConnected: no authority vouches for it, and yet it is not sent away.
func TestTheConsoleStaysConnected(t *testing.T) {
	g := NewWithT(t)
	f := newFront(t, Options{KeepAlive: 20 * time.Millisecond, Readers: func(context.Context, string) error { return nil }})
	g.Expect(f.server.Store.WriteLog("svc", "job", strings.NewReader("one\n"))).To(Succeed())
	host, portText, err := net.SplitHostPort(f.address)
	g.Expect(err).NotTo(HaveOccurred())
	port, err := strconv.Atoi(portText)
	g.Expect(err).NotTo(HaveOccurred())
	var logins atomic.Int32
	reader := client.NewReader(func() (depot.Endpoint, error) {
		return depot.Endpoint{Host: host, Port: port, HostCAs: f.hostCAs}, nil
	}, func() (string, error) { logins.Add(1); return "token", nil })
	t.Cleanup(func() { _ = reader.Close() })
	g.Consistently(func(g Gomega) int32 {
		_, err := reader.Log(t.Context(), depot.LogRange{Service: "svc", Job: "job"})
		g.Expect(err).NotTo(HaveOccurred())
		return logins.Load()
	}, "400ms", "10ms").Should(BeEquivalentTo(1))
}

// TestTheConsoleReadsAndNothingElse logs in with a token, as the Console does.
func TestTheConsoleReadsAndNothingElse(t *testing.T) {
	g := NewWithT(t)
	f := newFront(t, Options{Readers: func(_ context.Context, token string) error {
		if token != "the console's" {
			return errors.New("nobody knows it")
		}
		return nil
	}})
	g.Expect(f.server.Store.WriteLog("svc", "job", strings.NewReader("one\ntwo\n"))).To(Succeed())
	host, portText, err := net.SplitHostPort(f.address)
	g.Expect(err).NotTo(HaveOccurred())
	port, err := strconv.Atoi(portText)
	g.Expect(err).NotTo(HaveOccurred())
	with := func(token string) *client.Reader {
		reader := client.NewReader(func() (depot.Endpoint, error) {
			return depot.Endpoint{Host: host, Port: port, HostCAs: f.hostCAs}, nil
		}, func() (string, error) { return token, nil })
		t.Cleanup(func() { _ = reader.Close() })
		return reader
	}
	console := with("the console's")
	part, err := console.Log(t.Context(), depot.LogRange{Service: "svc", Job: "job", Offset: 4})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(part).To(Equal(depot.LogChunk{Data: []byte("two\n"), Next: 8}))
	_, err = console.Log(t.Context(), depot.LogRange{Service: "svc", Job: "no-such"})
	g.Expect(err).To(MatchError(depot.ErrNotFound))

	// The manager's methods are not its own, whatever it sends.
	manager := &client.Client{Reader: with("the console's")}
	g.Expect(manager.WriteLog(t.Context(), "svc", "job", strings.NewReader("forged"))).To(MatchError(ContainSubstring(`a reader has no method "WriteLog"`)))
	_, err = manager.Retain(t.Context(), depot.References{Service: "svc"})
	g.Expect(err).To(MatchError(depot.ErrRefused))

	_, err = with("stolen").Log(t.Context(), depot.LogRange{Service: "svc", Job: "job"})
	g.Expect(err).To(MatchError(depot.ErrUnavailable))
}
