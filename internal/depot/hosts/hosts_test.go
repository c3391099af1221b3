// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package hosts_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/crypto/ssh"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/awstest"
	"github.com/slipway-dev/slipway/internal/boot"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/depot/hosts"
	"github.com/slipway-dev/slipway/internal/depot/server"
	"github.com/slipway-dev/slipway/internal/depot/store"
	"github.com/slipway-dev/slipway/internal/discovery/ec2"
	"github.com/slipway-dev/slipway/internal/identity"
	"github.com/slipway-dev/slipway/internal/sshca"
)

const region = "ap-northeast-1"

// desk is a depot that answers hosts, with a cloud behind it.
type desk struct {
	*WithT
	t     *testing.T
	cloud *awstest.Cloud
	store *store.Store
	clock *clocktesting.FakeClock
	addr  string
	host  ssh.PublicKey
	// endpoint as hosts are told; stop ends the depot.
	endpoint depot.Endpoint
	stop     func()
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	return newDeskAt(t, "127.0.0.1")
}

func newDeskAt(t *testing.T, address string) *desk {
	t.Helper()
	d := &desk{WithT: NewWithT(t), t: t, cloud: awstest.New(), clock: clocktesting.NewFakeClock(time.Now())}
	t.Cleanup(d.cloud.Close)
	for _, pair := range d.cloud.Environment() {
		key, value, _ := strings.Cut(pair, "=")
		t.Setenv(key, value)
	}
	var err error
	d.store, err = store.Open(t.TempDir(), d.clock)
	d.Expect(err).NotTo(HaveOccurred())
	signers, authorities, err := server.HostKey(t.TempDir(), []string{address}, d.clock)
	d.Expect(err).NotTo(HaveOccurred())
	authority, err := sshca.New(d.clock)
	d.Expect(err).NotTo(HaveOccurred())
	block, _ := pem.Decode(d.cloud.IdentityCertificate(region))
	certificates := identity.Certificates{}
	certificates[region], err = x509.ParseCertificate(block.Bytes)
	d.Expect(err).NotTo(HaveOccurred())
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	d.Expect(err).NotTo(HaveOccurred())
	d.addr = listener.Addr().String()
	d.endpoint = depot.Endpoint{Host: address, Port: listener.Addr().(*net.TCPAddr).Port, HostCAs: authorities}
	sweeper := ec2.New(ec2.Options{Fresh: time.Nanosecond, Blind: time.Nanosecond})
	front := server.New(server.Options{
		Store: d.store, HostKeys: signers, Clock: d.clock, Logger: log, UserAuthorities: func() []ssh.PublicKey { return nil },
		BootAuthorities: func() []ssh.PublicKey {
			key, _, _, _, _ := ssh.ParseAuthorizedKey([]byte(authority.PublicKeys()[0]))
			return []ssh.PublicKey{key}
		},
		Hosts: hosts.New(hosts.Options{
			Store: d.store, Cloud: sweeper, Certificates: certificates, PullKey: authority.Pull, Clock: d.clock, Logger: log,
			Endpoint: func() depot.Endpoint { return d.endpoint },
		}),
	})
	d.host = signers[1].PublicKey()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { _ = sweeper.Start(ctx) }()
	go func() { defer close(ended); _ = front.Serve(ctx, listener) }()
	d.stop = func() { cancel(); <-ended }
	t.Cleanup(d.stop)
	return d
}

func (d *desk) key() ssh.Signer {
	_, private, err := ed25519.GenerateKey(nil)
	d.Expect(err).NotTo(HaveOccurred())
	signer, err := ssh.NewSignerFromKey(private)
	d.Expect(err).NotTo(HaveOccurred())
	return signer
}

