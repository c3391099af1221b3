// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// reasonHere stands in a command where a reason has to be; the script puts in what is typed. An empty one is left out by who has none.
const reasonHere = "…"

// patchCommand makes the same change with kubectl. how is the kind of patch: merge or json. Whatever people wrote is JSON in single
// quotes: no shell reads it.
func patchCommand(namespace, kind, name, how string, patch any) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(patch) != nil { // maps of strings can be encoded
		return ""
	}
	quoted := strings.ReplaceAll(strings.TrimSpace(out.String()), "'", `'\''`)
	return fmt.Sprintf("kubectl -n %s patch %s %s --type %s -p '%s'", namespace, kind, name, how, quoted)
}

// object is one of JSON.
type object map[string]any
