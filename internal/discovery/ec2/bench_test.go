// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package ec2

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/awstest"
	"github.com/slipway-dev/slipway/internal/discovery"
)

// player answers as a cloud answered the same question first: what the cloud itself costs is not measured.
type player struct {
	cloud *awstest.Cloud

	mu    sync.Mutex
	tape  map[string]*httptest.ResponseRecorder
	calls map[string]int
}

func (p *player) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	p.mu.Lock()
	defer p.mu.Unlock()
	answer := p.tape[string(body)]
	if answer == nil {
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer = httptest.NewRecorder()
		p.cloud.ServeHTTP(answer, r)
		p.tape[string(body)] = answer
	}
	form, _ := url.ParseQuery(string(body))
	p.calls[form.Get("Action")]++
	for key, values := range answer.Header() {
		w.Header()[key] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// fleet is a cloud with 2,000 instances of 50 Services, each with an Auto Scaling group and ten tags.
func fleet(b *testing.B) (*player, API) {
	b.Helper()
	cloud := awstest.New()
	b.Cleanup(cloud.Close)
	for i := range 2000 {
		tags := map[string]string{"Role": fmt.Sprintf("service-%02d", i%50)}
		for n := range 8 {
			tags[fmt.Sprintf("example.com/tag-%d", n)] = fmt.Sprintf("the value of tag %d of instance %d", n, i)
		}
		cloud.Add(awstest.Instance{Tags: tags, Group: fmt.Sprintf("asg-%02d", i%50)})
	}
	p := &player{cloud: cloud, tape: map[string]*httptest.ResponseRecorder{}, calls: map[string]int{}}
	server := httptest.NewServer(p)
	b.Cleanup(server.Close)
	for _, variable := range cloud.Environment() {
		key, value, _ := strings.Cut(variable, "=")
		b.Setenv(key, value)
	}
	b.Setenv("AWS_ENDPOINT_URL", server.URL)
	api, err := connect(b.Context(), discovery.Account{Region: "ap-northeast-1"})
	if err != nil {
		b.Fatal(err)
	}
	return p, api
}

// heap is what is in use after a collection.
func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// One sweep of 2,000 instances: calls, time, bytes allocated (B/op), and the heap that keeping what it found takes.
func BenchmarkSweep(b *testing.B) {
	p, api := fleet(b)
	if _, err := sweep(b.Context(), api, []string{"Role"}); err != nil { // also records
		b.Fatal(err)
	}
	clear(p.calls)
	a := &account{instances: map[string]discovery.Instance{}, missing: map[string]int{}}
	before := heap()
	b.ReportAllocs()
	for b.Loop() {
		found, err := sweep(b.Context(), api, []string{"Role"})
		if err != nil || len(found) != 2000 {
			b.Fatal(len(found), err)
		}
		a.take(found)
	}
	b.ReportMetric(float64(p.calls["DescribeInstances"])/float64(b.N), "DescribeInstances/op")
	b.ReportMetric(float64(p.calls["DescribeAutoScalingGroups"])/float64(b.N), "DescribeAutoScalingGroups/op")
	b.ReportMetric(heap()-before, "heap-B")
	runtime.KeepAlive(a)
}

// permissive permits everything.
type permissive struct{}

func (permissive) Host(string) error                                               { return nil }
func (permissive) Source(*v1alpha1.EC2Source) error                                { return nil }
func (permissive) Instance(*v1alpha1.EC2Source, *discovery.Instance, string) error { return nil }

// 50 Services ask for their hosts among 2,000 instances that were swept: no further call.
func BenchmarkFiftyServicesAsk(b *testing.B) {
	p, api := fleet(b)
	s := New(Options{Connect: func(context.Context, discovery.Account) (API, error) { return api, nil }})
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Start(ctx) }()
	defer func() { cancel(); <-ended }()
	of := discovery.Account{Region: "ap-northeast-1"}
	s.View(of, []string{"Role"})
	<-s.Found()
	p.mu.Lock()
	calls := p.calls["DescribeInstances"]
	p.mu.Unlock()
	b.ReportAllocs()
	for b.Loop() {
		for n := range 50 {
			source := &v1alpha1.EC2Source{Region: of.Region, Tags: map[string]v1alpha1.TagValue{"Role": v1alpha1.TagValue(fmt.Sprintf("service-%02d", n))}}
			if hosts := discovery.Find([]v1alpha1.TargetSource{{EC2: source}}, 22, s, permissive{}).Hosts; len(hosts) != 40 {
				b.Fatal(len(hosts))
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	b.ReportMetric(float64(p.calls["DescribeInstances"]-calls), "DescribeInstances")
}

// A rollout reaches 2,000 hosts, 32 at a time, and looks at each just before: calls, and the time that the looks alone take
// at our own pace.
func BenchmarkLooksOfARollout(b *testing.B) {
	p, api := fleet(b)
	s := New(Options{Connect: func(context.Context, discovery.Account) (API, error) { return api, nil }})
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Start(ctx) }()
	defer func() { cancel(); <-ended }()
	of := discovery.Account{Region: "ap-northeast-1"}
	for b.Loop() {
		hosts := make(chan int)
		var workers sync.WaitGroup
		for range 32 {
			workers.Go(func() {
				for n := range hosts {
					if _, err := s.Describe(ctx, of, fmt.Sprintf("i-%017x", n+1)); err != nil {
						b.Error(n, err)
					}
				}
			})
		}
		for n := range 2000 {
			hosts <- n
		}
		close(hosts)
		workers.Wait()
		of.ExternalID += "x" // nothing is known yet
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	b.ReportMetric(float64(p.calls["DescribeInstances"])/float64(b.N), "DescribeInstances/op")
}