// run runs a command at the depot as a host that holds the key.
func (d *desk) run(key ssh.Signer, command, stdin string) (string, error) {
	d.t.Helper()
	client, err := ssh.Dial("tcp", d.addr, &ssh.ClientConfig{User: boot.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.FixedHostKey(d.host),
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519}})
	if err != nil {
		return "", err
	}
	defer func() { _ = client.Close() }()
	session, err := client.NewSession()
	d.Expect(err).NotTo(HaveOccurred())
	var stderr bytes.Buffer
	session.Stdin, session.Stderr = strings.NewReader(stdin), &stderr
	out, err := session.Output(command)
	if err != nil {
		return string(out), errors.New(stderr.String())
	}
	return string(out), nil
}

// boot boots an instance. What it answers is shortened to its first words.
func (d *desk) boot(key ssh.Signer, instance string) (string, error) {
	d.t.Helper()
	document, err := d.cloud.IdentityDocument(instance)
	d.Expect(err).NotTo(HaveOccurred())
	return d.run(key, "boot", "host ip-10-0-0-1\n"+string(document)+"\n")
}

// word is that of a Service whose hosts bear Role=<name>.
func (d *desk) word(name string, change func(*depot.Word)) {
	d.t.Helper()
	uid := v1alpha1.UID("uid-" + name)
	w := depot.Word{
		Service: uid, Storage: uid, Namespace: "web", Name: name, Owner: "cluster", SSHUser: "deploy",
		Sources:  []v1alpha1.EC2Source{{Region: region, Tags: map[string]v1alpha1.TagValue{"Role": v1alpha1.TagValue(name)}, Address: v1alpha1.AddressPrivateIP}},
		Policies: []v1alpha1.TargetPolicySpec{{Namespaces: []string{"web"}, EC2: []v1alpha1.EC2Permission{{Regions: []string{"*"}, AllInstances: true}}, SSHUsers: []string{"*"}, PathPrefixes: []string{"/srv"}}},
		Current:  &v1alpha1.ReleaseRecord{Release: name + "-1", Commit: "c1", Digest: digest("1"), Frozen: "f1", Sequence: 1},
		Deploy:   map[string]v1alpha1.DeploySpec{"f1": {Path: "/srv/" + v1alpha1.AbsolutePath(name), ServeUnits: []string{"nginx.service"}}},
	}
	if change != nil {
		change(&w)
	}
	d.Expect(d.store.SetWord(w)).To(Succeed())
}

func digest(c string) string { return "sha256:" + strings.Repeat(c, 64) }

func (d *desk) instance(tags map[string]string) string {
	return d.cloud.Add(awstest.Instance{Tags: tags, LaunchTime: d.clock.Now()})
}

func TestAnInstanceGetsWhatIsCurrent(t *testing.T) {
	d := newDesk(t)
	d.word("blog", nil)
	d.word("shop", nil)
	id := d.instance(map[string]string{"Role": "blog"})
	key := d.key()
	out, err := d.boot(key, id)
	d.Expect(err).NotTo(HaveOccurred())
	lines := strings.SplitAfter(out, "\n")
	d.Expect(lines[0]).To(Equal("units nginx.service\n"))
	var lineCount int
	_, err = fmt.Sscanf(lines[1], "service uid-blog deploy %d web/blog\n", &lineCount)
	d.Expect(err).NotTo(HaveOccurred(), lines[1])
	d.Expect(lines).To(HaveLen(2+lineCount+1), "so many lines, and nothing for shop")
	d.Expect(out).To(And(ContainSubstring("\ndigest 1\n"+digest("1")+"\n"), ContainSubstring("\nfence 1\n1\n"), ContainSubstring("\nboot 1\n1\n"), HaveSuffix("end 0\n")))

	binding, bound := d.store.BindingOfKey(strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey()))))
	d.Expect(bound).To(BeTrue())
	d.Expect(binding).To(And(HaveField("Instance", id), HaveField("Account", awstest.Account), HaveField("Region", region), HaveField("Services", ConsistOf(v1alpha1.UID("uid-blog")))))

	_, err = d.run(key, "report uid-blog", `{"begin":"Fence"}`+"\n"+`{"done":{"digest":"`+digest("1")+`","fence":1},"state":{"digest":"`+digest("1")+`","switchedFence":1}}`+"\n")
	d.Expect(err).NotTo(HaveOccurred())
	list := d.store.Bindings(t.Context(), 0)
	d.Expect(list[0].Boots).To(HaveKeyWithValue(v1alpha1.UID("uid-blog"), HaveField("Digest", digest("1"))))
	_, err = d.run(key, "report uid-shop", "")
	d.Expect(err).To(MatchError(ContainSubstring("serves no such Service")))
	_, err = d.run(key, "rpc", "")
	d.Expect(err).To(MatchError(ContainSubstring("does not allow")))
}

