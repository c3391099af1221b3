// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import "github.com/prometheus/client_golang/prometheus"

// Metrics count what the depot does.
type Metrics struct {
	// Sessions by principal, Bytes by principal and direction (sent, received), Refusals by what was refused: login,
	// connection, channel, command, artifact.
	Sessions *prometheus.CounterVec
	Bytes    *prometheus.CounterVec
	Refusals *prometheus.CounterVec
	// Published counts artifacts, Connections those that are open now, logged in or not.
	Published   prometheus.Counter
	Connections prometheus.Gauge
}

// NewMetrics registers the counters; a nil registry keeps them unregistered.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		Sessions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "slipway_depot_sessions_total", Help: "Sessions begun, by principal."}, []string{"principal"}),
		Bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "slipway_depot_bytes_total", Help: "Bytes moved in sessions, by principal and direction.",
		}, []string{"principal", "direction"}),
		Refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "slipway_depot_refusals_total", Help: "Logins, connections, channels, commands and artifacts refused.",
		}, []string{"what"}),
		Published:   prometheus.NewCounter(prometheus.CounterOpts{Name: "slipway_depot_artifacts_published_total", Help: "Artifacts published."}),
		Connections: prometheus.NewGauge(prometheus.GaugeOpts{Name: "slipway_depot_connections", Help: "Connections open now, logged in or not."}),
	}
	if registry != nil {
		registry.MustRegister(m.Sessions, m.Bytes, m.Refusals, m.Published, m.Connections)
	}
	return m
}
