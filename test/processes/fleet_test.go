// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package processes

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/test/env"
	"github.com/slipway-dev/slipway/test/hosts"
	ec2 "github.com/slipway-dev/slipway/test/instances"
	"github.com/slipway-dev/slipway/test/region"
)

// scaled is a cluster whose hosts are the instances of an Auto Scaling group: Debian's cloud-init and systemd boot them.
type scaled struct {
	*cluster
	region *region.Region
}

func newScaled(t *testing.T, files map[string]string, change ...func(*v1alpha1.Service)) *scaled {
	t.Helper()
	if err := ec2.Available(); err != nil {
		if os.Getenv("SLIPWAY_REQUIRE_ALL") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	s := &scaled{cluster: bare(t)}
	key := filepath.Join(s.dir, "id")
	out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput()
	s.g.Expect(err).NotTo(HaveOccurred(), string(out))
	public, err := os.ReadFile(key + ".pub")
	s.g.Expect(err).NotTo(HaveOccurred())
	s.region, err = region.Start(t.Context(), region.Options{
		Dir: filepath.Join(s.dir, "region"), Group: "web", Tags: map[string]string{"Role": "blog"}, AuthorizedKey: string(public), UserData: s.userData, Files: files,
	})
	s.g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { s.ended() })
	for _, variable := range s.region.Cloud.Environment() {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	s.fleet = &hosts.Fleet{Gateway: s.region.Subnet.Gateway, PrivateKey: key}
	address := net.JoinHostPort(s.fleet.Gateway, "2222")
	s.run("depot", env.Depot(t), "depot", "--data", filepath.Join(s.dir, "depot"), "--listen", address, "--advertise", address,
		"--health-address", "0", "--identity-certificates", s.region.Certificates)
	s.manager("manager-1", "--ec2-period", "1m", "--ec2-queue-url", region.Name+"="+s.region.Queue)
	s.site(change...)
	return s
}

// site is a Service of the group, which nginx serves. A switch to the third release takes its time, so that its rollout has a middle.
func (s *scaled) site(change ...func(*v1alpha1.Service)) {
	s.g.Expect(s.client.Create(s.t.Context(), &v1alpha1.TargetPolicy{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}, Spec: v1alpha1.TargetPolicySpec{
		Namespaces: []string{s.namespace}, SSHUsers: []string{"deploy"}, PathPrefixes: []string{"/var/www"},
		EC2: []v1alpha1.EC2Permission{{Regions: []string{"*"}, AllInstances: true}},
	}})).To(Succeed())
	s.service = s.blog()
	s.service.Spec.Targets = []v1alpha1.TargetSource{{EC2: &v1alpha1.EC2Source{
		Region: region.Name, AutoScalingGroup: "web", Tags: map[string]v1alpha1.TagValue{"Role": "blog"},
		LaunchHook: region.LaunchHook, TerminateHook: region.TerminateHook,
	}}}
	s.service.Spec.Deploy.HealthCheck = &v1alpha1.HealthCheck{HTTP: &v1alpha1.HTTPCheck{Port: 80}, Interval: metav1.Duration{Duration: time.Second}}
	s.service.Spec.SSH.HostKeys.Policy = v1alpha1.HostKeysBound
	s.service.Spec.Deploy.Path = "/var/www/site"
	s.service.Spec.Deploy.ServeUnits = []string{"nginx.service"}
	s.service.Spec.Deploy.Hooks.AfterSwitch = &v1alpha1.HostHook{
		Script: `[ -n "$SLIPWAY_BOOT" ] || ! grep -q three /var/www/site/current/index.html || sleep 6`, Timeout: metav1.Duration{Duration: time.Minute},
	}
	for _, c := range change {
		c(s.service)
	}
	s.g.Expect(s.client.Create(s.t.Context(), s.service)).To(Succeed())
	s.g.Eventually(s.userData, time.Minute).ShouldNot(BeEmpty())
}

