// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package processes

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/crypto/ssh"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/awstest"
	"github.com/slipway-dev/slipway/internal/conditions"
	"github.com/slipway-dev/slipway/test/hosts"
)

// instances are the cluster's hosts as instances of a cloud.
type instances struct {
	*cluster
	cloud *awstest.Cloud
	// ids and addresses of metadata services, by host.
	ids, metadata map[string]string
}

func newInstances(t *testing.T) *instances {
	t.Helper()
	cloud := awstest.New()
	t.Cleanup(cloud.Close)
	for _, variable := range cloud.Environment() {
		key, value, _ := strings.Cut(variable, "=")
		t.Setenv(key, value)
	}
	certificates := t.TempDir()
	NewWithT(t).Expect(os.WriteFile(filepath.Join(certificates, "ap-northeast-1.pem"), cloud.IdentityCertificate("ap-northeast-1"), 0o600)).To(Succeed())
	return &instances{cluster: newCluster(t, "--identity-certificates", certificates), cloud: cloud, ids: map[string]string{}, metadata: map[string]string{}}
}

// launch makes an instance of a host: EC2 describes it, and its metadata service says who it is.
func (i *instances) launch(h *hosts.Host) {
	i.t.Helper()
	id := i.cloud.Add(awstest.Instance{Tags: map[string]string{"Role": "blog"}, PrivateIP: h.Address})
	i.ids[h.Name] = id
	listener, err := net.Listen("tcp", net.JoinHostPort(i.fleet.Gateway, "0"))
	i.g.Expect(err).NotTo(HaveOccurred())
	metadata, err := i.cloud.ServeMetadata(listener, id, awstest.MetadataOptions{})
	i.g.Expect(err).NotTo(HaveOccurred())
	i.t.Cleanup(func() { i.g.Expect(metadata.Close()).To(Succeed()) })
	i.metadata[h.Name] = listener.Addr().String()
	i.wire(h)
}

// wire leads a host to its metadata service, and keeps what the user-data writes in this host.
func (i *instances) wire(h *hosts.Host) {
	i.t.Helper()
	i.root(h, "iptables -t nat -A OUTPUT -d 169.254.169.254 -p tcp --dport 80 -j DNAT --to-destination "+i.metadata[h.Name])
	i.root(h, "for d in /usr/local/lib /var/lib /var/log /etc/ssh; do mount -t tmpfs tmpfs $d; done; install -m 600 /run/host/key /etc/ssh/ssh_host_ed25519_key")
}

func (i *instances) root(h *hosts.Host, script string) {
	i.t.Helper()
	out, err := h.Shell(i.t.Context(), "root", script)
	i.g.Expect(err).NotTo(HaveOccurred(), out)
}

// boot runs the Service's user-data, as cloud-init does where there is no systemd.
func (i *instances) boot(h *hosts.Host) {
	i.t.Helper()
	var data corev1.ConfigMap
	i.g.Expect(i.client.Get(i.t.Context(), client.ObjectKey{Namespace: i.namespace, Name: "blog-boot"}, &data)).To(Succeed())
	i.g.Expect(os.WriteFile(h.Path("/run/user-data"), []byte(data.Data["user-data"]), 0o600)).To(Succeed())
	i.root(h, "rm -f /run/slipway.done; sh /run/user-data; timeout 20 /var/lib/cloud/scripts/per-boot/slipway || :; pkill -f 'slipway/boot [r]un' || :")
}

func (i *instances) target(g Gomega, h *hosts.Host) *v1alpha1.Target {
	var list v1alpha1.TargetList
	g.Expect(i.client.List(context.Background(), &list, client.InNamespace(i.namespace))).To(Succeed())
	for n := range list.Items {
		if list.Items[n].Spec.Host.ID == i.ids[h.Name] {
			return &list.Items[n]
		}
	}
	g.Expect(i.ids[h.Name]).To(BeEmpty(), "there is no Target for %s", h.Name)
	return nil
}

// plain is a host's key without its comment.
func plain(h *hosts.Host) string {
	fields := strings.Fields(h.HostKey())
	return fields[0] + " " + fields[1]
}

func (i *instances) log(h *hosts.Host) string {
	out, _ := h.Shell(context.Background(), "root", "cat /var/log/cloud-init-output.log")
	return out
}

