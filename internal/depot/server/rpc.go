// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/slipway-dev/slipway/api/v1alpha1"
	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/gitsource"
)

const (
	// maxRequest bounds a request's line: the largest speak of thousands of hosts.
	maxRequest = 8 << 20
	// maxReadRequest bounds one of the Console.
	maxReadRequest = 64 << 10
	// logWait is how long a call waits for more of a log.
	logWait = 5 * time.Second
	// bindingsWait is how long a call waits for the next binding.
	bindingsWait = 30 * time.Second
)

// rpc serves one call of the manager.
func (s *Server) rpc(ctx context.Context, ch ssh.Channel) error {
	in := bufio.NewReaderSize(io.LimitReader(ch, 1<<40), 64<<10)
	line, err := readLine(in, maxRequest)
	if err != nil {
		return err
	}
	var request depot.Request
	if err := json.Unmarshal(line, &request); err != nil {
		return fmt.Errorf("%w: the request is no JSON", depot.ErrRefused)
	}
	if request.Method == "ReadLog" {
		return s.readLog(request.Params, ch)
	}
	result, err := s.call(ctx, request, in)
	return respond(ch, result, err)
}

// read serves one call of the Console.
func (s *Server) read(ctx context.Context, ch ssh.Channel) error {
	line, err := readLine(bufio.NewReader(ch), maxReadRequest)
	if err != nil {
		return err
	}
	var request depot.Request
	if err := json.Unmarshal(line, &request); err != nil {
		return fmt.Errorf("%w: the request is no JSON", depot.ErrRefused)
	}
	result, known, err := s.look(ctx, request)
	if !known {
		err = fmt.Errorf("%w: a reader has no method %q", depot.ErrRefused, printable(request.Method))
	}
	return respond(ch, result, err)
}

// look runs a method of depot.Reader.
func (s *Server) look(ctx context.Context, request depot.Request) (result any, known bool, err error) {
	switch request.Method {
	case "Log":
		result, err = with(request.Params, func(p depot.LogRange) (any, error) {
			ctx, cancel := context.WithTimeout(ctx, logWait)
			defer cancel()
			return s.Store.LogFrom(ctx, p)
		})
	case "Commits":
		result, err = with(request.Params, func(p depot.CommitRange) (any, error) {
			commits, err := s.Sources.Commits(ctx, p)
			return commits, sourceError(err)
		})
	case "Refs":
		result, err = with(request.Params, func(p depot.RefsRequest) (any, error) { return s.Sources.Refs(ctx, p) })
	case "Compare":
		result, err = with(request.Params, func(p depot.Pair) (any, error) { return s.Store.Compare(p) })
	default:
		return nil, false, nil
	}
	return result, true, err
}

// call runs a method of depot.Manager.
func (s *Server) call(ctx context.Context, request depot.Request, in io.Reader) (any, error) {
	if result, known, err := s.look(ctx, request); known {
		return result, err
	}
	switch request.Method {
	case "Mirror":
		return with(request.Params, func(p depot.MirrorRequest) (any, error) { return nil, sourceError(s.Sources.Fetch(ctx, p)) })
	case "FindBuild":
		return with(request.Params, func(p depot.FindParams) (any, error) { return s.Store.Build(v1alpha1.UID(p.Service), p.BuildKey) })
	case "FindArtifact":
		return with(request.Params, func(p depot.FindParams) (any, error) { return s.Store.Artifact(v1alpha1.UID(p.Service), p.Digest) })
	case "Promote":
		return with(request.Params, func(p depot.Promotion) (any, error) { return s.Store.Promote(p) })
	case "WriteLog":
		return with(request.Params, func(p depot.LogParams) (any, error) {
			return nil, s.Store.WriteLog(v1alpha1.UID(p.Service), p.Job, in)
		})
	case "SetWord":
		return with(request.Params, func(p depot.Word) (any, error) { return nil, s.Store.SetWord(p) })
	case "DropWord":
		return with(request.Params, func(p depot.FindParams) (any, error) { return nil, s.Store.DropWord(v1alpha1.UID(p.Service)) })
	case "Bindings":
		return with(request.Params, func(p depot.BindingsParams) (any, error) {
			ctx, cancel := context.WithTimeout(ctx, bindingsWait)
			defer cancel()
			return s.Store.Bindings(ctx, p.After), nil
		})
	case "SetPointer":
		return with(request.Params, func(p depot.Pointer) (any, error) { return nil, s.Store.SetPointer(p) })
	case "GetPointer":
		return with(request.Params, func(p depot.FindParams) (any, error) { return s.Store.Pointer(v1alpha1.UID(p.Service)) })
	case "Retain":
		return with(request.Params, func(p depot.References) (any, error) { return s.Store.Retain(p) })
	}
	return nil, fmt.Errorf("%w: there is no method %q", depot.ErrRefused, printable(request.Method))
}

// with reads a method's arguments.
func with[P any](params json.RawMessage, run func(P) (any, error)) (any, error) {
	var p P
	if err := json.Unmarshal(params, &p); err != nil {
		return nil, fmt.Errorf("%w: the arguments do not fit: %w", depot.ErrRefused, err)
	}
	return run(p)
}

// sourceError says of git's trouble whether trying again may help.
func sourceError(err error) error {
	switch {
	case errors.Is(err, gitsource.ErrRevisionNotFound):
		return fmt.Errorf("%w: %w", depot.ErrNotFound, err)
	case errors.Is(err, gitsource.ErrRefused):
		return fmt.Errorf("%w: %w", depot.ErrRefused, err)
	}
	return err
}

// readLog answers with a line and then the log.
func (s *Server) readLog(params json.RawMessage, ch ssh.Channel) error {
	w := &afterLine{ch: ch}
	_, err := with(params, func(p depot.LogParams) (any, error) {
		return nil, s.Store.ReadLog(v1alpha1.UID(p.Service), p.Job, w)
	})
	if err != nil || !w.said { // an empty log has its answer too
		return respond(ch, nil, err)
	}
	return nil
}

// afterLine writes the answer's line before the first byte of a log.
type afterLine struct {
	ch   ssh.Channel
	said bool
}

func (a *afterLine) Write(p []byte) (int, error) {
	if !a.said {
		if err := respond(a.ch, nil, nil); err != nil {
			return 0, err
		}
		a.said = true
	}
	return a.ch.Write(p)
}

func respond(w io.Writer, result any, failed error) error {
	response := depot.Response{Error: depot.ToWire(failed)}
	if failed == nil && result != nil {
		data, err := json.Marshal(result)
		if err != nil {
			return fmt.Errorf("encode the answer: %w", err)
		}
		response.Result = data
	}
	return json.NewEncoder(w).Encode(response)
}

// readLine reads one line of bounded length.
func readLine(in *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > limit:
			return nil, fmt.Errorf("%w: the request is longer than %d bytes", depot.ErrRefused, limit)
		case err == nil:
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("read the request: %w", err)
		}
	}
}
