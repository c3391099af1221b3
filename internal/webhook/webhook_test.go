// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/test/env"
)

func TestMain(m *testing.M) { env.Main(m) }

const shared = "0123456789abcdef-shared"

// mac signs as GitHub does; the example of GitHub's manual checks it.
func mac(secret string, parts ...string) string {
	h := hmac.New(sha256.New, []byte(secret))
	_, _ = h.Write([]byte(strings.Join(parts, "")))
	return "sha256=" + hex.EncodeToString(h.Sum(nil))
}

func TestVerified(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	header := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	generic := func(at string) http.Header {
		return header("X-Slipway-Timestamp", at, "X-Slipway-Signature", mac(shared, at+".", "body"))
	}
	for name, test := range map[string]struct {
		provider v1alpha1.WebhookProvider
		secret   string
		header   http.Header
		body     string
		want     bool
	}{
		// The values are those of GitHub's manual, "Validating webhook deliveries".
		"GitHub's own example":                 {v1alpha1.WebhookGitHub, "It's a Secret to Everybody", header("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"), "Hello, World!", true},
		"GitHub; another body":                 {v1alpha1.WebhookGitHub, shared, header("X-Hub-Signature-256", mac(shared, "body")), "bodY", false},
		"GitHub; another secret":               {v1alpha1.WebhookGitHub, shared, header("X-Hub-Signature-256", mac("other", "body")), "body", false},
		"GitHub; no prefix":                    {v1alpha1.WebhookGitHub, shared, header("X-Hub-Signature-256", strings.TrimPrefix(mac(shared, "body"), "sha256=")), "body", false},
		"GitHub; cut short":                    {v1alpha1.WebhookGitHub, shared, header("X-Hub-Signature-256", mac(shared, "body")[:20]), "body", false},
		"GitHub; empty":                        {v1alpha1.WebhookGitHub, shared, header("X-Hub-Signature-256", "sha256="), "body", false},
		"GitHub; none":                         {v1alpha1.WebhookGitHub, shared, header(), "body", false},
		"GitLab":                               {v1alpha1.WebhookGitLab, shared, header("X-Gitlab-Token", shared), "body", true},
		"GitLab; another token":                {v1alpha1.WebhookGitLab, shared, header("X-Gitlab-Token", shared+"x"), "body", false},
		"GitLab; none":                         {v1alpha1.WebhookGitLab, shared, header(), "body", false},
		"GitLab signed like GitHub":            {v1alpha1.WebhookGitLab, shared, header("X-Hub-Signature-256", mac(shared, "body")), "body", false},
		"Generic":                              {v1alpha1.WebhookGeneric, shared, generic("1800000000"), "body", true},
		"Generic; five minutes old":            {v1alpha1.WebhookGeneric, shared, generic("1799999700"), "body", true},
		"Generic; older":                       {v1alpha1.WebhookGeneric, shared, generic("1799999699"), "body", false},
		"Generic; from the future":             {v1alpha1.WebhookGeneric, shared, generic("1800000301"), "body", false},
		"Generic; the time is no number":       {v1alpha1.WebhookGeneric, shared, generic("+180000000"), "body", false},
		"Generic; the time is too long":        {v1alpha1.WebhookGeneric, shared, generic("0000001800000000"), "body", false},
		"Generic; no time":                     {v1alpha1.WebhookGeneric, shared, generic(""), "body", false},
		"Generic; the time was not the signed": {v1alpha1.WebhookGeneric, shared, header("X-Slipway-Timestamp", "1800000001", "X-Slipway-Signature", mac(shared, "1800000000.body")), "body", false},
		"no provider":                          {"", shared, header("X-Gitlab-Token", shared), "body", false},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(verified(test.provider, []byte(test.secret), test.header, []byte(test.body), now)).To(Equal(test.want))
		})
	}
}

func FuzzVerified(f *testing.F) {
	now := time.Unix(1_800_000_000, 0)
	f.Add("sha256=00", "1800000000", "body")
	f.Add(mac(shared, "1800000000.body"), "1800000000", "body")
	f.Add("sha256=", "-1", "")
	f.Fuzz(func(t *testing.T, signature, timestamp, body string) {
		header := http.Header{}
		header.Set(headerSignature, signature)
		header.Set(headerTimestamp, timestamp)
		got := verified(v1alpha1.WebhookGeneric, []byte(shared), header, []byte(body), now)
		if want := strings.EqualFold(signature, mac(shared, timestamp+".", body)); got && !want {
			t.Fatalf("%q at %q was taken", signature, timestamp)
		}
	})
}

