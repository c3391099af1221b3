// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/artifact"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/sshca"
)

const (
	// loginValid is how long the manager's certificate is good: it is needed for the login only.
	loginValid = 5 * time.Minute
	// callTimeout bounds a call that moves no stream.
	callTimeout = 2 * time.Minute
)

// Client is the manager's way into the depot, over one kept connection. It is a depot.Manager.
type Client struct {
	*Reader
}

var _ depot.Manager = (*Client)(nil)

// New returns a Client. endpoint is asked at each connection.
func New(endpoint func() (depot.Endpoint, error), authority *sshca.Authority) *Client {
	return &Client{&Reader{endpoint: endpoint, login: func(ctx context.Context, at depot.Endpoint) (*ssh.Client, error) {
		privateKey, certificate, err := authority.Manager(loginValid)
		if err != nil {
			return nil, err
		}
		return Dial(ctx, at, privateKey, certificate)
	}}}
}

// Reader is the Console's way into the depot, over one kept connection. It is a depot.Reader.
type Reader struct {
	endpoint func() (depot.Endpoint, error)
	login    func(ctx context.Context, at depot.Endpoint) (*ssh.Client, error)
	mu       sync.Mutex
	conn     *ssh.Client
}

var _ depot.Reader = (*Reader)(nil)

// NewReader returns a Reader, who logs in with what token returns at each connection.
func NewReader(endpoint func() (depot.Endpoint, error), token func() (string, error)) *Reader {
	return &Reader{endpoint: endpoint, login: func(ctx context.Context, at depot.Endpoint) (*ssh.Client, error) {
		secret, err := token()
		if err != nil {
			return nil, fmt.Errorf("read the token for the depot: %w", err)
		}
		return login(ctx, at, depot.ReaderUser, ssh.Password(secret))
	}}
}

// Log implements depot.Reader.
func (c *Reader) Log(ctx context.Context, r depot.LogRange) (chunk depot.LogChunk, err error) {
	return chunk, c.short(ctx, "Log", r, &chunk)
}

// Commits implements depot.Reader.
func (c *Reader) Commits(ctx context.Context, r depot.CommitRange) (commits []depot.Commit, err error) {
	return commits, c.short(ctx, "Commits", r, &commits)
}

// Refs implements depot.Reader.
func (c *Reader) Refs(ctx context.Context, r depot.RefsRequest) (refs []depot.Ref, err error) {
	return refs, c.short(ctx, "Refs", r, &refs)
}

// Compare implements depot.Reader.
func (c *Reader) Compare(ctx context.Context, p depot.Pair) (d artifact.Difference, err error) {
	return d, c.short(ctx, "Compare", p, &d)
}

// Close ends the kept connection.
func (c *Reader) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return nil
	}
	err := c.conn.Close()
	c.conn = nil
	return err
}

// Mirror implements depot.Manager. It takes as long as ctx allows.
func (c *Client) Mirror(ctx context.Context, r depot.MirrorRequest) error {
	return c.call(ctx, "Mirror", r, nil, nil)
}

// FindBuild implements depot.Manager.
func (c *Client) FindBuild(ctx context.Context, service v1alpha1.UID, key string) (a depot.Artifact, err error) {
	return a, c.short(ctx, "FindBuild", depot.FindParams{Service: string(service), BuildKey: key}, &a)
}

// FindArtifact implements depot.Manager.
func (c *Client) FindArtifact(ctx context.Context, service v1alpha1.UID, digest string) (a depot.Artifact, err error) {
	return a, c.short(ctx, "FindArtifact", depot.FindParams{Service: string(service), Digest: digest}, &a)
}

// Promote implements depot.Manager. It takes as long as ctx allows.
func (c *Client) Promote(ctx context.Context, p depot.Promotion) (a depot.Artifact, err error) {
	return a, c.call(ctx, "Promote", p, nil, &a)
}

// WriteLog implements depot.Manager.
func (c *Client) WriteLog(ctx context.Context, service v1alpha1.UID, job string, r io.Reader) error {
	return c.call(ctx, "WriteLog", depot.LogParams{Service: string(service), Job: job}, r, nil)
}

// ReadLog implements depot.Manager.
func (c *Client) ReadLog(ctx context.Context, service v1alpha1.UID, job string, w io.Writer) error {
	return c.call(ctx, "ReadLog", depot.LogParams{Service: string(service), Job: job}, nil, w)
}

// SetWord implements depot.Manager.
func (c *Client) SetWord(ctx context.Context, w depot.Word) error {
	return c.short(ctx, "SetWord", w, nil)
}

