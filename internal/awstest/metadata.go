// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package awstest

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Metadata is the metadata service of one instance: amazon-ec2-metadata-mock, which gives out and checks the tokens of IMDSv2 and
// answers with what is the same for every instance, behind a proxy that answers with what is this instance's. It says what the
// cloud says now, so that a tag changes here when it changes there.
type Metadata struct {
	cloud    *Cloud
	instance string
	mock     *mock
	server   *http.Server
	served   chan struct{}

	// mu lets one request through at a time: the mock guards neither its tokens nor its answers.
	mu sync.Mutex
}

// MetadataOptions are how an instance's metadata service is set up.
type MetadataOptions struct {
	// TokensOptional answers requests without a token too, which is IMDSv1. Otherwise they are answered with 401.
	TokensOptional bool
}

// ServeMetadata answers at a listener, which it closes in the end, as the metadata service of an instance that was added. A listener
// that was opened in a network namespace serves that namespace.
func (c *Cloud) ServeMetadata(listener net.Listener, instanceID string, options MetadataOptions) (*Metadata, error) {
	started, err := startMock(!options.TokensOptional)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	m := &Metadata{cloud: c, instance: instanceID, mock: started, served: make(chan struct{})}
	m.server = &http.Server{Handler: m, ReadHeaderTimeout: patience}
	go func() {
		defer close(m.served)
		_ = m.server.Serve(listener) // until Close
	}()
	return m, nil
}

// Close ends the service and its mock.
func (m *Metadata) Close() error {
	err := m.server.Close()
	<-m.served
	return errors.Join(err, m.mock.stop())
}

// The versions under which the service answers, of those that AWS has had: which one it is changes nothing.
var metadataVersions = []string{
	"1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01", "2009-04-04", "2011-01-01",
	"2011-05-01", "2012-01-12", "2014-02-25", "2014-11-05", "2015-10-20", "2016-04-19", "2016-06-30", "2016-09-02", "2018-03-28",
	"2018-08-17", "2018-09-24", "2019-10-01", "2020-10-27", "2021-01-03", "2021-03-23", "2021-07-15", "latest",
}

const (
	tokenPath      = "/latest/api/token"                    //nolint:gosec // a path, no secret
	tokenHeader    = "X-Aws-Ec2-Metadata-Token"             //nolint:gosec // a header's name
	tokenTTLHeader = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds" //nolint:gosec // a header's name
	alwaysThere    = "/latest/meta-data/instance-id"
)

// ServeHTTP implements http.Handler.
func (m *Metadata) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case r.Method == http.MethodPut && r.URL.Path == tokenPath:
		m.relay(w, r, tokenPath)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		http.Error(w, "405 - Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	// The mock asks for no token where it lists, and does not know every path: it is asked for one that it knows.
	admitted, err := m.mock.ask(r.Context(), http.MethodGet, alwaysThere, r.Header)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	_ = admitted.Body.Close()
	if admitted.StatusCode != http.StatusOK {
		http.Error(w, http.StatusText(admitted.StatusCode), admitted.StatusCode)
		return
	}
	m.answer(w, r)
}

// answer answers whoever may ask.
func (m *Metadata) answer(w http.ResponseWriter, r *http.Request) {
	path := strings.Trim(r.URL.Path, "/")
	if path == "" {
		_, _ = io.WriteString(w, strings.Join(metadataVersions, "\n"))
		return
	}
	version, path, _ := strings.Cut(path, "/")
	tree, err := m.cloud.metadataTree(m.instance)
	if err != nil || !slices.Contains(metadataVersions, version) {
		http.Error(w, "404 - Not Found", http.StatusNotFound)
		return
	}
	value, isLeaf := tree[path]
	switch {
	case isLeaf && value == nil:
		m.relay(w, r, "/latest/"+path)
	case isLeaf:
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write(value)
	default:
		listed := list(tree, path)
		if len(listed) == 0 {
			http.Error(w, "404 - Not Found", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, strings.Join(listed, "\n"))
	}
}

// list says what is in a folder of the tree, folders with a slash at their end.
func list(tree map[string][]byte, folder string) []string {
	inside := map[string]bool{}
	for path := range tree {
		rest, below := path, folder == ""
		if !below {
			rest, below = strings.CutPrefix(path, folder+"/")
		}
		if !below {
			continue
		}
		name, _, deeper := strings.Cut(rest, "/")
		if deeper {
			name += "/"
		}
		inside[name] = true
	}
	return slices.Sorted(maps.Keys(inside))
}

// relay lets the mock answer.
func (m *Metadata) relay(w http.ResponseWriter, r *http.Request, path string) {
	answer, err := m.mock.ask(r.Context(), r.Method, path, r.Header)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	for _, header := range []string{"Content-Type", tokenTTLHeader} {
		if value := answer.Header.Get(header); value != "" {
			w.Header().Set(header, value)
		}
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = io.Copy(w, answer.Body)
}

// ask asks the mock, with the headers that concern tokens.
func (m *mock) ask(ctx context.Context, method, path string, from http.Header) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, m.url+path, nil)
	if err != nil {
		return nil, err
	}
	for _, header := range []string{tokenHeader, tokenTTLHeader} {
		if value := from.Get(header); value != "" {
			request.Header.Set(header, value)
		}
	}
	return m.client.Do(request)
}
