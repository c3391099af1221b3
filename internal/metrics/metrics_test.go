// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot/server"
	"github.com/slipway-dev/slipway/internal/metrics"
)

// used has every metric of the manager say something of two Services.
func used(m *metrics.Metrics) {
	for _, name := range []string{"blog", "shop"} {
		began := metav1.NewTime(time.Unix(1000, 0))
		built, done := metav1.NewTime(time.Unix(1010, 0)), metav1.NewTime(time.Unix(1060, 0))
		release := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: "web", CreationTimestamp: began}, Spec: v1alpha1.ReleaseSpec{Service: name}}
		release.Status.CompletionTime = &done
		release.Status.Build = &v1alpha1.BuildStatus{StartTime: &began, CompletionTime: &built}
		m.BuildEnded(release)
		m.ReleaseFinished(release, "Failed", "BuildFailed")
		target := &v1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Namespace: "web"}, Spec: v1alpha1.TargetSpec{Service: name}}
		m.Notified(release, "Succeeded", v1alpha1.NotificationSent)
		m.RepairBegun(target)
		m.DeliveryFailed(target, "Unreachable")
		m.Delivered(target, time.Second, 100)
		service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "web", Name: name}}
		service.Status.Targets = v1alpha1.TargetCounts{Total: 3, Ready: 2}
		m.WaveBegun(service)
		m.Counted(service)
	}
	m.WordsFailed()
	m.LifecycleAction("CONTINUE", nil)
	m.QueueMessage("event")
}

func TestWhatIsCounted(t *testing.T) {
	g := NewWithT(t)
	registry := prometheus.NewRegistry()
	used(metrics.New(registry))
	families, err := registry.Gather()
	g.Expect(err).NotTo(HaveOccurred())
	lines := []string{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			values := []string{}
			for _, label := range metric.GetLabel() {
				values = append(values, label.GetValue())
			}
			number := metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + metric.GetHistogram().GetSampleSum()
			lines = append(lines, fmt.Sprint(family.GetName(), values, " ", number))
		}
	}
	g.Expect(lines).To(ContainElements(
		"slipway_build_duration_seconds[web blog] 10", "slipway_release_duration_seconds[web Failed blog] 60",
		"slipway_releases_finished_total[web Failed BuildFailed blog] 1", "slipway_deliveries_total[web Succeeded blog] 1",
		"slipway_deliveries_total[web Unreachable blog] 1", "slipway_delivery_received_bytes_total[web blog] 100",
		"slipway_delivery_duration_seconds[web blog] 1", "slipway_drift_repairs_total[web blog] 1", "slipway_waves_total[web blog] 1",
		"slipway_targets[web blog total] 3", "slipway_targets[web blog ready] 2", "slipway_depot_answers_failed_total[] 1",
		"slipway_lifecycle_actions_total[CONTINUE Succeeded] 1", "slipway_queue_messages_total[event] 1", "slipway_notifications_total[Succeeded web Sent blog] 1",
	))
}

func TestNothingOfADeletedServiceStays(t *testing.T) {
	g := NewWithT(t)
	registry := prometheus.NewRegistry()
	m := metrics.New(registry)
	used(m)
	m.Forget("web", "blog")
	families, err := registry.Gather()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(families).To(HaveLen(13))
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			g.Expect(metric.String()).NotTo(ContainSubstring("blog"), family.GetName())
		}
	}
}

// The page lists every metric with its labels, and none that is not there.
func TestThePageIsTrue(t *testing.T) {
	g := NewWithT(t)
	registry := prometheus.NewRegistry()
	used(metrics.New(registry))
	depot := server.NewMetrics(registry)
	depot.Sessions.WithLabelValues("pull").Inc()
	depot.Bytes.WithLabelValues("pull", "sent").Inc()
	depot.Refusals.WithLabelValues("login").Inc()
	families, err := registry.Gather()
	g.Expect(err).NotTo(HaveOccurred())
	there := map[string][]string{}
	for _, family := range families {
		labels := []string{}
		for _, label := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, label.GetName())
		}
		there[family.GetName()] = labels
	}
	page, err := os.ReadFile("../../docs/metrics.md")
	g.Expect(err).NotTo(HaveOccurred())
	listed := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(slipway_[a-z_]+)` \\| ([a-z, ]*)\\|").FindAllStringSubmatch(string(page), -1) {
		labels := strings.FieldsFunc(row[2], func(r rune) bool { return r == ',' || r == ' ' })
		g.Expect(there).To(HaveKey(row[1]))
		g.Expect(labels).To(ConsistOf(there[row[1]]), row[1])
		listed[row[1]] = true
	}
	for name := range there {
		g.Expect(listed).To(HaveKey(name))
	}
}