// DropWord implements depot.Manager.
func (c *Client) DropWord(ctx context.Context, service v1alpha1.UID) error {
	return c.short(ctx, "DropWord", depot.FindParams{Service: string(service)}, nil)
}

// Bindings implements depot.Manager.
func (c *Client) Bindings(ctx context.Context, after int64) (b []depot.Binding, err error) {
	return b, c.short(ctx, "Bindings", depot.BindingsParams{After: after}, &b)
}

// SetPointer implements depot.Manager.
func (c *Client) SetPointer(ctx context.Context, p depot.Pointer) error {
	return c.short(ctx, "SetPointer", p, nil)
}

// GetPointer implements depot.Manager.
func (c *Client) GetPointer(ctx context.Context, service v1alpha1.UID) (p depot.Pointer, err error) {
	return p, c.short(ctx, "GetPointer", depot.FindParams{Service: string(service)}, &p)
}

// Retain implements depot.Manager.
func (c *Client) Retain(ctx context.Context, r depot.References) (removed []string, err error) {
	return removed, c.short(ctx, "Retain", r, &removed)
}

// short is a call without a stream, of bounded time.
func (c *Reader) short(ctx context.Context, method string, params, result any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return c.call(ctx, method, params, nil, result)
}

// call runs one method in a session of its own. result is nil, an io.Writer for what follows the answer, or what the
// answer is decoded into.
func (c *Reader) call(ctx context.Context, method string, params any, in io.Reader, result any) error {
	data, err := json.Marshal(params)
	if err != nil {
		return fmt.Errorf("encode %s: %w", method, err)
	}
	line, err := json.Marshal(depot.Request{Method: method, Params: data})
	if err != nil {
		return fmt.Errorf("encode %s: %w", method, err)
	}
	session, err := c.session(ctx)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = session.Close() })
	defer stop()
	defer func() { _ = session.Close() }()
	stdin, err := session.StdinPipe()
	if err != nil {
		return fmt.Errorf("%w: %w", depot.ErrUnavailable, err)
	}
	stdout, err := session.StdoutPipe()
	if err != nil {
		return fmt.Errorf("%w: %w", depot.ErrUnavailable, err)
	}
	if err := session.Start("rpc"); err != nil {
		return fmt.Errorf("%w: %w", depot.ErrUnavailable, err)
	}
	sent := make(chan error, 1)
	go func() { sent <- send(stdin, append(line, '\n'), in) }()
	err = receive(stdout, result)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %s took too long: %w", depot.ErrUnavailable, method, ctx.Err())
	}
	if err == nil && in != nil {
		err = <-sent
	}
	return err
}

func send(w io.WriteCloser, line []byte, in io.Reader) error {
	_, err := w.Write(line)
	if err == nil && in != nil {
		_, err = io.Copy(w, in)
	}
	return errors.Join(err, w.Close())
}

func receive(r io.Reader, result any) error {
	in := bufio.NewReader(r)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("%w: the connection broke off: %w", depot.ErrUnavailable, err)
	}
	var response depot.Response
	if err := json.Unmarshal(line, &response); err != nil {
		return fmt.Errorf("%w: the answer is no JSON", depot.ErrUnavailable)
	}
	if response.Error != nil {
		return response.Error.FromWire()
	}
	switch into := result.(type) {
	case nil:
		return nil
	case io.Writer:
		_, err := io.Copy(into, in)
		return err
	default:
		if response.Result == nil {
			return nil
		}
		return json.Unmarshal(response.Result, into)
	}
}

// session opens a session on the kept connection, and connects anew once if that is dead.
func (c *Reader) session(ctx context.Context) (*ssh.Session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil { // who has waited too long must not cost the others their connection
		return nil, fmt.Errorf("%w: %w", depot.ErrUnavailable, err)
	}
	if c.conn != nil {
		session, err := openSession(ctx, c.conn)
		var refused *ssh.OpenChannelError
		if err == nil || errors.As(err, &refused) { // a connection that has too many sessions lives: others are using it
			return session, err
		}
		_ = c.conn.Close()
		c.conn = nil
	}
	endpoint, err := c.endpoint()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", depot.ErrUnavailable, err)
	}
	conn, err := c.login(ctx, endpoint)
	if err != nil {
		return nil, err
	}
	c.conn = conn
	return openSession(ctx, conn)
}

// openSession opens a session, but does not wait for ever on a connection whose other end is gone.
func openSession(ctx context.Context, conn *ssh.Client) (*ssh.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			_ = conn.Close()
		}
	})
	defer stop()
	session, err := conn.NewSession()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", depot.ErrUnavailable, err)
	}
	return session, nil
}
