// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package ec2_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/internal/awstest"
	"github.com/slipway-dev/slipway/internal/discovery"
	"github.com/slipway-dev/slipway/internal/discovery/ec2"
)

const patience = "30s"

var tokyo = discovery.Account{Region: "ap-northeast-1"}

// world is a cloud and a sweeper that looks at it through the real SDK.
type world struct {
	*WithT
	cloud   *awstest.Cloud
	sweeper *ec2.Sweeper
}

func newWorld(t *testing.T, period time.Duration, change ...func(*ec2.Options)) *world {
	t.Helper()
	w := &world{WithT: NewWithT(t), cloud: awstest.New()}
	t.Cleanup(w.cloud.Close)
	for _, variable := range w.cloud.Environment() {
		key, value, _ := strings.Cut(variable, "=")
		t.Setenv(key, value)
	}
	none := 0.0
	options := ec2.Options{Period: period, Jitter: &none}
	for _, change := range change {
		change(&options)
	}
	w.sweeper = ec2.New(options)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.sweeper.Start(ctx) }()
	t.Cleanup(func() { cancel(); w.Expect(<-ended).To(Succeed()) })
	return w
}

// blog is what is known of the instances with the tag Role.
func (w *world) blog() discovery.View { return w.sweeper.View(tokyo, []string{"Role"}) }

func (w *world) looks() int { return w.blog().Looks }

func (w *world) problem() string { return w.blog().Problem }

func role(value string) map[string]string { return map[string]string{"Role": value} }

func TestEveryPageOfOneRegionIsRead(t *testing.T) {
	w := newWorld(t, time.Hour)
	ids := map[string]bool{}
	for range 2345 {
		ids[w.cloud.Add(awstest.Instance{Tags: role("blog")})] = true
	}
	w.cloud.Add(awstest.Instance{Region: "eu-west-1", Tags: role("blog")})
	w.cloud.Add(awstest.Instance{Tags: map[string]string{"Other": "x"}})
	for range 50 { // as many Services ask, one sweep answers
		w.blog()
	}
	w.Eventually(w.looks, patience).Should(Equal(1))
	found := w.blog().Instances
	w.Expect(found).To(HaveLen(2345))
	for id := range ids {
		w.Expect(found).To(HaveKey(id))
	}
	w.Expect(w.cloud.Calls("DescribeInstances")).To(Equal(3), "three pages, each read once")
	w.Expect(w.cloud.Calls("DescribeAutoScalingGroups")).To(BeZero(), "no instance is of a group")
}

func TestAnInstanceIsDescribed(t *testing.T) {
	w := newWorld(t, time.Hour)
	launched := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	id := w.cloud.Add(awstest.Instance{Tags: role("blog"), Group: "blog-asg", Lifecycle: "Pending:Wait", Zone: "ap-northeast-1c", Type: "m7g.large",
		PrivateIP: "10.1.2.3", PublicIP: "203.0.113.9", LaunchTime: launched})
	w.Eventually(w.looks, patience).Should(Equal(1))
	w.Expect(w.blog().Instances).To(HaveKeyWithValue(id, discovery.Instance{
		ID: id, Account: awstest.Account, Zone: "ap-northeast-1c", Type: "m7g.large", State: "running", PrivateIP: "10.1.2.3", PublicIP: "203.0.113.9",
		PrivateDNS: "ip-10-1-2-3.ap-northeast-1.compute.internal", Lifecycle: "Pending:Wait", LaunchTime: launched,
		Tags: map[string]string{"Role": "blog", discovery.GroupTag: "blog-asg"},
	}))
}

func TestATagThatIsAskedForLaterIsLookedForAtOnce(t *testing.T) {
	w := newWorld(t, time.Hour)
	id := w.cloud.Add(awstest.Instance{Tags: map[string]string{"Team": "shop"}})
	w.Eventually(w.looks, patience).Should(Equal(1))
	shop := func() discovery.View { return w.sweeper.View(tokyo, []string{"Team"}) }
	w.Expect(shop().Looks).To(BeZero(), "the first sweep did not look for it")
	w.Eventually(func() int { return shop().Looks }, patience).Should(Equal(1))
	w.Expect(shop().Instances).To(HaveKey(id))
}

// EC2's answers lag behind: one that is missing once is still there.
func TestAnInstanceIsGoneAfterTwoLooks(t *testing.T) {
	w := newWorld(t, time.Hour)
	id := w.cloud.Add(awstest.Instance{Tags: role("blog")})
	again := func(n int) {
		w.sweeper.Wake("ap-northeast-1")
		w.Eventually(w.looks, patience).Should(Equal(n))
	}
	w.Eventually(w.looks, patience).Should(Equal(1))
	w.cloud.Hide(id, 1)
	again(2)
	w.Expect(w.blog().Instances).To(HaveKey(id))
	again(3)
	w.cloud.Remove(id)
	again(4)
	w.Expect(w.blog().Instances).To(HaveKey(id))
	again(5)
	w.Expect(w.blog().Instances).NotTo(HaveKey(id))
}

