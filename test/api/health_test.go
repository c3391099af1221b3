// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/test/env"
)

func TestHealthCheckDefaults(t *testing.T) {
	g := NewWithT(t)
	service := newService(env.Namespace(t), "blog")
	service.Spec.Deploy.HealthCheck = &v1alpha1.HealthCheck{HTTP: &v1alpha1.HTTPCheck{Port: 80, TLS: nil}}
	g.Expect(env.Client(t).Create(t.Context(), service)).To(Succeed())
	second := func(n time.Duration) metav1.Duration { return metav1.Duration{Duration: n * time.Second} }
	g.Expect(service.Spec.Deploy.HealthCheck).To(Equal(&v1alpha1.HealthCheck{
		HTTP:     &v1alpha1.HTTPCheck{Port: 80, Path: "/", Scheme: v1alpha1.SchemeHTTP, Status: []v1alpha1.StatusRange{"200-399"}},
		Interval: second(5), Timeout: second(5), SuccessThreshold: 1, FailureThreshold: 3, StartupGrace: ptr.To(second(30)),
	}))
	service.Spec.Deploy.HealthCheck.StartupGrace = &metav1.Duration{}
	g.Expect(env.Client(t).Update(t.Context(), service)).To(Succeed())
	g.Expect(service.Spec.Deploy.HealthCheck.StartupGrace).To(HaveValue(Equal(metav1.Duration{})), "no grace is not the default grace")
}

func TestHealthChecksAtTheDoor(t *testing.T) {
	http := func(change func(*v1alpha1.HTTPCheck)) *v1alpha1.HealthCheck {
		check := &v1alpha1.HTTPCheck{Port: 8080}
		change(check)
		return &v1alpha1.HealthCheck{HTTP: check}
	}
	path := func(path string) *v1alpha1.HealthCheck { return http(func(c *v1alpha1.HTTPCheck) { c.Path = path }) }
	status := func(list ...v1alpha1.StatusRange) *v1alpha1.HealthCheck {
		return http(func(c *v1alpha1.HTTPCheck) { c.Status = list })
	}
	tls := func(tls v1alpha1.CheckTLS) *v1alpha1.HealthCheck {
		return http(func(c *v1alpha1.HTTPCheck) { c.Scheme, c.TLS = v1alpha1.SchemeHTTPS, &tls })
	}
	timing := func(change func(*v1alpha1.HealthCheck)) *v1alpha1.HealthCheck {
		check := &v1alpha1.HealthCheck{TCP: &v1alpha1.TCPCheck{Port: 80}}
		change(check)
		return check
	}
	for name, test := range map[string]struct {
		check *v1alpha1.HealthCheck
		says  string
	}{
		"http":                    {check: path("/health?full=1&x=%C3%BC")},
		"status":                  {check: status("204", "200-399")},
		"https without verifying": {check: tls(v1alpha1.CheckTLS{Verify: v1alpha1.TLSVerifyNone})},
		"https with an authority": {check: tls(v1alpha1.CheckTLS{CAConfigMapRef: &v1alpha1.LocalReference{Name: "ca"}})},
		"command":                 {check: &v1alpha1.HealthCheck{Command: []string{"php", "bin/console", "$(not run)"}}},

		"of no kind":                {check: &v1alpha1.HealthCheck{}, says: "exactly one of the fields"},
		"of two kinds":              {check: &v1alpha1.HealthCheck{TCP: &v1alpha1.TCPCheck{Port: 1}, Command: []string{"true"}}, says: "exactly one of the fields"},
		"port 0":                    {check: &v1alpha1.HealthCheck{TCP: &v1alpha1.TCPCheck{}}, says: "tcp.port"},
		"path of another host":      {check: path("http://elsewhere/"), says: "must begin with '/'"},
		"path with a newline":       {check: path("/a\r\nX: y"), says: "must begin with '/'"},
		"path with a space":         {check: path("/a HTTP/1.1"), says: "must begin with '/'"},
		"path with half an escape":  {check: path("/%2"), says: "must begin with '/'"},
		"path with a fragment":      {check: path("/#a"), says: "must begin with '/'"},
		"host with a newline":       {check: http(func(c *v1alpha1.HTTPCheck) { c.Host = "a\r\nX: y" }), says: "http.host"},
		"host with a port":          {check: http(func(c *v1alpha1.HTTPCheck) { c.Host = "a:80" }), says: "http.host"},
		"body with a newline":       {check: http(func(c *v1alpha1.HTTPCheck) { c.Body = "a\nb" }), says: "http.body"},
		"body too long":             {check: http(func(c *v1alpha1.HTTPCheck) { c.Body = strings.Repeat("x", 1025) }), says: "http.body"},
		"a range the wrong way":     {check: status("399-200"), says: "the lower first"},
		"a code out of range":       {check: status("600"), says: "must be a code from 100 to 599"},
		"no code":                   {check: status("2xx"), says: "must be a code from 100 to 599"},
		"another scheme":            {check: http(func(c *v1alpha1.HTTPCheck) { c.Scheme = "FTP" }), says: "http.scheme"},
		"tls without https":         {check: http(func(c *v1alpha1.HTTPCheck) { c.TLS = &v1alpha1.CheckTLS{} }), says: "tls needs scheme HTTPS"},
		"authority without verify":  {check: tls(v1alpha1.CheckTLS{Verify: "None", CAConfigMapRef: &v1alpha1.LocalReference{Name: "ca"}}), says: "needs no authority"},
		"command with a newline":    {check: &v1alpha1.HealthCheck{Command: []string{"a\nb"}}, says: "command"},
		"an argument of nothing":    {check: &v1alpha1.HealthCheck{Command: []string{"a", ""}}, says: "command"},
		"interval of no time":       {check: timing(func(c *v1alpha1.HealthCheck) { c.Interval.Duration = time.Millisecond }), says: "between 1s and 5m"},
		"timeout of an hour":        {check: timing(func(c *v1alpha1.HealthCheck) { c.Timeout.Duration = time.Hour }), says: "between 1s and 1m"},
		"grace of an hour":          {check: timing(func(c *v1alpha1.HealthCheck) { c.StartupGrace = &metav1.Duration{Duration: time.Hour} }), says: "between 0s and 15m"},
		"too many failures to wait": {check: timing(func(c *v1alpha1.HealthCheck) { c.FailureThreshold = 21 }), says: "failureThreshold"},
		"less than one success":     {check: timing(func(c *v1alpha1.HealthCheck) { c.SuccessThreshold = -1 }), says: "successThreshold"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			service := newService(env.Namespace(t), "blog")
			service.Spec.Deploy.HealthCheck = test.check
			err := env.Client(t).Create(t.Context(), service)
			if test.says == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(ContainSubstring(test.says)))
		})
	}
}
