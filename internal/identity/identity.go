// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package identity verifies EC2 instance identity documents: what an instance can show to prove which one it is.
//
// A document has no nonce, no audience and no expiry. Whoever has once read one can show it again: it is a claim, to be bound to
// something else (a host key, a look at EC2) by whoever accepts it.
package identity

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/smallstep/pkcs7"
)

// Why a document is refused; errors of Verify wrap one of them.
var (
	// ErrMalformed: it is no signed document of one instance.
	ErrMalformed = errors.New("malformed instance identity document")
	// ErrUnknownRegion: no certificate is pinned for the region that it names.
	ErrUnknownRegion = errors.New("instance identity document of an unknown region")
	// ErrSignature: the region that it names has not signed it.
	ErrSignature = errors.New("instance identity document with a bad signature")
)

// Document is what AWS says of an instance. Each field is there and of AWS's shape.
type Document struct {
	// AccountID is the account that launched the instance: 12 digits.
	AccountID string
	// Region as in ap-northeast-1.
	Region string
	// AvailabilityZone is in Region, as in ap-northeast-1a.
	AvailabilityZone string
	// InstanceID as in i-0123456789abcdef0.
	InstanceID string
	// PrivateIP is the instance's primary private IPv4 address.
	PrivateIP string
	// InstanceType as in t4g.small.
	InstanceType string
	// ImageID as in ami-0123456789abcdef0.
	ImageID string
	// PendingTime is when the instance was launched.
	PendingTime time.Time
}

// Verify reads what the metadata service serves at /latest/dynamic/instance-identity/rsa2048, base64 of a PKCS#7 message with or
// without line breaks and PEM lines, and returns what AWS signed. Certificates are those of the regions that are accepted.
//
// What the message brings along itself proves nothing, certificates above all: an attacker's own would verify. The region alone is
// read from the document before it is verified, to choose the one pinned certificate that it must verify with.
//
// Certificates are not compared with the clock. AWS's own procedure verifies with -noverify
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/verify-iid.html), its documentation says nothing of expiry or revocation, and its
// certificates last until 2195 and longer: what is pinned is trusted until it is replaced. Only the time at which AWS signed, which
// is part of what is signed, must be within the certificate's.
func Verify(signature []byte, certificates Certificates) (Document, error) {
	message, err := parse(signature)
	if err != nil {
		return Document{}, err
	}
	var claimed document
	if err := json.Unmarshal(message.Content, &claimed); err != nil {
		return Document{}, fmt.Errorf("%w: its content: %w", ErrMalformed, err)
	}
	if !regionName.MatchString(claimed.Region) {
		return Document{}, fmt.Errorf("%w: its region is no region's name: %.64q", ErrMalformed, claimed.Region)
	}
	pinned := certificates[claimed.Region]
	if pinned == nil {
		return Document{}, fmt.Errorf("%w: no certificate is pinned for %s", ErrUnknownRegion, claimed.Region)
	}
	if err := verify(message, pinned); err != nil {
		return Document{}, fmt.Errorf("%w: it says %s: %w", ErrSignature, claimed.Region, err)
	}
	return claimed.trusted()
}

// verify says whether a message is signed with the pinned certificate's key, and as AWS signs.
func verify(message *pkcs7.PKCS7, pinned *x509.Certificate) error {
	// "RSA-2048 signature: this is a SHA256 hash" (verify-iid.html). The library takes others too, SHA-1 among them.
	if algorithm := message.Signers[0].DigestAlgorithm.Algorithm; !algorithm.Equal(pkcs7.OIDDigestAlgorithmSHA256) {
		return fmt.Errorf("its digest is %s and not SHA-256", algorithm)
	}
	message.Certificates = []*x509.Certificate{pinned}
	return message.Verify()
}

// document is a document as AWS writes it; fields that nobody needs here are left out.
type document struct {
	AccountID        string    `json:"accountId"`
	Region           string    `json:"region"`
	AvailabilityZone string    `json:"availabilityZone"`
	InstanceID       string    `json:"instanceId"`
	PrivateIP        string    `json:"privateIp"`
	InstanceType     string    `json:"instanceType"`
	ImageID          string    `json:"imageId"`
	PendingTime      time.Time `json:"pendingTime"`
}

var (
	regionName   = regexp.MustCompile(`^[a-z]{2,8}(-[a-z]{1,16}){1,3}-[0-9]{1,2}$`)
	accountID    = regexp.MustCompile(`^[0-9]{12}$`)
	zoneName     = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)
	instanceID   = regexp.MustCompile(`^i-[0-9a-f]{8,17}$`)
	imageID      = regexp.MustCompile(`^ami-[0-9a-f]{8,17}$`)
	instanceType = regexp.MustCompile(`^[a-z0-9-]{1,32}\.[a-z0-9-]{1,32}$`)
)

// trusted is a document that is verified, if all of it has AWS's shape.
func (d *document) trusted() (Document, error) {
	for _, field := range []struct {
		name, value string
		ok          bool
	}{
		{"accountId", d.AccountID, accountID.MatchString(d.AccountID)},
		{"availabilityZone", d.AvailabilityZone, zoneName.MatchString(d.AvailabilityZone) && strings.HasPrefix(d.AvailabilityZone, d.Region)},
		{"instanceId", d.InstanceID, instanceID.MatchString(d.InstanceID)},
		{"privateIp", d.PrivateIP, isIPv4(d.PrivateIP)},
		{"instanceType", d.InstanceType, instanceType.MatchString(d.InstanceType)},
		{"imageId", d.ImageID, imageID.MatchString(d.ImageID)},
		{"pendingTime", d.PendingTime.Format(time.RFC3339), !d.PendingTime.IsZero()},
	} {
		if !field.ok {
			return Document{}, fmt.Errorf("%w: its %s is missing or not of AWS's shape: %.64q", ErrMalformed, field.name, field.value)
		}
	}
	return Document(*d), nil
}

func isIPv4(text string) bool {
	address, err := netip.ParseAddr(text)
	return err == nil && address.Is4()
}
