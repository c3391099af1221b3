// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package instances

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// cloudInitErrors reads cloud-init's result.json: its datasource and what went wrong.
func cloudInitErrors(text []byte) error {
	var result struct {
		V1 struct {
			Datasource string   `json:"datasource"`
			Errors     []string `json:"errors"`
		} `json:"v1"`
	}
	if err := json.Unmarshal(text, &result); err != nil {
		return fmt.Errorf("read cloud-init's result: %w", err)
	}
	if len(result.V1.Errors) > 0 {
		return errors.New("cloud-init: " + strings.Join(result.V1.Errors, "; "))
	}
	if !strings.Contains(result.V1.Datasource, "Ec2") {
		return fmt.Errorf("cloud-init found no metadata service: its datasource is %q", result.V1.Datasource)
	}
	return nil
}
