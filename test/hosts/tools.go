// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package hosts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// busybox fills a directory with links to busybox under the names of its tools.
func busybox(bin string) error {
	program, err := exec.LookPath("busybox")
	if err != nil {
		return fmt.Errorf("busybox is missing (apt-get install busybox-static): %w", err)
	}
	names, err := exec.Command(program, "--list").Output()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	for _, name := range strings.Fields(string(names)) {
		if err := os.Symlink(program, filepath.Join(bin, name)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// tools fills a directory with programs.
func tools(bin string, programs map[string]string) error {
	for name, text := range programs {
		if err := os.MkdirAll(bin, 0o755); err != nil {
			return err
		}
		file := filepath.Join(bin, name)
		var err error
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(target, file)
		} else {
			err = os.WriteFile(file, []byte(text), 0o755)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func copyProgram(from, to string) error {
	program, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, program, 0o755)
}