// Nobody writes a host's key down, and nobody trusts a first connection: an instance proves its key at the depot. One that
// starts while there is no manager comes up with what is current.
func TestInstancesProveThemselvesAndBootWithoutAManager(t *testing.T) {
	i := newInstances(t)
	first := i.manager("manager-1")
	i.g.Expect(i.client.Create(t.Context(), &v1alpha1.TargetPolicy{ObjectMeta: metav1.ObjectMeta{Name: i.namespace}, Spec: v1alpha1.TargetPolicySpec{
		Namespaces: []string{i.namespace}, SSHUsers: []string{"deploy"}, PathPrefixes: []string{"/var/www"},
		EC2: []v1alpha1.EC2Permission{{Regions: []string{"*"}, AllInstances: true}},
	}})).To(Succeed())
	s := i.blog()
	s.Spec.Targets = []v1alpha1.TargetSource{{EC2: &v1alpha1.EC2Source{Region: "ap-northeast-1", Tags: map[string]v1alpha1.TagValue{"Role": "blog"}}}}
	s.Spec.SSH.HostKeys.Policy = v1alpha1.HostKeysBound
	s.Spec.Deploy.DriftInterval = metav1.Duration{Duration: 5 * time.Second}
	i.g.Expect(i.client.Create(t.Context(), s)).To(Succeed())
	i.service = s
	one := strings.Repeat("1", 40)
	i.built(one, "one\n")
	web1, web2, web3 := i.fleet.Hosts[0], i.fleet.Hosts[1], i.fleet.Hosts[2]
	i.launch(web1)
	i.launch(web2)
	i.release("blog-1", one)

	for _, h := range []*hosts.Host{web1, web2} {
		i.g.Eventually(func(g Gomega) {
			ready := conditions.Get(i.target(g, h).Status.Conditions, v1alpha1.ConditionReady)
			g.Expect(ready.Reason).To(Equal(v1alpha1.ReasonHostKeyUnknown))
			g.Expect(ready.Message).To(ContainSubstring("user-data in ConfigMap blog-boot"))
		}, time.Minute).Should(Succeed())
		i.boot(h)
	}
	i.succeeded("blog-1")
	for _, h := range []*hosts.Host{web1, web2} {
		i.g.Eventually(func() string { return i.target(i.g, h).Status.HostKey }).Should(Equal(plain(h)), i.log(h))
	}

	// There is no manager when the third one starts.
	i.g.Expect(first.Process.Kill()).To(Succeed())
	_ = first.Wait()
	i.launch(web3)
	i.boot(web3)
	content, err := os.ReadFile(web3.Path("/var/www/blog/current/index.html"))
	i.g.Expect(err).NotTo(HaveOccurred(), i.log(web3))
	i.g.Expect(string(content)).To(Equal("one\n"))

	i.manager("manager-2")
	i.g.Eventually(func(g Gomega) {
		target := i.target(g, web3)
		g.Expect(conditions.IsTrue(target.Status.Conditions, v1alpha1.ConditionReady)).To(BeTrue(), "%+v", target.Status)
		g.Expect(target.Status.HostKey).To(Equal(plain(web3)))
		g.Expect(target.Status.Boot).To(HaveField("Digest", HavePrefix("sha256:")))
		g.Expect(target.Status.Boot.Reason).To(BeEmpty())
	}, time.Minute).Should(Succeed())

	// The host gets another key: it is somebody else, until a person says otherwise.
	i.root(web2, "rm -f /run/host/key /run/host/key.pub; ssh-keygen -q -t ed25519 -N '' -f /run/host/key")
	i.g.Expect(web2.Kill()).To(Succeed())
	i.g.Expect(web2.Boot(t.Context())).To(Succeed())
	i.wire(web2)
	i.g.Eventually(func(g Gomega) {
		ready := conditions.Get(i.target(g, web2).Status.Conditions, v1alpha1.ConditionReady)
		g.Expect(ready.Reason).To(Equal(v1alpha1.ReasonHostKeyMismatch), ready.Message)
	}, time.Minute).Should(Succeed())
	i.boot(web2)
	i.g.Expect(i.log(web2)).To(ContainSubstring("pinned to another host key"))
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(web2.HostKey()))
	i.g.Expect(err).NotTo(HaveOccurred())
	target := i.target(i.g, web2)
	before := target.DeepCopy()
	target.Annotations = map[string]string{v1alpha1.AnnotationRepin: "slipway:admin " + ssh.FingerprintSHA256(key) + " its disk was restored"}
	i.g.Expect(i.client.Patch(t.Context(), target, client.MergeFrom(before))).To(Succeed())
	i.g.Eventually(func(g Gomega) {
		target := i.target(g, web2)
		g.Expect(conditions.IsTrue(target.Status.Conditions, v1alpha1.ConditionReady)).To(BeTrue(), "%+v", target.Status)
		g.Expect(target.Status.HostKey).To(Equal(plain(web2)))
		g.Expect(target.Status.Repin).To(HaveField("Before", HavePrefix("SHA256:")))
	}, time.Minute).Should(Succeed())
	i.boot(web2)
	i.g.Expect(i.log(web2)).To(ContainSubstring(`slipway: ` + i.namespace + `/blog: {"done":`))
	i.rights()
}