func TestATerminatedInstanceIsKnownAtOnce(t *testing.T) {
	w := newWorld(t, 10*time.Millisecond)
	id := w.cloud.Add(awstest.Instance{Tags: role("blog"), Group: "blog-asg"})
	state := func() string { return w.blog().Instances[id].State }
	w.Eventually(state, patience).Should(Equal("running"))
	w.cloud.Terminate(id)
	w.Eventually(state, patience).Should(Equal("terminated"))
	w.Expect(w.blog().Instances[id].Lifecycle).To(BeEmpty())
}

func TestWhatCannotBeLookedForIsKept(t *testing.T) {
	for name, test := range map[string]struct {
		action string
		how    awstest.Refusal
		says   string
	}{
		"denied":            {"DescribeInstances", awstest.Denied, "UnauthorizedOperation: You are not authorized"},
		"no such keys":      {"DescribeInstances", awstest.Refusal{Status: 401, Code: "AuthFailure", Message: "bad key"}, "AuthFailure: bad key"},
		"groups are denied": {"DescribeAutoScalingGroups", awstest.Refusal{Status: 403, Code: "AccessDenied", Message: "no"}, "DescribeAutoScalingGroups: AccessDenied: no"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 10*time.Millisecond)
			id := w.cloud.Add(awstest.Instance{Tags: role("blog"), Group: "blog-asg"})
			w.Eventually(w.looks, patience).Should(BeNumerically(">=", 1))
			w.cloud.Refuse(test.action, test.how, 0)
			w.Eventually(w.problem, patience).Should(And(
				HavePrefix("EC2 in ap-northeast-1: "), ContainSubstring(test.says), MatchRegexp(`; next try at \d\d:\d\d:\d\d UTC$`)))
			looks := w.looks()
			w.Expect(w.blog().Instances).To(HaveKey(id))
			w.cloud.Permit(test.action)
			w.Eventually(w.problem, patience).Should(BeEmpty())
			w.Expect(w.looks()).To(BeNumerically(">", looks))
		})
	}
}

func TestThrottlingIsWaitedOut(t *testing.T) {
	w := newWorld(t, time.Hour)
	w.cloud.Add(awstest.Instance{Tags: role("blog")})
	w.cloud.Refuse("DescribeInstances", awstest.Throttled, 4) // one more than the SDK's own retries
	w.Eventually(w.looks, "60s").Should(Equal(1))
	w.Expect(w.problem()).To(BeEmpty())
	w.Expect(w.cloud.Calls("DescribeInstances")).To(Equal(5))
}

func TestARoleIsAssumedWithItsExternalID(t *testing.T) {
	w := newWorld(t, 10*time.Millisecond)
	arn := "arn:aws:iam::210987654321:role/slipway-look"
	w.cloud.Trust(awstest.Role{ARN: arn, ExternalID: "tenant-1"})
	id := w.cloud.Add(awstest.Instance{Tags: role("blog")})
	mine := discovery.Account{Region: "ap-northeast-1", RoleARN: arn, ExternalID: "tenant-1"}
	w.Eventually(func() map[string]discovery.Instance { return w.sweeper.View(mine, []string{"Role"}).Instances }, patience).Should(HaveKey(id))
	w.Expect(w.sweeper.View(mine, []string{"Role"}).Instances[id].Account).To(Equal("210987654321"))
	stolen := mine
	stolen.ExternalID = "tenant-2"
	w.Eventually(func() string { return w.sweeper.View(stolen, []string{"Role"}).Problem }, patience).Should(And(
		ContainSubstring("EC2 in ap-northeast-1 as "+arn+": "), ContainSubstring("AccessDenied"), ContainSubstring("sts:AssumeRole")))
	w.Expect(w.sweeper.View(stolen, []string{"Role"}).Instances).To(BeEmpty(), "what one identity sees is not shown to another")
}

func TestNewsIsTold(t *testing.T) {
	w := newWorld(t, 10*time.Millisecond)
	id := w.cloud.Add(awstest.Instance{Tags: role("blog")})
	w.blog()
	told := func() string {
		select {
		case e := <-w.sweeper.Found():
			return fmt.Sprint(e.Object)
		default:
			return ""
		}
	}
	w.Eventually(told, patience).Should(Equal("ap-northeast-1"))
	w.Eventually(w.looks, patience).Should(BeNumerically(">", 3))
	w.Eventually(told, patience).Should(BeEmpty())
	w.Consistently(told, "200ms").Should(BeEmpty(), "nothing is new")
	w.cloud.Change(id, func(i *awstest.Instance) { i.Tags = role("shop") })
	w.Eventually(told, patience).Should(Equal("ap-northeast-1"))
}