// receiver is one with the manager's own rights, and a Service that is told of pushes.
func receiver(t *testing.T, o Options) (*Receiver, client.Client, types.NamespacedName) {
	g, admin := NewWithT(t), env.Client(t)
	key := types.NamespacedName{Namespace: env.Namespace(t), Name: "blog"}
	service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	service.Spec.Source.Git.URL = "https://git.example.com/blog.git"
	service.Spec.Track = &v1alpha1.TrackSpec{Branch: "main", Webhook: &v1alpha1.TrackWebhook{Provider: v1alpha1.WebhookGitHub}}
	service.Spec.Track.Webhook.SecretRef.Name, service.Spec.Track.Webhook.SecretRef.Key = "hook", "token"
	service.Spec.Build = v1alpha1.BuildSpec{Image: "php:8.3-cli"}
	service.Spec.SSH = v1alpha1.SSHSpec{User: "deploy", KeySecretRef: v1alpha1.LocalReference{Name: "k"}, HostKeys: v1alpha1.HostKeys{Policy: v1alpha1.HostKeysFirstUse}}
	service.Spec.Deploy.Path = "/var/www/blog"
	g.Expect(admin.Create(t.Context(), service)).To(Succeed())
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: "hook"}, Data: map[string][]byte{"token": []byte(shared), "short": []byte("x")}}
	g.Expect(admin.Create(t.Context(), secret)).To(Succeed())
	manager, err := client.NewWithWatch(env.Manager(t), client.Options{Scheme: env.Scheme()})
	g.Expect(err).NotTo(HaveOccurred())
	// In the manager this is the cache, which lists and watches and needs no right to get.
	o.Client = interceptor.NewClient(manager, interceptor.Funcs{
		Get: func(ctx context.Context, _ client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
			return admin.Get(ctx, key, object, opts...)
		},
	})
	o.Secrets, o.Clock, o.Logger = manager, clock.RealClock{}, slog.New(slog.DiscardHandler)
	return New(o), admin, key
}

// post sends a delivery as GitHub does and returns the answer.
func post(t *testing.T, url, body string, header ...string) (int, string) {
	g := NewWithT(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	g.Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	g.Expect(err).NotTo(HaveOccurred())
	return response.StatusCode, string(text)
}

func TestAGoodDeliveryWritesTheTimeAndNothingElseDoes(t *testing.T) {
	g := NewWithT(t)
	r, admin, key := receiver(t, Options{PerService: 1000, Total: 1000})
	server := httptest.NewServer(r.Handler())
	defer server.Close()
	hooks := server.URL + "/hooks/" + key.Namespace + "/"
	const body = `{"ref":"refs/heads/main"}`
	good := []string{"X-Hub-Signature-256", mac(shared, body), "X-GitHub-Event", "push"}
	pushed := func() string {
		var service v1alpha1.Service
		g.Expect(admin.Get(t.Context(), key, &service)).To(Succeed())
		return service.Annotations[v1alpha1.AnnotationPushed]
	}
	edit := func(change func(*v1alpha1.Service)) {
		var service v1alpha1.Service
		g.Expect(admin.Get(t.Context(), key, &service)).To(Succeed())
		change(&service)
		g.Expect(admin.Update(t.Context(), &service)).To(Succeed())
	}
	code, refused := post(t, hooks+"blog", body, "X-Hub-Signature-256", mac("wrong", body))
	g.Expect(code).To(Equal(http.StatusForbidden))
	same := func() {
		code, text := post(t, hooks+"blog", body, good...)
		g.Expect(code).To(Equal(http.StatusForbidden))
		g.Expect(text).To(Equal(refused), "one answer to all that is wrong")
	}
	edit(func(s *v1alpha1.Service) { s.Spec.Track.Webhook.SecretRef.Name = "gone" })
	same()
	edit(func(s *v1alpha1.Service) {
		s.Spec.Track.Webhook.SecretRef.Name, s.Spec.Track.Webhook.SecretRef.Key = "hook", "short"
	})
	same()
	edit(func(s *v1alpha1.Service) { s.Spec.Track.Webhook = nil })
	same()
	code, text := post(t, hooks+"nobody", body, good...)
	g.Expect(code).To(Equal(http.StatusForbidden))
	g.Expect(text).To(Equal(refused))
	edit(func(s *v1alpha1.Service) {
		s.Spec.Track.Webhook = &v1alpha1.TrackWebhook{Provider: v1alpha1.WebhookGitHub}
		s.Spec.Track.Webhook.SecretRef.Name, s.Spec.Track.Webhook.SecretRef.Key = "hook", "token"
	})
	code, _ = post(t, hooks+"blog", body, "X-Hub-Signature-256", mac(shared, body), "X-GitHub-Event", "ping")
	g.Expect(code).To(Equal(http.StatusOK))
	g.Expect(pushed()).To(BeEmpty(), "a ping is no push")

	code, _ = post(t, hooks+"blog", body, good...)
	g.Expect(code).To(Equal(http.StatusAccepted))
	first := pushed()
	g.Expect(first).NotTo(BeEmpty())
	for range 3 { // replays
		code, _ = post(t, hooks+"blog", body, good...)
		g.Expect(code).To(Equal(http.StatusAccepted))
	}
	g.Expect(pushed()).To(Equal(first), "not so soon again")
	g.Eventually(pushed, 2*quiet).ShouldNot(Equal(first), "but what came meanwhile is told of")

	for path, want := range map[string]int{"/": 404, "/hooks": 404, "/hooks/a": 404, "/hooks/a/b/c": 404, "/hooks/A_/b": 404, "/metrics": 404} {
		code, _ = post(t, server.URL+path, body, good...)
		g.Expect(code).To(Equal(want), path)
	}
	response, err := http.Get(hooks + "blog") //nolint:noctx // a test's own server
	g.Expect(err).NotTo(HaveOccurred())
	_ = response.Body.Close()
	g.Expect(response.StatusCode).To(Equal(http.StatusMethodNotAllowed))
	code, _ = post(t, hooks+"blog", string(bytes.Repeat([]byte("x"), maxBody+1)), good...)
	g.Expect(code).To(Equal(http.StatusRequestEntityTooLarge))
}

func TestTooManyDeliveriesAreTurnedAway(t *testing.T) {
	for name, o := range map[string]Options{"of one Service": {PerService: 0.2, Total: 1000}, "of all": {PerService: 1000, Total: 0.2}} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			r, _, key := receiver(t, o)
			server := httptest.NewServer(r.Handler())
			defer server.Close()
			url := fmt.Sprintf("%s/hooks/%s/blog", server.URL, key.Namespace)
			code, _ := post(t, url, "{}", "X-Hub-Signature-256", mac(shared, "{}"))
			g.Expect(code).To(Equal(http.StatusAccepted))
			code, _ = post(t, url, "{}", "X-Hub-Signature-256", mac(shared, "{}"))
			g.Expect(code).To(Equal(http.StatusTooManyRequests))
		})
	}
}

