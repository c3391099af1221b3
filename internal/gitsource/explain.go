// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package gitsource

import (
	"net/url"
	"strings"

	"github.com/slipway-dev/slipway/internal/depot"
)

// explainSSH turns ssh's words into what is wrong with the Secret that source.git.secretRef names; "" where that is not it.
func explainSSH(said, remote string, c depot.GitCredentials) string {
	u, err := url.Parse(remote)
	if err != nil || u.Scheme != "ssh" {
		return ""
	}
	const secret = "of the Secret that source.git.secretRef names"
	switch {
	case strings.Contains(said, "REMOTE HOST IDENTIFICATION HAS CHANGED"):
		return u.Host + " shows another host key than known_hosts " + secret + " lists: ask whoever runs it whether its key was changed, and then put the new one there"
	case strings.Contains(said, "Host key verification failed"):
		return "no host key of " + u.Host + " is known: put its line into known_hosts " + secret
	case !strings.Contains(said, "Permission denied ("):
		return ""
	case len(c.PrivateKey) == 0:
		return u.Host + " needs a key: put a deploy key of the repository into ssh-privatekey " + secret
	case strings.Contains(said, "Load key "):
		return "ssh-privatekey " + secret + " is no private key that ssh can read, or has a passphrase: put a key in OpenSSH's format there"
	}
	return u.Host + " does not accept the key in ssh-privatekey " + secret + ": add its public half to the repository's deploy keys"
}
