// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/health"
)

// maxHeader bounds the header of a response. A host is not trusted to be brief.
const maxHeader = 64 << 10

// request sends one request over a connection and judges the response. Redirects are a response like any other.
func request(ctx context.Context, conn net.Conn, host *Host, check *v1alpha1.HealthCheck, authorities []byte) health.Answer {
	config, err := tlsConfig(host, check.HTTP, authorities)
	if err != nil {
		return health.NoResponse(check.HTTP, err.Error())
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, health.URL(check.HTTP), nil)
	if err != nil {
		return health.NoResponse(check.HTTP, err.Error())
	}
	r.Host = nameOf(host, check.HTTP)
	if strings.Contains(r.Host, ":") {
		r.Host = "[" + r.Host + "]"
	}
	r.Header.Set("User-Agent", "slipway-health")
	client := http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:       func(context.Context, string, string) (net.Conn, error) { return conn, nil },
			TLSClientConfig:   config,
			DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
		},
	}
	response, err := client.Do(r)
	if err != nil {
		return health.NoResponse(check.HTTP, why(ctx, check, err))
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, enough(check.HTTP, response.StatusCode)))
	cut := ""
	if err != nil {
		cut = "it was cut off: " + why(ctx, check, err)
	}
	return health.Response(check.HTTP, response.StatusCode, body, cut)
}

// enough is how much of a body is read: nothing if nothing depends on it, a little to tell people what was said.
func enough(check *v1alpha1.HTTPCheck, code int) int64 {
	switch {
	case !health.WantsStatus(check, code):
		return 1 << 10
	case check.Body != "":
		return health.MaxBody
	}
	return 0
}

// why says in few words why there is no response.
func why(ctx context.Context, check *v1alpha1.HealthCheck, err error) string {
	if ctx.Err() != nil {
		return noAnswer(check)
	}
	var asked *url.Error
	if errors.As(err, &asked) {
		err = asked.Err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || strings.HasSuffix(err.Error(), "server closed idle connection") {
		return "the server closed the connection"
	}
	return err.Error()
}

// nameOf is whom the request is for.
func nameOf(host *Host, check *v1alpha1.HTTPCheck) string {
	if check.Host != "" {
		return check.Host
	}
	return host.Address
}

func tlsConfig(host *Host, check *v1alpha1.HTTPCheck, authorities []byte) (*tls.Config, error) {
	if check.Scheme != v1alpha1.SchemeHTTPS {
		return nil, nil
	}
	config := &tls.Config{ServerName: nameOf(host, check), MinVersion: tls.VersionTLS12}
	if check.TLS == nil {
		return config, nil
	}
	config.InsecureSkipVerify = check.TLS.Verify == v1alpha1.TLSVerifyNone
	if len(authorities) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(authorities) {
			return nil, fmt.Errorf("ConfigMap %s has no certificate in PEM under ca.crt", check.TLS.CAConfigMapRef.Name)
		}
	}
	return config, nil
}
