// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"embed"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"strings"
	"sync"
)

// Certificates are what regions sign identity documents with, by region: one each.
type Certificates map[string]*x509.Certificate

// The RSA-2048 certificates that AWS publishes: docs.aws.amazon.com/AWSEC2/latest/UserGuide/regions-certs.html.
// At least two independent copies of that page agreed on each but those of ap-east-2, ap-southeast-6 and eusc-de-east-1, which only
// one copy had.
//
//go:embed certificates/*.pem
var published embed.FS

var pinned = sync.OnceValue(func() Certificates {
	files, err := fs.Sub(published, "certificates")
	if err != nil {
		panic(err)
	}
	certificates, err := load(files)
	if err != nil {
		panic(err) // a test reads the same files
	}
	return certificates
})

// AWS returns the certificates that AWS publishes for its regions, pinned when this program was built. The map is the caller's own,
// to add a new region's certificate to or to replace one: maps.Copy(certificates, loaded).
func AWS() Certificates { return maps.Clone(pinned()) }

// Load reads certificates from a folder that holds REGION.pem files, each one RSA certificate of 2048 bits or more, and nothing
// else; names that begin with a dot are passed over (volumes of Kubernetes have some). It returns what the folder holds.
func Load(dir string) (Certificates, error) {
	certificates, err := load(os.DirFS(dir))
	if err != nil {
		return nil, fmt.Errorf("certificates of regions in %s: %w", dir, err)
	}
	return certificates, nil
}

func load(files fs.FS) (Certificates, error) {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, err
	}
	certificates := Certificates{}
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		region, isPEM := strings.CutSuffix(name, ".pem")
		if !isPEM || !regionName.MatchString(region) {
			return nil, fmt.Errorf("%s: name it after its region, as in ap-northeast-1.pem", name)
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		if certificates[region], err = certificate(content); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return certificates, nil
}

// certificate reads a file with one certificate.
func certificate(content []byte) (*x509.Certificate, error) {
	block, rest := pem.Decode(content)
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("it does not hold one certificate in PEM and nothing else")
	}
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	if key, isRSA := parsed.PublicKey.(*rsa.PublicKey); !isRSA || key.N.BitLen() < 2048 {
		return nil, errors.New("its key is not RSA of 2048 bits or more: take the region's RSA-2048 certificate, not the one named RSA or DSA")
	}
	// All of AWS's are self-signed. This proves nothing but that the copy is whole: a damaged one would refuse every host.
	if err := parsed.CheckSignature(parsed.SignatureAlgorithm, parsed.RawTBSCertificate, parsed.Signature); err != nil {
		return nil, fmt.Errorf("it is damaged, or not self-signed as AWS's are: %w", err)
	}
	return parsed, nil
}
