// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/internal/depot"
	"github.com/slipway-dev/slipway/internal/sshca"
)

// FuzzChoose holds who may run what: whatever a client sends, a principal gets no other principal's command, a pull
// reads its own artifact's manifest alone, and a build reaches only the caches that its grant lists.
func FuzzChoose(f *testing.F) {
	digest := "sha256:" + strings.Repeat("a", 64)
	for _, line := range []string{
		"rpc", "rpc x", "manifest " + digest, "manifest sha256:other", "manifest", "source", "source ../x", "finish", "cache-get 0", "cache-get 00",
		"cache-put 1", "cache-put 2", "cache-put -1", "rsync --server --sender -ltpre.iLsfxCIvu . tree/", "rsync --server -ltpre.iLsfxCIvu . tree/",
		"rsync --server --sender -ltpre.iLsfxCIvu . tree/ /etc/", "rsync --daemon", "sh -c id", "", " ", "\x00", "finish;id", "RPC",
	} {
		for principal := range 4 {
			f.Add(principal, line)
		}
	}
	s := &Server{}
	f.Fuzz(func(t *testing.T, principal int, line string) {
		who := identity{
			principal: []string{sshca.Manager, sshca.Build, sshca.Pull, "somebody"}[(principal%4+4)%4],
			build:     depot.BuildGrant{Service: "svc", BuildKey: "k", Cache: []string{"vendor", "node_modules"}},
		}
		who.pull.Service, who.pull.Digest = "svc", digest
		run, err := s.choose(who, line)
		if (run == nil) == (err == nil) {
			t.Fatalf("%q is neither allowed nor refused", line)
		}
		if err != nil {
			for _, r := range err.Error() {
				if r < 0x20 || r == 0x7f {
					t.Fatalf("the refusal of %q holds a control character: %q", line, err)
				}
			}
			return
		}
		name, rest, _ := strings.Cut(line, " ")
		allowed := false
		switch who.principal {
		case sshca.Manager:
			allowed = name == "rpc"
		case sshca.Pull:
			allowed = line == "manifest "+digest || strings.HasPrefix(line, "rsync --server --sender ") && strings.HasSuffix(line, " . tree/")
		case sshca.Build:
			allowed = name == "source" || name == "finish" ||
				(name == "cache-get" || name == "cache-put") && (rest == "0" || rest == "1") ||
				strings.HasPrefix(line, "rsync --server -") && !strings.Contains(line, "--sender") && strings.HasSuffix(line, " . tree/")
		}
		if !allowed {
			t.Fatalf("a certificate for %q ran %q", who.principal, line)
		}
	})
}
