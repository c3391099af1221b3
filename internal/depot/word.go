// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package depot

import (
	"cmp"
	"slices"

	"github.com/slipway-dev/slipway/api/v1alpha1"
)

// Host is the word on a host, or nil.
func (w *Word) Host(id string) *HostWord {
	i, found := slices.BinarySearchFunc(w.Hosts, id, func(h HostWord, id string) int { return cmp.Compare(h.ID, id) })
	if !found {
		return nil
	}
	return &w.Hosts[i]
}

// Record is the record of that digest and frozen spec, or nil.
func (w *Word) Record(digest, frozen string) *v1alpha1.ReleaseRecord {
	if w.Current != nil && w.Current.Digest == digest && w.Current.Frozen == frozen {
		return w.Current
	}
	for i := range w.Records {
		if w.Records[i].Digest == digest && w.Records[i].Frozen == frozen {
			return &w.Records[i]
		}
	}
	return nil
}