func TestAHostRunsWhatItWasOrdered(t *testing.T) {
	d := newDesk(t)
	id := d.instance(map[string]string{"Role": "blog", "Other": "x"})
	d.word("blog", func(w *depot.Word) {
		w.Records = []v1alpha1.ReleaseRecord{{Release: "blog-2", Digest: digest("2"), Frozen: "f1"}}
		w.Hosts = []depot.HostWord{{ID: id, Digest: digest("2"), Frozen: "f1", Fence: 7}}
	})
	d.word("new", func(w *depot.Word) {
		w.Current, w.Sources[0].Tags, w.Deploy = nil, map[string]v1alpha1.TagValue{"Other": "x"}, nil
		w.Live = v1alpha1.DeploySpec{Path: "/srv/new", ServeUnits: []string{"php8.3-fpm.service"}}
	})
	out, err := d.boot(d.key(), id)
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(out).To(And(ContainSubstring("\ndigest 1\n"+digest("2")+"\n"), ContainSubstring("\nfence 1\n7\n")), "it was promoted before")
	d.Expect(out).To(ContainSubstring("say web/new: no Release has completed yet\n"))
	d.Expect(out).To(HavePrefix("units nginx.service php8.3-fpm.service\n"), "at the next boot it waits for both")
}

func TestWhoIsNotWhoItSaysIsRefused(t *testing.T) {
	blog := map[string]string{"Role": "blog"}
	for name, c := range map[string]struct {
		prepare func(d *desk) (key ssh.Signer, instance string)
		says    string
	}{
		"a document that was kept for later": {func(d *desk) (ssh.Signer, string) {
			id := d.instance(blog)
			d.clock.Step(16 * time.Minute)
			return d.key(), id
		}, "binds itself for the first time: that is possible for 15m0s"},
		"a document of a bound instance, shown by somebody else": {func(d *desk) (ssh.Signer, string) {
			id := d.instance(blog)
			_, err := d.boot(d.key(), id)
			d.Expect(err).NotTo(HaveOccurred())
			return d.key(), id
		}, "it was bound to another host key"},
		"two instances with one key, as an image has it": {func(d *desk) (ssh.Signer, string) {
			key, first := d.key(), d.instance(blog)
			_, err := d.boot(key, first)
			d.Expect(err).NotTo(HaveOccurred())
			return key, d.instance(blog)
		}, "let cloud-init make new ones"},
		"a host that is pinned to another key": {func(d *desk) (ssh.Signer, string) {
			id := d.instance(blog)
			pinned := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(d.key().PublicKey())))
			d.word("blog", func(w *depot.Word) { w.Hosts = []depot.HostWord{{ID: id, HostKey: pinned}} })
			return d.key(), id
		}, "pinned to another host key"},
		"another private address than EC2 says": {func(d *desk) (ssh.Signer, string) {
			return d.key(), d.instance(blog)
		}, "the private address"},
		"an instance of another account": {func(d *desk) (ssh.Signer, string) {
			return d.key(), d.instance(blog)
		}, "of account 210987654321"},
		"an instance that EC2 does not know": {func(d *desk) (ssh.Signer, string) {
			return d.key(), d.instance(blog)
		}, "knows no i-"},
		"EC2 does not answer, and nobody knows it": {func(d *desk) (ssh.Signer, string) {
			id := d.instance(blog)
			d.cloud.Refuse("DescribeInstances", awstest.Denied, 0)
			return d.key(), id
		}, "UnauthorizedOperation"},
		"another region's signature": {func(d *desk) (ssh.Signer, string) {
			return d.key(), d.cloud.Add(awstest.Instance{Region: "eu-west-1", Tags: blog, LaunchTime: d.clock.Now()})
		}, "no certificate is pinned for eu-west-1"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.word("blog", nil)
			key, id := c.prepare(d)
			document, err := d.cloud.IdentityDocument(id)
			d.Expect(err).NotTo(HaveOccurred())
			switch name {
			case "another private address than EC2 says":
				d.cloud.Change(id, func(i *awstest.Instance) { i.PrivateIP = "10.99.99.99" })
			case "an instance of another account":
				document, err = d.cloud.SignIdentity(region, fmt.Appendf(nil, `{"accountId":"210987654321","region":%q,"availabilityZone":%q,"instanceId":%q,`+
					`"privateIp":"10.0.0.1","instanceType":"t4g.small","imageId":"ami-0123456789abcdef0","pendingTime":%q}`, region, region+"a", id, d.clock.Now().UTC().Format(time.RFC3339)))
				d.Expect(err).NotTo(HaveOccurred())
			case "an instance that EC2 does not know":
				d.cloud.Remove(id)
			}
			out, err := d.run(key, "boot", "host x\n"+string(document))
			d.Expect(err).To(MatchError(ContainSubstring(c.says)))
			d.Expect(out).To(BeEmpty())
			known, bound := d.store.BindingOfKey(strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey()))))
			d.Expect(!bound || known.Instance != id).To(BeTrue(), "nothing was bound")
		})
	}
}

