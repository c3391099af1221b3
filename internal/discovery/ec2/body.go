// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package ec2

import (
	"bytes"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// plainBodies is an HTTP client that sends bodies from memory. The SDK closes a request's body as soon as an answer begins,
// and its body (smithy-go's safe closer, v1.28) then ends with an error instead of well: an answer that comes before net/http
// looked for the body's end costs the connection in mid-answer, and a retry. Calls are small: they are copied instead.
type plainBodies struct{ aws.HTTPClient }

// Do sends a request.
func (c plainBodies) Do(request *http.Request) (*http.Response, error) {
	if request.Body == nil {
		return c.HTTPClient.Do(request)
	}
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, fmt.Errorf("read the body of a call: %w", err)
	}
	copied := request.WithContext(request.Context())
	copied.Body = io.NopCloser(bytes.NewReader(body))
	return c.HTTPClient.Do(copied)
}
