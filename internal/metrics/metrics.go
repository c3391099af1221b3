// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package metrics counts what the manager does. Labels are namespaces, Services and documented words, never hosts: their
// number is bounded by what people declared. docs/metrics.md lists all.
package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// Metrics are those of one manager.
type Metrics struct {
	releases         *prometheus.CounterVec
	releaseDuration  *prometheus.HistogramVec
	buildDuration    *prometheus.HistogramVec
	deliveries       *prometheus.CounterVec
	deliveryDuration *prometheus.HistogramVec
	deliveryBytes    *prometheus.CounterVec
	repairs          *prometheus.CounterVec
	waves            *prometheus.CounterVec
	targets          *prometheus.GaugeVec
	words            prometheus.Counter
	lifecycle        *prometheus.CounterVec
	queue            *prometheus.CounterVec
	notifications    *prometheus.CounterVec
}

// minutes are the buckets of what takes from seconds to hours.
var minutes = []float64{1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200}

// New registers the metrics; a nil registry keeps them unregistered, for tests.
func New(registry prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"namespace", "service"}, labels...))
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: minutes}, append([]string{"namespace", "service"}, labels...))
	}
	m := &Metrics{
		releases:         counter("slipway_releases_finished_total", "Releases that ended, by outcome and reason.", "outcome", "reason"),
		releaseDuration:  histogram("slipway_release_duration_seconds", "From a Release's creation to its end, by outcome.", "outcome"),
		buildDuration:    histogram("slipway_build_duration_seconds", "From a build Job's making to its end."),
		deliveries:       counter("slipway_deliveries_total", "Deliveries to hosts that ended, by reason: Succeeded, or why they failed.", "reason"),
		deliveryDuration: histogram("slipway_delivery_duration_seconds", "Duration of the deliveries that succeeded."),
		deliveryBytes:    counter("slipway_delivery_received_bytes_total", "Bytes that hosts received in deliveries that succeeded."),
		repairs:          counter("slipway_drift_repairs_total", "Deliveries begun because a host had drifted."),
		waves:            counter("slipway_waves_total", "Waves of Targets begun."),
		targets: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "slipway_targets", Help: "Targets by state; one Target may be counted in several states.",
		}, []string{"namespace", "service", "state"}),
		notifications: counter("slipway_notifications_total", "Notifications that were sent, or given up, by event and outcome.", "event", "outcome"),
		words: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "slipway_depot_answers_failed_total", Help: "Times the depot could not be told what hosts should run.",
		}),
		lifecycle: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "slipway_lifecycle_actions_total", Help: "What Auto Scaling was told of instances at lifecycle hooks, and whether it took it.",
		}, []string{"action", "outcome"}),
		queue: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "slipway_queue_messages_total", Help: "Messages taken from the queue of events, by what they were.",
		}, []string{"kind"}),
	}
	if registry != nil {
		registry.MustRegister(m.all()...)
	}
	return m
}

func (m *Metrics) all() []prometheus.Collector {
	return []prometheus.Collector{
		m.releases, m.releaseDuration, m.buildDuration, m.deliveries, m.deliveryDuration, m.deliveryBytes, m.repairs, m.waves, m.targets, m.words, m.lifecycle, m.queue,
		m.notifications,
	}
}

// ReleaseFinished counts a Release that ended just now.
func (m *Metrics) ReleaseFinished(release *v1alpha1.Release, outcome, reason string) {
	m.releases.WithLabelValues(release.Namespace, release.Spec.Service, outcome, reason).Inc()
	if done := release.Status.CompletionTime; done != nil {
		m.releaseDuration.WithLabelValues(release.Namespace, release.Spec.Service, outcome).Observe(done.Sub(release.CreationTimestamp.Time).Seconds())
	}
}

// BuildEnded counts a build Job that ended just now.
func (m *Metrics) BuildEnded(release *v1alpha1.Release) {
	if b := release.Status.Build; b != nil && b.StartTime != nil && b.CompletionTime != nil {
		m.buildDuration.WithLabelValues(release.Namespace, release.Spec.Service).Observe(b.CompletionTime.Sub(b.StartTime.Time).Seconds())
	}
}

// Delivered counts a delivery that succeeded.
func (m *Metrics) Delivered(target *v1alpha1.Target, took time.Duration, bytes int64) {
	namespace, service := target.Namespace, target.Spec.Service
	m.deliveries.WithLabelValues(namespace, service, v1alpha1.ReasonSucceeded).Inc()
	m.deliveryDuration.WithLabelValues(namespace, service).Observe(took.Seconds())
	m.deliveryBytes.WithLabelValues(namespace, service).Add(float64(max(0, bytes)))
}

// DeliveryFailed counts a delivery that failed.
func (m *Metrics) DeliveryFailed(target *v1alpha1.Target, reason string) {
	m.deliveries.WithLabelValues(target.Namespace, target.Spec.Service, reason).Inc()
}

// RepairBegun counts a delivery that begins because its host had drifted.
func (m *Metrics) RepairBegun(target *v1alpha1.Target) {
	m.repairs.WithLabelValues(target.Namespace, target.Spec.Service).Inc()
}

// Notified counts a notification that was sent, skipped or given up.
func (m *Metrics) Notified(release *v1alpha1.Release, event string, outcome v1alpha1.NotificationState) {
	m.notifications.WithLabelValues(release.Namespace, release.Spec.Service, event, string(outcome)).Inc()
}

// WaveBegun counts a wave.
func (m *Metrics) WaveBegun(service *v1alpha1.Service) {
	m.waves.WithLabelValues(service.Namespace, service.Name).Inc()
}

// Counted shows how a Service's Targets are.
func (m *Metrics) Counted(service *v1alpha1.Service) {
	counts := service.Status.Targets
	for state, n := range map[string]int32{
		"total": counts.Total, "ready": counts.Ready, "updated": counts.Updated, "unavailable": counts.Unavailable, "drifted": counts.Drifted,
	} {
		m.targets.WithLabelValues(service.Namespace, service.Name, state).Set(float64(n))
	}
}

// LifecycleAction counts what Auto Scaling was told: CONTINUE, ABANDON or Heartbeat.
func (m *Metrics) LifecycleAction(action string, err error) {
	outcome := v1alpha1.ReasonSucceeded
	if err != nil {
		outcome = v1alpha1.ReasonFailed
	}
	m.lifecycle.WithLabelValues(action, outcome).Inc()
}

// QueueMessage counts a message of the queue of events.
func (m *Metrics) QueueMessage(kind string) { m.queue.WithLabelValues(kind).Inc() }

// WordsFailed counts a depot that could not be told what hosts should run.
func (m *Metrics) WordsFailed() { m.words.Inc() }

// Forget drops all of a Service that was deleted.
func (m *Metrics) Forget(namespace, service string) {
	labels := prometheus.Labels{"namespace": namespace, "service": service}
	for _, collector := range m.all() {
		if vector, ok := collector.(interface{ DeletePartialMatch(prometheus.Labels) int }); ok {
			vector.DeletePartialMatch(labels)
		}
	}
}
