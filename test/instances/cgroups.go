// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package instances

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// mountCgroups mounts the kernel's tree of cgroups of version 2, of which systemd in an instance needs a branch. No path leads to
// the mount but the file's descriptor, with which it goes: what the machine has mounted, and where, does not matter.
func mountCgroups() (*os.File, error) {
	handle, err := unix.Fsopen("cgroup2", unix.FSOPEN_CLOEXEC)
	if err == nil {
		defer func() { _ = unix.Close(handle) }()
		err = unix.FsconfigCreate(handle)
	}
	mount := -1
	if err == nil {
		mount, err = unix.Fsmount(handle, unix.FSMOUNT_CLOEXEC, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("instances in namespaces need cgroups of version 2, which this kernel does not give: %w", err)
	}
	return os.NewFile(uintptr(mount), "cgroup2"), nil
}

// inside is the path of a file below an open directory.
func inside(dir *os.File, name string) string {
	return filepath.Join(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()), name)
}

// removeGroups removes a cgroup and all below it, from below. A process that has ended may hold its group for a moment more.
func removeGroups(top string) error {
	var dirs []string
	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	for n := len(dirs) - 1; n >= 0; n-- {
		var busy error
		until(context.Background(), 10*time.Second, func() bool {
			busy = os.Remove(dirs[n])
			return !errors.Is(busy, unix.EBUSY)
		})
		err = errors.Join(err, busy)
	}
	return err
}

// Remove removes what a Subnet leaves whose process was killed: its bridge and its instances' cgroups. The instances have ended with
// that process.
func Remove(bridge string) error {
	if !strings.HasPrefix(bridge, bridgeName) {
		return fmt.Errorf("%q is no bridge of a subnet of instances", bridge)
	}
	groups, err := mountCgroups()
	if err != nil {
		return err
	}
	defer groups.Close()
	left, err := filepath.Glob(inside(groups, bridge+"-*"))
	for _, group := range left {
		err = errors.Join(err, removeGroups(group))
	}
	if _, missing := net.InterfaceByName(bridge); missing == nil {
		err = errors.Join(err, run("ip", "link", "delete", bridge))
	}
	return err
}
