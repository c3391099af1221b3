// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package confine runs a program that reaches one directory only, by Landlock, where the kernel has it.
package confine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/landlock-lsm/go-landlock/landlock"
	"github.com/spf13/cobra"
)

// name of the hidden subcommand that confines itself and then becomes the program.
const name = "confined"

// Wrap returns the command line that runs argv confined to dir by the program at self.
func Wrap(self string) func(dir string, writable bool, argv []string) []string {
	return func(dir string, writable bool, argv []string) []string {
		mode := "ro"
		if writable {
			mode = "rw"
		}
		return append([]string{self, name, mode, dir, "--"}, argv...)
	}
}

// NewCommand is the hidden subcommand.
func NewCommand() *cobra.Command {
	return &cobra.Command{
		Use: name + " ro|rw DIR -- PROGRAM...", Hidden: true, Args: cobra.MinimumNArgs(3), DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) < 4 || args[2] != "--" {
				return errors.New("usage: confined ro|rw DIR -- PROGRAM [ARGUMENT]")
			}
			return run(args[0] == "rw", args[1], args[3:])
		},
	}
}

// run confines this process and becomes the program.
func run(writable bool, dir string, argv []string) error {
	program, err := exec.LookPath(argv[0])
	if err != nil {
		return fmt.Errorf("find %s: %w", argv[0], err)
	}
	system := []string{}
	for _, path := range []string{"/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/nsswitch.conf", "/etc/passwd", "/etc/group", "/etc/localtime", program} {
		if _, err := os.Stat(path); err == nil {
			system = append(system, path)
		}
	}
	var rules []landlock.Rule
	for _, path := range system {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			rules = append(rules, landlock.RODirs(path))
		} else {
			rules = append(rules, landlock.ROFiles(path))
		}
	}
	rules = append(rules, landlock.RWFiles("/dev/null"))
	if writable {
		rules = append(rules, landlock.RWDirs(dir))
	} else {
		rules = append(rules, landlock.RODirs(dir))
	}
	// Best effort: a kernel without Landlock serves as before; the closed argument list holds there alone.
	if err := landlock.V5.BestEffort().RestrictPaths(rules...); err != nil {
		return fmt.Errorf("confine to %s: %w", dir, err)
	}
	return syscall.Exec(program, argv, os.Environ())
}
