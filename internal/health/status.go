// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// codes of HTTP responses, both ends included.
type codes struct{ low, high int }

// parseStatus reads a StatusRange such as "204" or "200-399".
func parseStatus(text v1alpha1.StatusRange) (codes, error) {
	first, last, isRange := strings.Cut(string(text), "-")
	if !isRange {
		last = first
	}
	low, err := parseCode(first)
	if err != nil {
		return codes{}, err
	}
	high, err := parseCode(last)
	if err != nil {
		return codes{}, err
	}
	if low > high {
		return codes{}, fmt.Errorf("%q is an empty range: the lower code comes first", string(text))
	}
	return codes{low, high}, nil
}

func parseCode(text string) (int, error) {
	code, err := strconv.ParseUint(text, 10, 16)
	if err != nil || len(text) != 3 || code < 100 || code > 599 {
		return 0, fmt.Errorf("%q is no code of an HTTP response: those go from 100 to 599", text)
	}
	return int(code), nil
}

// statuses are the codes that a check takes for well.
func statuses(check *v1alpha1.HTTPCheck) []v1alpha1.StatusRange {
	if len(check.Status) == 0 {
		return []v1alpha1.StatusRange{"200-399"}
	}
	return check.Status
}

// WantsStatus says whether a response's code is well.
func WantsStatus(check *v1alpha1.HTTPCheck, code int) bool {
	for _, text := range statuses(check) {
		if wanted, err := parseStatus(text); err == nil && wanted.low <= code && code <= wanted.high {
			return true
		}
	}
	return false
}

// wanted lists the codes for people.
func wanted(check *v1alpha1.HTTPCheck) string {
	var list []string
	for _, text := range statuses(check) {
		list = append(list, string(text))
	}
	return strings.Join(list, ", ")
}
