// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package processes

import (
	"context"
	"io"
	"net"
	"net/http"
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
	"github.com/slipway-dev/slipway/internal/awstest"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/test/env"
	"github.com/slipway-dev/slipway/test/hosts"
	ec2 "github.com/slipway-dev/slipway/test/instances"
)

// region is a cluster whose hosts are EC2 instances that boot by themselves: Debian's cloud-init and systemd run in them.
type region struct {
	*cluster
	cloud  *awstest.Cloud
	subnet *ec2.Subnet
	image  *ec2.Image
}

func newRegion(t *testing.T) *region {
	t.Helper()
	if err := ec2.Available(); err != nil {
		if os.Getenv("SLIPWAY_REQUIRE_ALL") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	r := &region{cluster: bare(t), cloud: awstest.New()}
	t.Cleanup(r.cloud.Close)
	for _, variable := range r.cloud.Environment() {
		key, value, _ := strings.Cut(variable, "=")
		t.Setenv(key, value)
	}
	var err error
	r.subnet, err = ec2.NewSubnet(ec2.Options{Dir: filepath.Join(r.dir, "instances"), Metadata: func(l net.Listener, id string) (io.Closer, error) {
		return r.cloud.ServeMetadata(l, id, awstest.MetadataOptions{})
	}})
	r.g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { r.g.Expect(r.subnet.Close()).To(Succeed()) })
	r.fleet = &hosts.Fleet{Gateway: r.subnet.Gateway, PrivateKey: filepath.Join(r.dir, "id")}
	out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", r.fleet.PrivateKey).CombinedOutput()
	r.g.Expect(err).NotTo(HaveOccurred(), string(out))
	public, err := os.ReadFile(r.fleet.PrivateKey + ".pub")
	r.g.Expect(err).NotTo(HaveOccurred())
	debian, err := ec2.Debian(t.Context())
	r.g.Expect(err).NotTo(HaveOccurred())
	r.image, err = debian.With(filepath.Join(r.dir, "image"), map[string]string{"etc/ssh/authorized_keys.d/deploy": string(public)})
	r.g.Expect(err).NotTo(HaveOccurred())

	certificates := t.TempDir()
	r.g.Expect(os.WriteFile(filepath.Join(certificates, "ap-northeast-1.pem"), r.cloud.IdentityCertificate("ap-northeast-1"), 0o600)).To(Succeed())
	r.depot("--identity-certificates", certificates)
	r.manager("manager-1")
	r.site()
	return r
}

// site is a Service of the instances of the group web, which nginx serves.
func (r *region) site() {
	r.g.Expect(r.client.Create(r.t.Context(), &v1alpha1.TargetPolicy{ObjectMeta: metav1.ObjectMeta{Name: r.namespace}, Spec: v1alpha1.TargetPolicySpec{
		Namespaces: []string{r.namespace}, SSHUsers: []string{"deploy"}, PathPrefixes: []string{"/var/www"},
		EC2: []v1alpha1.EC2Permission{{Regions: []string{"*"}, AllInstances: true}},
	}})).To(Succeed())
	r.service = r.blog()
	r.service.Spec.Targets = []v1alpha1.TargetSource{{EC2: &v1alpha1.EC2Source{Region: "ap-northeast-1", Tags: map[string]v1alpha1.TagValue{"Role": "blog"}}}}
	r.service.Spec.SSH.HostKeys.Policy = v1alpha1.HostKeysBound
	r.service.Spec.Deploy.Path = "/var/www/site"
	r.service.Spec.Deploy.ServeUnits = []string{"nginx.service"}
	r.g.Expect(r.client.Create(r.t.Context(), r.service)).To(Succeed())
}

// userData of the Service.
func (r *region) userData() []byte {
	r.t.Helper()
	var data corev1.ConfigMap
	r.g.Eventually(func() error {
		return r.client.Get(context.Background(), client.ObjectKey{Namespace: r.namespace, Name: "blog-boot"}, &data)
	}, time.Minute).Should(Succeed())
	return []byte(data.Data["user-data"])
}