func TestNoServiceNoRelease(t *testing.T) {
	for name, c := range map[string]struct {
		tags   map[string]string
		change func(*depot.Word)
	}{
		"no Service names it":     {map[string]string{"Role": "other"}, nil},
		"no policy speaks for it": {map[string]string{"Role": "blog"}, func(w *depot.Word) { w.Policies = nil }},
		"the policy demands more": {map[string]string{"Role": "blog"}, func(w *depot.Word) {
			w.Policies[0].EC2[0] = v1alpha1.EC2Permission{Regions: []string{"*"}, Tags: map[string]v1alpha1.TagValue{"Team": "web"}}
		}},
		"the user is not permitted":    {map[string]string{"Role": "blog"}, func(w *depot.Word) { w.SSHUser = "root" }},
		"the path is not permitted":    {map[string]string{"Role": "blog"}, func(w *depot.Word) { w.Deploy["f1"] = v1alpha1.DeploySpec{Path: "/etc/x"} }},
		"it is stopping":               {map[string]string{"Role": "blog", "stopping": ""}, nil},
		"its group is another Service": {map[string]string{"Role": "blog"}, func(w *depot.Word) { w.Sources[0].AutoScalingGroup = "blog" }},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.word("blog", c.change)
			id := d.instance(c.tags)
			if _, stopping := c.tags["stopping"]; stopping {
				d.cloud.Change(id, func(i *awstest.Instance) { i.State = "stopping" })
			}
			out, err := d.boot(d.key(), id)
			d.Expect(err).NotTo(HaveOccurred())
			d.Expect(out).To(MatchRegexp(`^units \nsay no Service names i-`))
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			d.Expect(d.store.Bindings(ended, 0)).To(BeEmpty())
		})
	}
}

