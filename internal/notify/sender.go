// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Headers of a webhook's request.
const (
	HeaderEvent     = "X-Slipway-Event"
	HeaderDelivery  = "X-Slipway-Delivery"
	HeaderTimestamp = "X-Slipway-Timestamp"
	HeaderSignature = "X-Slipway-Signature"
)

// attemptLimit bounds one attempt.
const attemptLimit = 10 * time.Second

// Request is one attempt.
type Request struct {
	URL  string
	Body []byte
	// Event and Delivery go into headers; Delivery is the same for each attempt.
	Event, Delivery string
	// SigningKey and Authorization are left out if empty.
	SigningKey    []byte
	Authorization string
}

// Answer is how an attempt went.
type Answer struct {
	Sent bool
	// Final: trying again is of no use.
	Final bool
	// RetryAfter is how long the other side asks to be left alone.
	RetryAfter time.Duration
	// Message says what went wrong. It has no part of the URL but its host.
	Message string
}

// Sender sends.
type Sender struct {
	client *http.Client
	now    func() time.Time
}

// NewSender returns a Sender. It connects to no address of this machine, unless allowLoopback is set, nor to link-local ones, where
// clouds hand out credentials: who may write a Service decides where the manager sends to.
func NewSender(allowLoopback bool, now func() time.Time) *Sender {
	dialer := &net.Dialer{Timeout: attemptLimit, Control: func(_, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("%w: %s", errForbidden, address)
		}
		return permitted(ap.Addr(), allowLoopback)
	}}
	return &Sender{now: now, client: &http.Client{
		Timeout: attemptLimit,
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, ForceAttemptHTTP2: true, TLSHandshakeTimeout: attemptLimit,
			MaxIdleConns: 16, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10,
		},
		// A redirect would lead past what was checked, and take the signature along.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

var errForbidden = errors.New("the manager sends nothing to this address")

// awsMetadata is where EC2 hands out credentials over IPv6.
var awsMetadata = netip.MustParseAddr("fd00:ec2::254")

func permitted(address netip.Addr, allowLoopback bool) error {
	address = address.Unmap().WithZone("")
	switch {
	case address.IsLoopback() && !allowLoopback, address.IsLinkLocalUnicast(), address.IsLinkLocalMulticast(), address.IsMulticast(), address.IsUnspecified(),
		address == awsMetadata:
		return fmt.Errorf("%w: %s", errForbidden, address)
	}
	return nil
}

// Send makes one attempt.
func (s *Sender) Send(ctx context.Context, r Request) Answer {
	target, err := url.Parse(strings.TrimSpace(r.URL))
	if err != nil || target.Host == "" || target.Scheme != "https" && target.Scheme != "http" {
		return Answer{Final: true, Message: "the Secret holds no URL that begins with https:// or http://"}
	}
	ctx, cancel := context.WithTimeout(ctx, attemptLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(r.Body))
	if err != nil {
		return Answer{Final: true, Message: "the Secret's URL can't be used"}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "slipway")
	request.Header.Set(HeaderEvent, r.Event)
	request.Header.Set(HeaderDelivery, r.Delivery)
	if r.Authorization != "" {
		request.Header.Set("Authorization", r.Authorization)
	}
	if len(r.SigningKey) > 0 {
		timestamp := strconv.FormatInt(s.now().Unix(), 10)
		request.Header.Set(HeaderTimestamp, timestamp)
		request.Header.Set(HeaderSignature, Sign(r.SigningKey, timestamp, r.Body))
	}
	response, err := s.client.Do(request)
	if err != nil {
		return failed(target, err)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.CopyN(io.Discard, response.Body, 4096)
	return s.judge(target, response)
}

// Sign is the signature of a body: "sha256=" and the hexadecimal HMAC-SHA256 of the timestamp, a dot, and the body.
func Sign(key []byte, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// failed says why there was no answer. What net/http says names the whole URL, which is a secret.
func failed(target *url.URL, err error) Answer {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %s", attemptLimit)
	}
	return Answer{Final: errors.Is(err, errForbidden), Message: target.Host + ": " + err.Error()}
}

func (s *Sender) judge(target *url.URL, response *http.Response) Answer {
	a := Answer{Message: target.Host + " answered " + response.Status}
	switch code := response.StatusCode; {
	case code >= 200 && code < 300:
		return Answer{Sent: true}
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code >= 500:
		a.RetryAfter = retryAfter(response.Header.Get("Retry-After"), s.now())
	default:
		a.Final = true
		if code >= 300 && code < 400 {
			a.Message += ": redirects are not followed"
		}
	}
	return a
}

func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(value); err == nil {
		return time.Duration(max(0, min(seconds, int(maxRetryAfter/time.Second)))) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
