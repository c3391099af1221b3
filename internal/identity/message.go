// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/smallstep/pkcs7"
)

const (
	// maxSignature bounds what is read: in bytes, encoded. AWS's own are about 1,500 long.
	maxSignature = 16 << 10
	// maxDepth bounds how deep a message nests. AWS's own nest 10 deep.
	maxDepth = 32
)

// parse reads a message that has one signer and content. Nothing of it is verified.
func parse(signature []byte) (*pkcs7.PKCS7, error) {
	ber, err := decode(signature)
	if err != nil {
		return nil, err
	}
	rest, err := skip(ber, maxDepth)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes follow the message", ErrMalformed, len(rest))
	}
	message, err := pkcs7.Parse(ber)
	if err != nil {
		return nil, fmt.Errorf("%w: no PKCS#7 message: %w", ErrMalformed, err)
	}
	if n := len(message.Signers); n != 1 {
		return nil, fmt.Errorf("%w: it has %d signers and not one", ErrMalformed, n)
	}
	if len(message.Content) == 0 {
		return nil, fmt.Errorf("%w: the signature holds no document", ErrMalformed)
	}
	return message, nil
}

// decode takes off PEM lines, line breaks and base64.
func decode(signature []byte) ([]byte, error) {
	if len(signature) > maxSignature {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", ErrMalformed, maxSignature)
	}
	text := bytes.TrimSpace(signature)
	if bytes.HasPrefix(text, []byte("-----BEGIN")) {
		block, rest := pem.Decode(text)
		if block == nil || block.Type != "PKCS7" || len(block.Headers) > 0 || len(rest) > 0 {
			return nil, fmt.Errorf("%w: no single PEM block of type PKCS7", ErrMalformed)
		}
		return block.Bytes, nil
	}
	ber, err := base64.StdEncoding.Strict().DecodeString(string(text)) // which passes over line breaks
	if err != nil {
		return nil, fmt.Errorf("%w: no base64: %w", ErrMalformed, err)
	}
	return ber, nil
}

var errBER = errors.New("no message in BER")

// skip returns what follows the first element. AWS writes BER with indefinite lengths, whose end is known only by walking through
// it; the library drops what follows, and bounds no depth.
func skip(ber []byte, depth int) ([]byte, error) {
	const (
		constructed = 0x20
		longTag     = 0x1f
		indefinite  = 0x80
	)
	if depth == 0 {
		return nil, fmt.Errorf("%w: it nests deeper than %d", errBER, maxDepth)
	}
	if len(ber) < 2 || ber[0]&longTag == longTag {
		return nil, errBER
	}
	tag, length, rest := ber[0], int(ber[1]), ber[2:]
	if length == indefinite {
		if tag&constructed == 0 {
			return nil, errBER
		}
		for !bytes.HasPrefix(rest, []byte{0, 0}) {
			var err error
			if rest, err = skip(rest, depth-1); err != nil {
				return nil, err
			}
		}
		return rest[2:], nil
	}
	if length > indefinite {
		bytesOfLength := length - indefinite
		if bytesOfLength > 3 || bytesOfLength > len(rest) {
			return nil, errBER
		}
		length = 0
		for _, b := range rest[:bytesOfLength] {
			length = length<<8 | int(b)
		}
		rest = rest[bytesOfLength:]
	}
	if length > len(rest) {
		return nil, errBER
	}
	if tag&constructed != 0 {
		for inside := rest[:length]; len(inside) > 0; {
			var err error
			if inside, err = skip(inside, depth-1); err != nil {
				return nil, err
			}
		}
	}
	return rest[length:], nil
}
