// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/slipway-dev/slipway/internal/depot"
)

// FuzzServerArgs holds the closed list: whatever a client asks for, only these words reach rsync, and no path but ours.
func FuzzServerArgs(f *testing.F) {
	f.Add("rsync --server --sender -ltpre.iLsfxCIvu --timeout=60 . tree/", true)
	f.Add("rsync --server -ltpre.iLsfxCIvu --delete . tree/", false)
	f.Add("rsync --server --sender --rsh=x . tree/", true)
	f.Fuzz(func(t *testing.T, line string, sender bool) {
		argv, err := serverArgs(line, sender)
		if err != nil {
			return
		}
		if argv[0] != "rsync" || argv[1] != "--server" || slices.Contains(argv, "--sender") != sender {
			t.Fatalf("%q became %q", line, argv)
		}
		if !slices.Equal(argv[len(argv)-2:], []string{".", "./"}) {
			t.Fatalf("%q names %q", line, argv)
		}
		for _, option := range argv[2 : len(argv)-2] {
			if !strings.HasPrefix(option, "-") || strings.ContainsAny(option, "/ ;$`\\\n\x00") {
				t.Fatalf("%q lets %q through", line, option)
			}
		}
	})
}

func TestNobodyWritesWhatIsBeingPublished(t *testing.T) {
	g := NewWithT(t)
	var s stagings
	grant := depot.BuildGrant{Service: "svc", BuildKey: "k", Attempt: 1}
	ctx, leave, err := s.enter(t.Context(), grant)
	g.Expect(err).NotTo(HaveOccurred())
	sealed := make(chan func())
	go func() {
		unseal, err := s.seal(grant)
		if err != nil {
			close(sealed)
			return
		}
		sealed <- unseal
	}()
	g.Eventually(ctx.Done(), 5*time.Second).Should(BeClosed(), "a receiver is told to end")
	g.Expect(context.Cause(ctx)).To(MatchError(context.Canceled))
	_, _, err = s.enter(t.Context(), grant)
	g.Expect(err).To(MatchError(depot.ErrRefused), "no new one comes in")
	g.Consistently(sealed, 50*time.Millisecond).ShouldNot(Receive(), "finishing waits for it")
	leave()
	unseal := <-sealed
	_, err = s.seal(grant)
	g.Expect(err).To(MatchError(depot.ErrRefused), "nobody finishes twice at once")
	unseal()
	_, leave, err = s.enter(t.Context(), grant)
	g.Expect(err).NotTo(HaveOccurred(), "a finish that was refused may be tried again")
	leave()
	g.Expect(s.open).To(BeEmpty())
}