// userData of the Service, for the group's launch template.
func (s *scaled) userData() ([]byte, error) {
	var data corev1.ConfigMap
	err := s.client.Get(context.Background(), client.ObjectKey{Namespace: s.namespace, Name: "blog-boot"}, &data)
	return []byte(data.Data["user-data"]), err
}

// scale sets the group's desired capacity, and waits for so many instances in service.
func (s *scaled) scale(n int) {
	s.t.Helper()
	s.g.Expect(s.region.Scale(n)).To(Succeed())
	s.g.Eventually(func(g Gomega) {
		_, failed := s.region.Events()
		g.Expect(failed).NotTo(HaveOccurred())
		g.Expect(s.region.InService()).To(Equal(n))
	}, 2*time.Minute, 50*time.Millisecond).Should(Succeed())
}

// completed waits for a good end, and says when it was seen.
func (s *scaled) completed(name string) time.Time {
	s.t.Helper()
	s.succeeded(name)
	return time.Now()
}

// ended ends the region, and shows what its instances said if the test failed.
func (s *scaled) ended() {
	if s.t.Failed() {
		events, _ := s.region.Events()
		for _, e := range events {
			s.t.Log(e.Time.Format(time.StampMilli), e.Instance, e.What, e.Page)
		}
		logs, _ := filepath.Glob(filepath.Join(s.dir, "region", "instances", "*", "disk", "var", "log", "cloud-init-output.log"))
		for _, log := range logs {
			text, _ := os.ReadFile(log)
			s.t.Logf("%s:\n%s", log, text)
		}
	}
	s.g.Expect(s.region.Close()).To(Succeed())
}

// A group grows and shrinks in the middle of a Release. Whoever looks at the instances' web servers, knowing nothing of Slipway,
// never sees what they should not serve: each served a page before it came into service, the last release that had completed or the
// one that is rolled out, never back, and never the old one that the newcomers' image holds.
func TestAGroupScalesInTheMiddleOfARelease(t *testing.T) {
	s := newScaled(t, nil)
	one, two, three := strings.Repeat("1", 40), strings.Repeat("2", 40), strings.Repeat("3", 40)
	s.built(one, "one\n")
	s.built(two, "two\n")
	s.built(three, "three\n")
	s.release("blog-1", one)
	s.scale(1)
	completed := []time.Time{s.completed("blog-1")}
	s.scale(2)
	s.g.Expect(s.region.Bake(filepath.Join(s.dir, "baked"))).To(Succeed())
	s.release("blog-2", two)
	completed = append(completed, s.completed("blog-2"))

	s.release("blog-3", three)
	s.g.Eventually(func(g Gomega) {
		var service v1alpha1.Service
		g.Expect(s.client.Get(t.Context(), client.ObjectKeyFromObject(s.service), &service)).To(Succeed())
		g.Expect(service.Status.Rolling).To(HaveField("Release", "blog-3"))
	}, time.Minute, 50*time.Millisecond).Should(Succeed())
	s.scale(4)
	s.g.Expect(conditions.IsTrue(s.get(s.g, "blog-3").Status.Conditions, v1alpha1.ConditionFinished)).To(BeFalse(), "else nothing is shown")
	s.scale(2)
	completed = append(completed, s.completed("blog-3"))
	s.scale(3)

	events, err := s.region.Events()
	s.g.Expect(err).NotTo(HaveOccurred())
	verdicts := region.Judge(events, region.Release{Page: "one", Completed: completed[0]},
		region.Release{Page: "two", Completed: completed[1]}, region.Release{Page: "three", Completed: completed[2]})
	s.g.Expect(verdicts).To(HaveLen(5))
	for _, v := range verdicts {
		s.g.Expect(v.Wrong).To(BeEmpty(), v.Instance)
	}
	s.g.Expect(verdicts[2:4]).To(HaveEach(HaveField("First", "two")), "newcomers get the last Release that completed")
	s.g.Expect(verdicts[4].First).To(Equal("three"))
	s.rights()
}