func TestABoundHostNeedsNeitherEC2NorADocument(t *testing.T) {
	d := newDesk(t)
	d.word("blog", nil)
	key, id := d.key(), d.instance(map[string]string{"Role": "blog"})
	_, err := d.boot(key, id)
	d.Expect(err).NotTo(HaveOccurred())
	d.clock.Step(30 * 24 * time.Hour)
	out, err := d.boot(key, id)
	d.Expect(err).NotTo(HaveOccurred(), "a later boot, with the old document")
	d.Expect(out).To(ContainSubstring(digest("1")))

	d.cloud.Refuse("DescribeInstances", awstest.Denied, 0)
	out, err = d.boot(key, id)
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(out).To(And(ContainSubstring(digest("1")), ContainSubstring("UnauthorizedOperation")))
	out, err = d.run(key, "boot", "host ip-10-0-0-1\n")
	d.Expect(err).NotTo(HaveOccurred(), "without the metadata service")
	d.Expect(out).To(ContainSubstring(digest("1")))
	_, err = d.run(d.key(), "boot", "host ip-10-0-0-1\n")
	d.Expect(err).To(MatchError(ContainSubstring("can't prove who it is")))

	d.cloud.Permit("DescribeInstances")
	d.cloud.Change(id, func(i *awstest.Instance) { i.Tags["Role"] = "other" })
	out, err = d.boot(key, id)
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(out).NotTo(ContainSubstring("digest"), "it is no host of the Service any more")
}

// A person named the new key: the host binds itself with it, however old it is.
func TestAPersonsFingerprintBindsAnew(t *testing.T) {
	d := newDesk(t)
	id := d.instance(map[string]string{"Role": "blog"})
	d.word("blog", nil)
	_, err := d.boot(d.key(), id)
	d.Expect(err).NotTo(HaveOccurred())
	d.clock.Step(24 * time.Hour)
	key := d.key()
	_, err = d.boot(key, id)
	d.Expect(err).To(MatchError(ContainSubstring("bound to another host key")))
	d.word("blog", func(w *depot.Word) {
		w.Hosts = []depot.HostWord{{ID: id, HostKey: ssh.FingerprintSHA256(key.PublicKey())}}
	})
	out, err := d.boot(key, id)
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(out).To(ContainSubstring(digest("1")))
	_, err = d.boot(d.key(), id)
	d.Expect(err).To(MatchError(ContainSubstring("pinned to another host key")))
}

// Anybody on AWS can show a document of an instance of his own: nobody asks EC2 for it as a role of another account.
func TestForeignAccountsAreNotAskedFor(t *testing.T) {
	d := newDesk(t)
	d.word("blog", func(w *depot.Word) { w.Sources[0].RoleARN = "arn:aws:iam::999999999999:role/slipway" })
	_, err := d.boot(d.key(), d.instance(map[string]string{"Role": "blog"}))
	d.Expect(err).To(MatchError(ContainSubstring("no Service has hosts in account " + awstest.Account)))
	d.Expect(d.cloud.Calls("AssumeRole") + d.cloud.Calls("DescribeInstances")).To(BeZero())
}

func TestAReadOnlyKeyReadsItsService(t *testing.T) {
	d := newDesk(t)
	key := d.key()
	d.word("blog", func(w *depot.Word) {
		w.Keys = []string{strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey())))}
		w.Records = []v1alpha1.ReleaseRecord{{Digest: digest("2"), Frozen: "f1"}}
		w.Hosts = []depot.HostWord{{ID: "web-1", Digest: digest("2"), Frozen: "f1", Fence: 3}}
	})
	d.word("shop", nil)
	out, err := d.run(key, "boot", "host web-9\n")
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(out).To(And(ContainSubstring(digest("1")), Not(ContainSubstring("uid-shop"))))
	out, err = d.run(key, "boot", "host web-1\n")
	d.Expect(err).NotTo(HaveOccurred())
	d.Expect(out).To(ContainSubstring(digest("2")), "by its name")
	_, err = d.run(key, "report uid-blog", "{}")
	d.Expect(err).NotTo(HaveOccurred())
}

func TestNonsenseIsRefused(t *testing.T) {
	d := newDesk(t)
	d.word("blog", nil)
	for claim, says := range map[string]string{
		"":                                      "a host says",
		"host x\n" + strings.Repeat("A", 40000): "longer than",
		"host x\nAAAA":                          "malformed instance identity document",
	} {
		_, err := d.run(d.key(), "boot", claim)
		d.Expect(err).To(MatchError(ContainSubstring(says)))
	}
}
