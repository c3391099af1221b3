// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package depot

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Says begins each line that the depot itself writes to a session's standard error.
const Says = "slipway depot: "

// ReaderUser is whom the Console logs in as, with a token of its service account as the password.
const ReaderUser = "reader"

// Request is one call of the manager or of the Console: a line of JSON. The rest of the stream belongs to the method.
type Request struct {
	// Method is a method of Manager.
	Method string `json:"method"`
	// Params are the method's arguments.
	Params json.RawMessage `json:"params"`
}

// Response is the answer: a line of JSON. What follows belongs to the method.
type Response struct {
	Result json.RawMessage `json:"result,omitempty"`
	Error  *WireError      `json:"error,omitempty"`
}

// WireError carries an error over the wire so that errors.Is still holds on the other side.
type WireError struct {
	// Kind is NotFound, Refused or empty.
	Kind    string `json:"kind,omitempty"`
	Message string `json:"message"`
}

// ToWire turns an error into what goes over the wire.
func ToWire(err error) *WireError {
	if err == nil {
		return nil
	}
	kind := ""
	switch {
	case errors.Is(err, ErrNotFound):
		kind = "NotFound"
	case errors.Is(err, ErrRefused):
		kind = "Refused"
	}
	return &WireError{Kind: kind, Message: err.Error()}
}

// FromWire turns it back.
func (w *WireError) FromWire() error {
	if w == nil {
		return nil
	}
	switch w.Kind {
	case "NotFound":
		return fmt.Errorf("%w (%s)", ErrNotFound, w.Message)
	case "Refused":
		return fmt.Errorf("%w: %s", ErrRefused, w.Message)
	}
	return errors.New("depot: " + w.Message)
}

// LogParams are the arguments of WriteLog and ReadLog. The log itself follows the line.
type LogParams struct {
	Service string `json:"service"`
	Job     string `json:"job"`
}

// FindParams are the arguments of FindBuild, FindArtifact, GetPointer and DropWord.
type FindParams struct {
	Service  string `json:"service"`
	BuildKey string `json:"buildKey,omitempty"`
	Digest   string `json:"digest,omitempty"`
}

// BindingsParams are the arguments of Bindings.
type BindingsParams struct {
	After int64 `json:"after"`
}
