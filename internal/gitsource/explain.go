// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package gitsource

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/slipway-dev/slipway/internal/depot"
)

// secret is where a person mends a credential.
const secret = "of the Secret that source.git.secretRef names"

// explain turns git's and ssh's words into what a person can mend; "" where their own are as good.
func explain(said, remote string, c depot.GitCredentials) string {
	u, err := url.Parse(remote)
	if err != nil {
		return ""
	}
	switch u.Scheme {
	case "ssh":
		return explainSSH(said, u.Host, c)
	case "https":
		return explainHTTPS(said, u.Host, c)
	}
	return ""
}

// redirected is git's word for an answer with a redirect, none of which is followed.
var redirected = regexp.MustCompile(`returned error: 30[12378]\b`)

func explainHTTPS(said, host string, c depot.GitCredentials) string {
	unauthorised := strings.Contains(said, "Authentication failed for ") || strings.Contains(said, "could not read Username") ||
		strings.Contains(said, "could not read Password") || strings.Contains(said, "returned error: 403")
	switch {
	case redirected.MatchString(said):
		return host + " answers with a redirect, which is not followed: a credential goes to no other place; put the URL that it leads to into source.git.url"
	case unauthorised && c.Password == "":
		return host + " asks for a credential, or has no such repository: put username and password into a Secret and name it in source.git.secretRef"
	case unauthorised:
		return host + " does not accept username and password " + secret + ", or has no such repository"
	}
	return ""
}

func explainSSH(said, host string, c depot.GitCredentials) string {
	switch {
	case strings.Contains(said, "REMOTE HOST IDENTIFICATION HAS CHANGED"):
		return host + " shows another host key than known_hosts " + secret + " lists: ask whoever runs it whether its key was changed, and then put the new one there"
	case strings.Contains(said, "Host key verification failed"):
		return "no host key of " + host + " is known: put its line into known_hosts " + secret
	case !strings.Contains(said, "Permission denied ("):
		return ""
	case len(c.PrivateKey) == 0:
		return host + " needs a key: put a deploy key of the repository into ssh-privatekey " + secret
	case strings.Contains(said, "Load key "):
		return "ssh-privatekey " + secret + " is no private key that ssh can read, or has a passphrase: put a key in OpenSSH's format there"
	}
	return host + " does not accept the key in ssh-privatekey " + secret + ": add its public half to the repository's deploy keys"
}
