// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// serveLogs is the kubelet's log endpoint, for the API server alone.
func (r *Runner) serveLogs(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", r.logs)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, TLSConfig: &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{r.ServingCert},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: r.ClientCA,
		VerifyConnection: func(s tls.ConnectionState) error { return allowed(s.PeerCertificates, r.AllowedClientCN) },
	}}
	go func() { <-ctx.Done(); server.Close() }()
	if err := server.ServeTLS(r.listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("log endpoint: %w", err)
	}
	return nil
}

func allowed(peers []*x509.Certificate, name string) error {
	if len(peers) == 0 || peers[0].Subject.CommonName != name {
		return errors.New("the client is not the API server")
	}
	return nil
}

// logs answers as a kubelet does. The API server hands on the words of 400 and 500 alone.
func (r *Runner) logs(w http.ResponseWriter, req *http.Request) {
	pod, err := r.pods.Pods(req.PathValue("namespace")).Get(req.PathValue("pod"))
	if apierrors.IsNotFound(err) {
		http.Error(w, fmt.Sprintf("pod %q does not exist on this node", req.PathValue("pod")), http.StatusNotFound)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	query := req.URL.Query()
	name := req.PathValue("container")
	if query.Get("previous") == "true" {
		http.Error(w, fmt.Sprintf("previous terminated container %q in pod %q not found: containers are not restarted", name, pod.Name), http.StatusBadRequest)
		return
	}
	options, limit, err := logOptions(query, r.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	have, err := r.containers(req.Context(), pod)
	if err != nil {
		http.Error(w, "the container engine does not answer: "+err.Error(), http.StatusInternalServerError)
		return
	}
	c, ok := have[name]
	if !ok && over(pod) {
		http.Error(w, fmt.Sprintf("the log of container %q in pod %q is gone: it was removed when slipway stopped, or the container never began", name, pod.Name), http.StatusBadRequest)
		return
	}
	if !ok || c.state == container.StateCreated { // the engine would say that the log of one that was only made has ended
		http.Error(w, fmt.Sprintf("container %q in pod %q is waiting to start", name, pod.Name), http.StatusBadRequest)
		return
	}
	stream, err := r.engine.ContainerLogs(req.Context(), c.id, options)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer stream.Close()
	w.Header().Set("Content-Type", "text/plain")
	out := &flushing{ResponseWriter: w, flush: options.Follow, left: limit}
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
	if options.Follow {
		_, err = stdcopy.StdCopy(out, out, stream)
	} else { // a line is a frame of its own: they are sent together
		together := bufio.NewWriterSize(out, 64<<10)
		_, err = stdcopy.StdCopy(together, together, stream)
		err = errors.Join(err, together.Flush())
	}
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errLimit) && req.Context().Err() == nil {
		r.Logger.Error("a log was cut short", "pod", pod.Namespace+"/"+pod.Name, "container", name, "err", err)
	}
}

// logOptions reads what a kubelet understands; limit is -1 for no limit.
func logOptions(q url.Values, now time.Time) (container.LogsOptions, int64, error) {
	o := container.LogsOptions{ShowStdout: true, ShowStderr: true, Follow: q.Get("follow") == "true", Timestamps: q.Get("timestamps") == "true"}
	switch q.Get("stream") {
	case "", "All":
	case "Stdout":
		o.ShowStderr = false
	case "Stderr":
		o.ShowStdout = false
	default:
		return o, 0, fmt.Errorf("stream must be All, Stdout or Stderr, not %q", q.Get("stream"))
	}
	number := func(name string, min int64) (int64, bool, error) {
		if q.Get(name) == "" {
			return 0, false, nil
		}
		n, err := strconv.ParseInt(q.Get(name), 10, 64)
		if err != nil || n < min {
			return 0, false, fmt.Errorf("%s must be a number of at least %d, not %q", name, min, q.Get(name))
		}
		return n, true, nil
	}
	n, ok, err := number("tailLines", 0)
	if err != nil {
		return o, 0, err
	}
	if ok {
		o.Tail = strconv.FormatInt(n, 10)
	}
	if n, ok, err = number("sinceSeconds", 1); err != nil {
		return o, 0, err
	}
	if ok {
		o.Since = strconv.FormatInt(now.Unix()-n, 10)
	}
	if since := q.Get("sinceTime"); since != "" {
		at, err := time.Parse(time.RFC3339, since)
		if err != nil {
			return o, 0, fmt.Errorf("sinceTime must be as in RFC 3339, not %q", since)
		}
		o.Since = strconv.FormatInt(at.Unix(), 10)
	}
	limit, ok, err := number("limitBytes", 1)
	if !ok {
		limit = -1
	}
	return o, limit, err
}

var errLimit = errors.New("limitBytes is reached")

type flushing struct {
	http.ResponseWriter
	flush bool
	left  int64
}

func (f *flushing) Write(p []byte) (int, error) {
	short := false
	if f.left >= 0 && int64(len(p)) > f.left {
		p, short = p[:f.left], true
	}
	n, err := f.ResponseWriter.Write(p)
	if f.left >= 0 {
		f.left -= int64(n)
	}
	if f.flush {
		if flusher, ok := f.ResponseWriter.(http.Flusher); ok {
			flusher.Flush()
		}
	}
	if err == nil && short {
		err = errLimit
	}
	return n, err
}
