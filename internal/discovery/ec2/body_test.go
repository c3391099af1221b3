// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package ec2

import (
	"io"
	"net/http"
	"strings"
	"testing"

	smithyhttp "github.com/aws/smithy-go/transport/http"
	. "github.com/onsi/gomega"
)

// doer is an HTTP client of one function.
type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(request *http.Request) (*http.Response, error) { return d(request) }

// What net/http still reads of a body after the SDK has closed it ends well.
func TestABodyOutlivesItsClosing(t *testing.T) {
	g := NewWithT(t)
	sdks, err := smithyhttp.NewStackRequest().(*smithyhttp.Request).SetStream(strings.NewReader("Action=DescribeInstances"))
	g.Expect(err).NotTo(HaveOccurred())
	request := sdks.Build(t.Context())
	client := plainBodies{doer(func(sent *http.Request) (*http.Response, error) {
		g.Expect(request.Body.Close()).To(Succeed())
		body, err := io.ReadAll(sent.Body)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(string(body)).To(Equal("Action=DescribeInstances"))
		_, err = io.Copy(io.Discard, sent.Body)
		g.Expect(err).NotTo(HaveOccurred())
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	})}
	response, err := client.Do(request)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(response.Body.Close()).To(Succeed())
}
