// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package ec2_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/internal/awstest"
	"github.com/slipway-dev/slipway/internal/discovery/ec2"
)

func TestParseQueue(t *testing.T) {
	for text, where := range map[string]string{
		"https://sqs.ap-northeast-1.amazonaws.com/123456789012/slipway":            "ap-northeast-1",
		"https://sqs.us-gov-west-1.amazonaws.com/123456789012/slipway.fifo":        "us-gov-west-1",
		"https://sqs.cn-north-1.amazonaws.com.cn/123456789012/slipway":             "cn-north-1",
		"eu-west-1=https://vpce-1.sqs.eu-west-1.vpce.amazonaws.com/123456789012/q": "eu-west-1",
		"eu-west-1=http://127.0.0.1:4566/000000000000/q?a=b":                       "eu-west-1",
		"https://vpce-1.sqs.eu-west-1.vpce.amazonaws.com/123456789012/q":           "",
		"http://127.0.0.1:4566/000000000000/q":                                     "",
		"slipway":                                                                  "",
		"arn:aws:sqs:ap-northeast-1:123456789012:q":                                "",
		"https://sqs.ap-northeast-1.amazonaws.com/":                                "",
		"ftp://sqs.ap-northeast-1.amazonaws.com/1/q":                               "",
		"https://me:pw@sqs.eu-west-1.amazonaws.com/1/q":                            "",
		"": "",
	} {
		g := NewWithT(t)
		queue, err := ec2.ParseQueue(text)
		if where == "" {
			g.Expect(err).To(HaveOccurred(), text)
			continue
		}
		g.Expect(err).NotTo(HaveOccurred(), text)
		g.Expect(queue.Region).To(Equal(where), text)
		g.Expect(text).To(HaveSuffix(queue.URL))
	}
}

// heard is what a queue brought.
type heard struct {
	mu    sync.Mutex
	wakes map[string]int
	kinds map[string]int
}

func (h *heard) count(of map[string]int, key string) { h.mu.Lock(); defer h.mu.Unlock(); of[key]++ }

func (h *heard) get(of map[string]int, key string) func() int {
	return func() int { h.mu.Lock(); defer h.mu.Unlock(); return of[key] }
}

// listen takes messages from a queue of the cloud.
func listen(w *world, t *testing.T, address string) *heard {
	h := &heard{wakes: map[string]int{}, kinds: map[string]int{}}
	queue, err := ec2.ParseQueue("ap-northeast-1=" + address)
	w.Expect(err).NotTo(HaveOccurred())
	queue.Wake = func(region string) { h.count(h.wakes, region) }
	queue.Count = func(kind string) { h.count(h.kinds, kind) }
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- queue.Start(ctx) }()
	t.Cleanup(func() { cancel(); w.Expect(<-ended).To(Succeed()) })
	return h
}

// Whatever is in the queue: it is read once, counted and deleted, and nothing but the sweep of a region comes of it.
func TestQueue(t *testing.T) {
	w := newWorld(t, time.Hour)
	address := w.cloud.AddQueue("events")
	w.cloud.Tell(address)
	w.cloud.AddHook("web", awstest.Hook{Name: "up"})
	w.cloud.Add(awstest.Instance{Group: "web", Lifecycle: "Pending:Wait"})
	w.cloud.Send(address,
		`{"source":"aws.ec2","region":"us-west-2","detail-type":"EC2 Instance State-change Notification"}`,
		`{"source":"aws.s3","region":"eu-west-1"}`, `{"source":"aws.ec2","region":"../../etc"}`,
		`{"Event":"autoscaling:TEST_NOTIFICATION"}`, "not JSON", `[]`, `null`, strings.Repeat("[", 100_000))
	h := listen(w, t, address)
	w.Eventually(h.get(h.wakes, "ap-northeast-1"), patience).Should(Equal(1))
	w.Eventually(h.get(h.wakes, "us-west-2"), patience).Should(Equal(1))
	w.Eventually(func() int { return w.cloud.Left(address) }, patience).Should(BeZero())
	w.Expect(h.get(h.kinds, ec2.KindEvent)()).To(Equal(2))
	w.Expect(h.get(h.kinds, ec2.KindTest)()).To(Equal(1))
	w.Expect(h.get(h.kinds, ec2.KindUnknown)()).To(Equal(6))
	w.Expect(h.wakes).To(HaveLen(2))

	w.cloud.Refuse("ReceiveMessage", awstest.Denied, 1) // it goes on after a refusal
	w.cloud.Send(address, `{"LifecycleHookName":"up","EC2InstanceId":"i-1"}`)
	w.Eventually(h.get(h.wakes, "ap-northeast-1"), patience).Should(Equal(2))
}

// An event has its region swept at once, not after the period.
func TestQueueWakesTheSweep(t *testing.T) {
	w := newWorld(t, time.Hour)
	w.Eventually(w.looks, patience).Should(Equal(1))
	address := w.cloud.AddQueue("events")
	queue, err := ec2.ParseQueue("ap-northeast-1=" + address)
	w.Expect(err).NotTo(HaveOccurred())
	queue.Wake = w.sweeper.Wake
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- queue.Start(ctx) }()
	t.Cleanup(func() { cancel(); w.Expect(<-ended).To(Succeed()) })
	w.cloud.Tell(address)
	w.cloud.AddHook("web", awstest.Hook{Name: "up"})
	w.cloud.Add(awstest.Instance{Tags: role("blog"), Group: "web", Lifecycle: "Pending:Wait"})
	w.Eventually(func() int { return len(w.blog().Instances) }, patience).Should(Equal(1))
}
