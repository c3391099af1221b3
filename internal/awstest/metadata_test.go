// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package awstest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/slipway-dev/slipway/internal/identity"
)

// guest is a program on an instance that speaks to the metadata service.
type guest struct {
	*WithT
	url    string
	client *http.Client
	token  string
}

// serve starts the metadata service of an instance and returns a guest of it.
func serve(t *testing.T, cloud *Cloud, id string, options MetadataOptions) *guest {
	t.Helper()
	if _, err := mockProgram(); err != nil {
		if os.Getenv("SLIPWAY_REQUIRE_ALL") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return at(t, cloud, id, options, listener, &http.Transport{})
}

func at(t *testing.T, cloud *Cloud, id string, options MetadataOptions, listener net.Listener, transport *http.Transport) *guest {
	t.Helper()
	g := &guest{WithT: NewWithT(t), url: "http://" + listener.Addr().String(), client: &http.Client{Transport: transport}}
	metadata, err := cloud.ServeMetadata(listener, id, options)
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		g.Expect(metadata.Close()).To(Succeed())
	})
	return g
}

// ask makes a request with the guest's token, if it has one.
func (g *guest) ask(method, path string, header ...string) (int, string) {
	request, err := http.NewRequest(method, g.url+path, nil)
	g.Expect(err).NotTo(HaveOccurred())
	if g.token != "" {
		request.Header.Set("X-aws-ec2-metadata-token", g.token)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	answer, err := g.client.Do(request)
	g.Expect(err).NotTo(HaveOccurred())
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	g.Expect(err).NotTo(HaveOccurred())
	return answer.StatusCode, string(body)
}

func (g *guest) get(path string) string {
	status, body := g.ask(http.MethodGet, path)
	g.Expect(status).To(Equal(http.StatusOK), path)
	return body
}

// login gets a token.
func (g *guest) login() {
	status, token := g.ask(http.MethodPut, "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "21600")
	g.Expect(status).To(Equal(http.StatusOK))
	g.Expect(token).NotTo(BeEmpty())
	g.token = token
}

// crawl reads a folder as cloud-init's MetadataMaterializer does: every name that a listing has is read, as a folder if a slash ends
// it, and one that can't be read fails the whole crawl.
func (g *guest) crawl(folder string) map[string]any {
	found := map[string]any{}
	for _, name := range strings.Split(g.get(folder), "\n") {
		if inner, isFolder := strings.CutSuffix(name, "/"); isFolder {
			found[inner] = g.crawl(folder + name)
			continue
		}
		found[name] = g.get(folder + name)
	}
	return found
}

// What cloud-init's DataSourceEc2 asks for is there, under every version that it may choose, and is about this instance alone.
func TestMetadataAsCloudInitReadsIt(t *testing.T) {
	cloud := New()
	defer cloud.Close()
	const script = "#cloud-boothook\n#!/bin/sh\nprintf '\\000'\n"
	id := cloud.Add(Instance{
		Region: "eu-west-1", Zone: "eu-west-1b", PrivateIP: "10.20.30.40", PublicIP: "198.51.100.7", Type: "m7g.large", Group: "web",
		Tags: map[string]string{"Role": "blog", "a/b": "not shown", "Name": "web 1"}, UserData: []byte(script),
	})
	g := serve(t, cloud, id, MetadataOptions{})
	g.login()
	versions := strings.Split(g.get("/"), "\n")
	for _, version := range []string{"2009-04-04", "2016-09-02", "2018-09-24", "2021-03-23", "latest"} {
		g.Expect(versions).To(ContainElement(version))
		g.Expect(g.get("/" + version + "/meta-data/instance-id")).To(Equal(id))
		g.Expect(g.get("/" + version + "/user-data")).To(Equal(script))
		found := g.crawl("/" + version + "/meta-data/")
		g.Expect(found).To(And(
			HaveKeyWithValue("instance-id", id),
			HaveKeyWithValue("instance-type", "m7g.large"),
			HaveKeyWithValue("ami-id", Image),
			HaveKeyWithValue("local-ipv4", "10.20.30.40"),
			HaveKeyWithValue("public-ipv4", "198.51.100.7"),
			HaveKeyWithValue("local-hostname", "ip-10-20-30-40.eu-west-1.compute.internal"),
			HaveKeyWithValue("mac", "0a:00:0a:14:1e:28"),
			HaveKeyWithValue("placement", map[string]any{"availability-zone": "eu-west-1b", "region": "eu-west-1"}),
			HaveKeyWithValue("tags", map[string]any{"instance": map[string]any{
				"Role": "blog", "Name": "web 1", "aws:autoscaling:groupName": "web",
			}}),
			HaveKeyWithValue("ami-launch-index", "0"), // the mock's own word
			HaveKeyWithValue("services", map[string]any{"domain": "amazonaws.com", "partition": "aws"}),
		))
		g.Expect(found).NotTo(Or(HaveKey("spot"), HaveKey("events"), HaveKey("iam"), HaveKey("public-keys")))
		macs := found["network"].(map[string]any)["interfaces"].(map[string]any)["macs"].(map[string]any)
		g.Expect(macs).To(HaveLen(1))
		g.Expect(macs["0a:00:0a:14:1e:28"]).To(And(
			HaveKeyWithValue("device-number", "0"), HaveKeyWithValue("local-ipv4s", "10.20.30.40"),
			HaveKeyWithValue("subnet-ipv4-cidr-block", "10.20.16.0/20"), HaveKeyWithValue("owner-id", Account),
		))

		dynamic := g.crawl("/" + version + "/dynamic/instance-identity/")
		g.Expect(dynamic).To(HaveLen(2))
		var document map[string]any
		g.Expect(json.Unmarshal([]byte(dynamic["document"].(string)), &document)).To(Succeed())
		g.Expect(document).To(And(HaveKeyWithValue("instanceId", id), HaveKeyWithValue("region", "eu-west-1")))
	}
	g.crawl("/latest/dynamic/")
}

// The service's document verifies, and is about what the plain one is about.
func TestMetadataIdentity(t *testing.T) {
	cloud := New()
	defer cloud.Close()
	launched := time.Date(2026, 11, 20, 8, 30, 0, 0, time.UTC)
	id := cloud.Add(Instance{PrivateIP: "10.20.30.40", Zone: "ap-northeast-1c", LaunchTime: launched})
	g := serve(t, cloud, id, MetadataOptions{})
	g.login()
	dir := t.TempDir()
	g.Expect(os.WriteFile(dir+"/ap-northeast-1.pem", cloud.IdentityCertificate("ap-northeast-1"), 0o600)).To(Succeed())
	certificates, err := identity.Load(dir)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(identity.Verify([]byte(g.get("/latest/dynamic/instance-identity/rsa2048")), certificates)).To(Equal(identity.Document{
		AccountID: Account, Region: "ap-northeast-1", AvailabilityZone: "ap-northeast-1c", InstanceID: id, PrivateIP: "10.20.30.40",
		InstanceType: "t4g.small", ImageID: Image, PendingTime: launched,
	}))
}

// Without a token that the service gave out, nothing is said, not even what there is.
func TestMetadataDemandsTokens(t *testing.T) {
	cloud := New()
	defer cloud.Close()
	id := cloud.Add(Instance{UserData: []byte("secret")})
	g := serve(t, cloud, id, MetadataOptions{})
	paths := []string{
		"/", "/latest", "/latest/", "/latest/meta-data/", "/latest/meta-data/instance-id", "/latest/meta-data/services/domain", "/latest/user-data",
		"/latest/dynamic/instance-identity/rsa2048", "/latest/dynamic/instance-identity/document", "/2009-04-04/meta-data/", "/nothing",
	}
	for _, token := range []string{"", "bm90IGEgdG9rZW4="} {
		g.token = token
		for _, path := range paths {
			status, body := g.ask(http.MethodGet, path)
			g.Expect(status).To(Equal(http.StatusUnauthorized), path)
			g.Expect(body).NotTo(Or(ContainSubstring(id), ContainSubstring("secret")), path)
		}
	}
	g.token = ""
	for _, lifetime := range []string{"", "0", "21601", "soon"} {
		status, _ := g.ask(http.MethodPut, "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", lifetime)
		g.Expect(status).To(Equal(http.StatusBadRequest), lifetime)
	}

	other := serve(t, cloud, cloud.Add(Instance{}), MetadataOptions{})
	other.login()
	g.token = other.token
	status, _ := g.ask(http.MethodGet, "/latest/meta-data/instance-id")
	g.Expect(status).To(Equal(http.StatusUnauthorized), "a token is good for the instance that asked for it")

	g.login()
	g.Expect(g.get("/latest/user-data")).To(Equal("secret"))
	status, _ = g.ask(http.MethodPost, "/latest/user-data")
	g.Expect(status).To(Equal(http.StatusMethodNotAllowed))
}

// The service says what the cloud says now; what an instance has not got is not found.
func TestMetadataFollowsTheCloud(t *testing.T) {
	cloud := New()
	defer cloud.Close()
	id := cloud.Add(Instance{})
	g := serve(t, cloud, id, MetadataOptions{TokensOptional: true})
	notFound := func(path string) {
		status, _ := g.ask(http.MethodGet, path)
		g.ExpectWithOffset(1, status).To(Equal(http.StatusNotFound), path)
	}
	for _, path := range []string{
		"/latest/user-data", "/latest/meta-data/tags/instance/Role", "/latest/meta-data/public-ipv4", "/latest/meta-data/spot/instance-action",
		"/latest/meta-data/iam/", "/latest/dynamic/instance-identity/pkcs7", "/1999-01-01/meta-data/instance-id", "/latest/meta-data/instance",
	} {
		notFound(path)
	}
	cloud.Change(id, func(i *Instance) { i.Tags = map[string]string{"Role": "blog"}; i.UserData = []byte("#!/bin/sh\n") })
	g.Expect(g.get("/latest/meta-data/tags/instance/Role")).To(Equal("blog"))
	g.Expect(g.get("/latest/user-data")).To(Equal("#!/bin/sh\n"))
	cloud.Remove(id)
	notFound("/latest/meta-data/instance-id")
}

// Where hosts are network namespaces, each finds its own service at the address that AWS gives it.
func TestMetadataInNetworkNamespace(t *testing.T) {
	if _, err := exec.LookPath("ip"); err != nil || os.Geteuid() != 0 {
		if os.Getenv("SLIPWAY_REQUIRE_ALL") == "1" {
			t.Fatal("it needs root and iproute2")
		}
		t.Skip("it needs root and iproute2")
	}
	cloud := New()
	defer cloud.Close()
	for n := range 2 {
		name := fmt.Sprintf("slipway-imds-%d-%d", os.Getpid(), n)
		ip := func(arguments ...string) {
			t.Helper()
			if output, err := exec.Command("ip", arguments...).CombinedOutput(); err != nil {
				t.Fatalf("ip %v: %v: %s", arguments, err, output)
			}
		}
		ip("netns", "add", name)
		t.Cleanup(func() { ip("netns", "delete", name) })
		ip("-n", name, "link", "set", "lo", "up")
		ip("-n", name, "address", "add", "169.254.169.254/32", "dev", "lo")

		id := cloud.Add(Instance{})
		var listener net.Listener
		inNamespace(t, name, func() (err error) {
			listener, err = net.Listen("tcp", "169.254.169.254:80")
			return err
		})
		transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (connection net.Conn, err error) {
			inNamespace(t, name, func() error {
				connection, err = (&net.Dialer{}).DialContext(ctx, network, address)
				return err
			})
			return connection, err
		}}
		g := at(t, cloud, id, MetadataOptions{}, listener, transport)
		g.Expect(g.url).To(Equal("http://169.254.169.254:80"))
		g.login()
		g.Expect(g.get("/latest/meta-data/instance-id")).To(Equal(id))
	}
}

// inNamespace runs f on a thread of its own, which ends with it, in a network namespace.
func inNamespace(t *testing.T, name string, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: nobody else may get this thread
		namespace, err := os.Open("/run/netns/" + name)
		if err == nil {
			defer namespace.Close()
			if err = unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err == nil {
				err = f()
			}
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