// launch starts an instance.
func (r *region) launch(image *ec2.Image) *ec2.Instance {
	r.t.Helper()
	address := r.subnet.Address()
	id := r.cloud.Add(awstest.Instance{PrivateIP: address, Tags: map[string]string{"Role": "blog"}, UserData: r.userData()})
	i, err := r.subnet.Launch(r.t.Context(), image, id, address)
	r.g.Expect(err).NotTo(HaveOccurred())
	r.t.Cleanup(func() {
		if r.t.Failed() {
			console, _ := os.ReadFile(i.Console())
			r.t.Logf("console of %s:\n%s", i.ID, console)
			log, _ := os.ReadFile(filepath.Join(i.Dir, "disk/var/log/cloud-init-output.log"))
			r.t.Logf("log of %s:\n%s", i.ID, log)
		}
	})
	return i
}

// ready waits until the instance's Target is, at a digest.
func (r *region) ready(i *ec2.Instance) {
	r.t.Helper()
	r.g.Eventually(func(g Gomega) {
		var list v1alpha1.TargetList
		g.Expect(r.client.List(context.Background(), &list, client.InNamespace(r.namespace))).To(Succeed())
		for _, target := range list.Items {
			if target.Spec.Host.ID == i.ID {
				g.Expect(conditions.IsTrue(target.Status.Conditions, v1alpha1.ConditionReady)).To(BeTrue(), "%+v", target.Status)
				return
			}
		}
		g.Expect(list.Items).To(BeEmpty(), "no Target of "+i.ID)
		g.Expect(i.ID).To(BeEmpty())
	}, 90*time.Second, 200*time.Millisecond).Should(Succeed())
}

// serves is what a web server answers, or why it does not.
func serves(address string) string {
	answer, err := (&http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + address + "/")
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return answer.Status
	}
	return strings.TrimSpace(string(text))
}

// An instance that was off while a Release completed serves that one from its first answer on; one that starts from an image of
// it with the release before it does too.
func TestInstancesServeWhatIsCurrentFromTheirFirstAnswerOn(t *testing.T) {
	r := newRegion(t)
	one, two := strings.Repeat("1", 40), strings.Repeat("2", 40)
	r.built(one, "one\n")
	r.built(two, "two\n")
	web1, web2 := r.launch(r.image), r.launch(r.image)
	r.release("blog-1", one)
	r.succeeded("blog-1")
	for _, i := range []*ec2.Instance{web1, web2} {
		r.g.Expect(i.Ready(t.Context())).To(Succeed())
		r.g.Eventually(func() string { return serves(i.Address) }, "30s").Should(Equal("one"))
	}
	// From the second boot on the units that serve are known to the host.
	r.g.Expect(web2.Reboot(t.Context())).To(Succeed())
	r.g.Expect(web2.Ready(t.Context())).To(Succeed())
	r.g.Eventually(func() string { return serves(web2.Address) }, "30s").Should(Equal("one"))
	old, err := web2.Bake(filepath.Join(r.dir, "baked"))
	r.g.Expect(err).NotTo(HaveOccurred())

	r.g.Expect(web2.Shutdown(t.Context())).To(Succeed())
	r.cloud.Change(web2.ID, func(i *awstest.Instance) { i.State = "stopped" })
	r.release("blog-2", two)
	r.succeeded("blog-2")
	r.g.Expect(serves(web1.Address)).To(Equal("two"))

	r.firstAnswer(r.launch(old))
}

// firstAnswer waits for the first page that an instance serves: it must be the second release.
func (r *region) firstAnswer(i *ec2.Instance) {
	r.t.Helper()
	var answer string
	r.g.Eventually(func() string { answer = serves(i.Address); return answer }, 90*time.Second, 10*time.Millisecond).Should(BeElementOf("one", "two"))
	r.g.Expect(answer).To(Equal("two"), i.ID)
	r.ready(i)
}

// depot starts the depot.
func (r *region) depot(flags ...string) {
	r.t.Helper()
	address := net.JoinHostPort(r.fleet.Gateway, "2222")
	r.run("depot", env.Depot(r.t), append([]string{"depot", "--data", filepath.Join(r.dir, "depot"), "--listen", address, "--advertise", address,
		"--health-address", "0"}, flags...)...)
}
