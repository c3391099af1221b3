// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestASignedRequest(t *testing.T) {
	g := NewWithT(t)
	var got *http.Request
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r; body, _ = io.ReadAll(r.Body) }))
	defer server.Close()
	sender := NewSender(true, func() time.Time { return noon })
	answer := sender.Send(t.Context(), Request{URL: server.URL + "/path?key=1\n", Body: []byte(`{"a":1}`), Event: "Started", Delivery: "id", SigningKey: []byte("key"), Authorization: "Bearer x"})
	g.Expect(answer).To(Equal(Answer{Sent: true}))
	g.Expect(string(body)).To(Equal(`{"a":1}`))
	g.Expect(got.URL.String()).To(Equal("/path?key=1"))
	for header, value := range map[string]string{HeaderEvent: "Started", HeaderDelivery: "id", HeaderTimestamp: "1795402800", "Authorization": "Bearer x", "Content-Type": "application/json",
		// printf '%s' '1795402800.{"a":1}' | openssl dgst -sha256 -hmac key
		HeaderSignature: Sign([]byte("key"), "1795402800", []byte(`{"a":1}`))} {
		g.Expect(got.Header.Get(header)).To(Equal(value), header)
	}
	g.Expect(Sign([]byte("key"), "1", []byte("x"))).To(Equal("sha256=fc4913c41a7bf793267e2a384f3261c9436ec2cd097bd745e7b0d99113f510ec"))
}

func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		want   Answer
		says   string
	}{
		"taken":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, Answer{Sent: true}, ""},
		"not found": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, Answer{Final: true}, "answered 404 Not Found"},
		"down":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, Answer{}, "answered 502"},
		"too many":  {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "7"); w.WriteHeader(429) }, Answer{RetryAfter: 7 * time.Second}, "429"},
		"for ever": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "99999999999")
			w.WriteHeader(503)
		}, Answer{RetryAfter: maxRetryAfter}, "503"},
		"until": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", noon.Add(time.Minute).Format(http.TimeFormat))
			w.WriteHeader(503)
		}, Answer{RetryAfter: time.Minute}, "503"},
		"elsewhere": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://169.254.169.254/")
			w.WriteHeader(307)
		}, Answer{Final: true}, "redirects are not followed"},
		"a huge answer": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 10<<20)) }, Answer{Sent: true}, ""},
		"hangs up":      {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, Answer{}, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			server := httptest.NewServer(http.HandlerFunc(c.answer))
			defer server.Close()
			got := NewSender(true, func() time.Time { return noon }).Send(t.Context(), Request{URL: server.URL + "/a-secret", Body: []byte("{}")})
			g.Expect(got.Message).To(ContainSubstring(c.says))
			g.Expect(got.Message).NotTo(ContainSubstring("a-secret"))
			got.Message = ""
			g.Expect(got).To(Equal(c.want))
		})
	}
}

// Who may write a Service has the manager connect to nothing that only the manager reaches.
func TestAddressesThatNothingIsSentTo(t *testing.T) {
	g := NewWithT(t)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was reached") }))
	defer server.Close()
	for _, url := range []string{server.URL, strings.Replace(server.URL, "127.0.0.1", "localhost", 1), "http://[::ffff:169.254.169.254]/", "http://169.254.169.254/latest", "http://[fe80::1]/", "http://0.0.0.0/"} {
		g.Expect(NewSender(false, time.Now).Send(t.Context(), Request{URL: url})).To(SatisfyAll(HaveField("Sent", false), HaveField("Final", true), HaveField("Message", ContainSubstring("sends nothing to this address"))), url)
	}
	for _, address := range []string{"10.0.0.1", "192.168.1.1", "203.0.113.7", "2001:db8::1", "fd00::1"} {
		g.Expect(permitted(netip.MustParseAddr(address), false)).To(Succeed(), address)
	}
	for _, address := range []string{"fd00:ec2::254", "224.0.0.1", "::", "fe80::1%eth0"} {
		g.Expect(permitted(netip.MustParseAddr(address), true)).NotTo(Succeed(), address)
	}
	for _, url := range []string{"", "ftp://example.com", "https://", "file:///etc/passwd", "not a url\x00"} {
		g.Expect(NewSender(true, time.Now).Send(t.Context(), Request{URL: url})).To(SatisfyAll(HaveField("Final", true), HaveField("Message", ContainSubstring("URL"))), url)
	}
}
