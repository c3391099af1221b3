// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

// Difference is what separates one manifest from another. Directories do not count.
type Difference struct {
	// Added, Changed and Deleted are counts.
	Added, Changed, Deleted int64
	// Bytes of the files that were added or changed.
	Bytes int64
	// AddedPaths, ChangedPaths and DeletedPaths are the first of each, in the order of their names.
	AddedPaths, ChangedPaths, DeletedPaths []string
}

// Compare says what separates to from from, and names at most limit paths of each sort. Both are sorted by path.
func Compare(from, to Manifest, limit int) Difference {
	var d Difference
	note := func(list *[]string, count *int64, path string) {
		*count++
		if len(*list) < limit {
			*list = append(*list, path)
		}
	}
	before := make(map[string]*Entry, len(from))
	for i := range from {
		if from[i].Kind != Dir {
			before[from[i].Path] = &from[i]
		}
	}
	there := make(map[string]bool, len(to))
	for i := range to {
		entry := &to[i]
		if entry.Kind == Dir {
			continue
		}
		there[entry.Path] = true
		switch was := before[entry.Path]; {
		case was == nil:
			note(&d.AddedPaths, &d.Added, entry.Path)
			d.Bytes += entry.Size
		case *was != *entry:
			note(&d.ChangedPaths, &d.Changed, entry.Path)
			d.Bytes += entry.Size
		}
	}
	for i := range from {
		if from[i].Kind != Dir && !there[from[i].Path] {
			note(&d.DeletedPaths, &d.Deleted, from[i].Path)
		}
	}
	return d
}