// The hook of docs/tracking.md, with the openssl of this machine.
func TestTheHookOfTheManualIsTaken(t *testing.T) {
	g := NewWithT(t)
	text, err := os.ReadFile("../../docs/tracking.md")
	g.Expect(err).NotTo(HaveOccurred())
	_, script, found := strings.Cut(string(text), "#!/bin/sh\n")
	g.Expect(found).To(BeTrue())
	script, _, _ = strings.Cut(script, "```")
	r, admin, key := receiver(t, Options{})
	var service v1alpha1.Service
	g.Expect(admin.Get(t.Context(), key, &service)).To(Succeed())
	service.Spec.Track.Webhook.Provider = v1alpha1.WebhookGeneric
	g.Expect(admin.Update(t.Context(), &service)).To(Succeed())
	server := httptest.NewServer(r.Handler())
	defer server.Close()
	file := filepath.Join(t.TempDir(), "secret")
	g.Expect(os.WriteFile(file, []byte(shared), 0o600)).To(Succeed())
	script = strings.NewReplacer("/etc/slipway-webhook", file, "https://YOUR.INGRESS", server.URL, "/web/", "/"+key.Namespace+"/", " || true", "").Replace(script)
	for _, program := range []string{"openssl", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("SLIPWAY_REQUIRE_ALL") == "1" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", script).CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), string(out))
	g.Expect(admin.Get(t.Context(), key, &service)).To(Succeed())
	g.Expect(service.Annotations).To(HaveKey(v1alpha1.AnnotationPushed))
}

func TestWhoIsSlowIsHungUpOn(t *testing.T) {
	g := NewWithT(t)
	r := New(Options{Timeout: 200 * time.Millisecond, Clock: clock.RealClock{}, Logger: slog.New(slog.DiscardHandler)})
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test's own server
	g.Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- r.Serve(ctx, listener) }()
	for _, sent := range []string{"POST /hooks/web/blog HTTP/1.1\r\nHost: x\r\n", "POST /hooks/web/blog HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12"} {
		connection, err := net.Dial("tcp", listener.Addr().String()) //nolint:noctx // a test's own server
		g.Expect(err).NotTo(HaveOccurred())
		_, err = io.WriteString(connection, sent)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(connection.SetReadDeadline(time.Now().Add(30 * time.Second))).To(Succeed())
		answer, err := io.ReadAll(bufio.NewReader(connection))
		g.Expect(err).NotTo(HaveOccurred(), "the server ends it")
		g.Expect(string(answer)).NotTo(ContainSubstring(" 202 "))
		_ = connection.Close()
	}
	cancel()
	g.Eventually(served).Should(Receive(BeNil()))
}
