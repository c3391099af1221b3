// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/slipway-dev/slipway/test/region"
)

// table prints the life of each instance, and fails if one was wrong.
func table(verdicts []region.Verdict) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "INSTANCE\tLAUNCHED\tFIRST PAGE\tAFTER\tIN SERVICE\tAFTER\tENDED\tLAST PAGE\tVERDICT")
	wrong := 0
	for _, v := range verdicts {
		verdict := "right"
		if len(v.Wrong) > 0 {
			wrong++
			verdict = "WRONG: " + strings.Join(v.Wrong, "; ")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", v.Instance, clock(v.Launched), or(v.First), since(v.Launched, v.Answered),
			or(v.When), since(v.Launched, v.InService), clock(v.Ended), or(v.Last), verdict)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d instances served what they should not have", wrong, len(verdicts))
	}
	return nil
}

func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format("15:04:05")
}

func since(from, to time.Time) string {
	if to.IsZero() {
		return "-"
	}
	return fmt.Sprintf("%.1f s", to.Sub(from).Seconds())
}

func or(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
