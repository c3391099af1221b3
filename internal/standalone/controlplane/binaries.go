// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// programs are what a control plane is made of.
var programs = []string{"etcd", "kube-apiserver", "kube-controller-manager"}

// FindBinaries returns the directory that holds etcd, kube-apiserver and kube-controller-manager: dir if it is given,
// else $KUBEBUILDER_ASSETS, else what hack/controlplane/build.sh has put into the user's cache.
func FindBinaries(dir string) (string, error) {
	candidates := []string{dir}
	if dir == "" {
		candidates = []string{os.Getenv("KUBEBUILDER_ASSETS")}
		if cache, err := os.UserCacheDir(); err == nil {
			candidates = append(candidates, filepath.Join(cache, "slipway", "controlplane", "current"))
		}
	}
	var missing []string
	for _, candidate := range candidates {
		if candidate == "" {
			continue
		}
		absent := absentFrom(candidate)
		if len(absent) == 0 {
			return candidate, nil
		}
		missing = append(missing, fmt.Sprintf("%s lacks %s", candidate, strings.Join(absent, ", ")))
	}
	return "", fmt.Errorf("no control plane binaries found (%s): run hack/controlplane/build.sh once, or name a directory with %s by --controlplane-dir or KUBEBUILDER_ASSETS",
		strings.Join(missing, "; "), strings.Join(programs, ", "))
}

func absentFrom(dir string) (absent []string) {
	for _, name := range programs {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			absent = append(absent, name)
		}
	}
	return absent
}
