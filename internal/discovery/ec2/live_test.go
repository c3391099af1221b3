// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package ec2_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/slipway-dev/slipway/internal/awstest"
	"github.com/slipway-dev/slipway/internal/discovery"
	"github.com/slipway-dev/slipway/internal/discovery/ec2"
)

// stale makes nothing that was described before answer for now.
func stale(o *ec2.Options) { o.Fresh = time.Nanosecond }

// describe looks at one instance now.
func (w *world) describe(id string) (discovery.Instance, error) {
	return w.sweeper.Describe(context.Background(), tokyo, id)
}

func TestAnInstanceIsLookedAtAgain(t *testing.T) {
	w := newWorld(t, time.Hour, stale)
	id := w.cloud.Add(awstest.Instance{Tags: role("blog"), Group: "blog-asg"})
	w.Eventually(w.looks, patience).Should(Equal(1))
	w.cloud.Change(id, func(i *awstest.Instance) { i.Tags, i.PrivateIP = role("shop"), "10.9.9.9" })
	now, err := w.describe(id)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(now.Tags).To(Equal(role("shop")))
	w.Expect(now.PrivateIP).To(Equal("10.9.9.9"))
	w.Expect(now.Account).To(Equal(awstest.Account))
	w.Expect(now.Lifecycle).To(Equal("InService"), "as last swept: EC2 does not say")
	w.Expect(w.blog().Instances[id].Tags).To(HaveKeyWithValue("Role", "blog"), "what was swept is as it was")
	w.Expect(w.cloud.Calls("DescribeInstances")).To(Equal(2))
}

func TestAYoungDescriptionAnswersForNow(t *testing.T) {
	w := newWorld(t, time.Hour)
	id := w.cloud.Add(awstest.Instance{Tags: role("blog")})
	other := w.cloud.Add(awstest.Instance{Tags: map[string]string{"Other": "x"}})
	w.Eventually(w.looks, patience).Should(Equal(1))
	for range 5 {
		for _, id := range []string{id, other} {
			now, err := w.describe(id)
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(now.ID).To(Equal(id))
		}
	}
	w.Expect(w.cloud.Calls("DescribeInstances")).To(Equal(2), "one sweep, and one look at what it did not find")
}

// An instance that was missing from the last sweep was not described by it.
func TestAMissingInstanceIsLookedFor(t *testing.T) {
	w := newWorld(t, time.Hour)
	id := w.cloud.Add(awstest.Instance{Tags: role("blog")})
	w.Eventually(w.looks, patience).Should(Equal(1))
	w.cloud.Remove(id)
	w.sweeper.Wake("ap-northeast-1")
	w.Eventually(w.looks, patience).Should(Equal(2))
	_, err := w.describe(id)
	w.Expect(err).To(MatchError(discovery.ErrNotDescribed))
}

// asking is a context that counts how often somebody waits for its end: a look does so when it begins, and when it was asked for.
type asking struct {
	context.Context
	waits *atomic.Int64
}

func (a asking) Done() <-chan struct{} {
	a.waits.Add(1)
	return a.Context.Done()
}

// 200 hosts that are about to be reached cost one call, and one id that EC2 forgot spoils it for nobody.
func TestLooksAreShared(t *testing.T) {
	for hosts, calls := range map[int]int{1: 1, 200: 1, 201: 2, 451: 3} {
		t.Run(strconv.Itoa(hosts), func(t *testing.T) {
			now := clocktesting.NewFakeClock(time.Now())
			w := newWorld(t, time.Hour, func(o *ec2.Options) { o.Clock = now })
			ids := []string{"i-00000000000f0f0f0"}
			for len(ids) < hosts {
				ids = append(ids, w.cloud.Add(awstest.Instance{Tags: role("blog")}))
			}
			ctx := asking{t.Context(), &atomic.Int64{}}
			var askers sync.WaitGroup
			answers := make(chan string, 2*hosts)
			for _, id := range slices.Concat(ids, ids) { // two Services on each host
				askers.Go(func() {
					if now, err := w.sweeper.Describe(ctx, tokyo, id); err != nil || now.ID != id {
						answers <- fmt.Sprint(id, " ", err)
					}
				})
			}
			w.Eventually(ctx.waits.Load, patience).Should(BeEquivalentTo(4 * hosts))
			now.Step(time.Second)
			askers.Wait()
			close(answers)
			for problem := range answers {
				w.Expect(problem).To(Equal(ids[0] + " " + discovery.ErrNotDescribed.Error()))
			}
			w.Expect(w.cloud.Calls("DescribeInstances")).To(Equal(calls))
		})
	}
}

// Throttled or denied, nobody can say what is now, and asking again and again is no help.
func TestALookThatFailsIsNotRepeatedAtOnce(t *testing.T) {
	for name, test := range map[string]struct {
		how  awstest.Refusal
		says string
	}{
		"throttled": {awstest.Throttled, "EC2 in ap-northeast-1: "},
		"denied":    {awstest.Denied, "EC2 in ap-northeast-1: DescribeInstances: UnauthorizedOperation"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, time.Hour, stale, func(o *ec2.Options) { o.LookLimit = 300 * time.Millisecond })
			id := w.cloud.Add(awstest.Instance{Tags: role("blog")})
			w.Eventually(w.looks, patience).Should(Equal(1))
			w.cloud.Refuse("DescribeInstances", test.how, 0)
			_, err := w.describe(id)
			w.Expect(err).To(MatchError(ContainSubstring(test.says)))
			calls := w.cloud.Calls("DescribeInstances")
			for range 100 {
				_, err := w.describe(id)
				w.Expect(err).To(MatchError(ContainSubstring(test.says)))
			}
			w.Expect(w.cloud.Calls("DescribeInstances")).To(Equal(calls))
			w.Expect(w.problem()).To(BeEmpty(), "the sweep is another matter")
		})
	}
}

func TestNobodyLooksBeforeTheStart(t *testing.T) {
	_, err := ec2.New(ec2.Options{LookLimit: time.Millisecond}).Describe(t.Context(), tokyo, "i-0123456789abcdef0")
	NewWithT(t).Expect(err).To(MatchError(ContainSubstring("not asked")))
}

// A role's instances are described to the role, not to the manager's own identity.
func TestALookIsTheRoles(t *testing.T) {
	w := newWorld(t, time.Hour, stale)
	arn := "arn:aws:iam::210987654321:role/slipway-look"
	w.cloud.Trust(awstest.Role{ARN: arn})
	id := w.cloud.Add(awstest.Instance{Tags: role("blog")})
	now, err := w.sweeper.Describe(t.Context(), discovery.Account{Region: "ap-northeast-1", RoleARN: arn}, id)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(now.Account).To(Equal("210987654321"))
	_, err = w.sweeper.Describe(t.Context(), discovery.Account{Region: "ap-northeast-1", RoleARN: arn + "-2"}, id)
	w.Expect(err).To(MatchError(ContainSubstring("AccessDenied")))
}
