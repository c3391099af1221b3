// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package hosts

import (
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Listen opens a listener on the host, such as at 127.0.0.1:8080, that this process serves.
func (h *Host) Listen(address string) (listener net.Listener, err error) {
	// The thread comes back: ending it would end the processes that it started and that are to end with their parent.
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	defer home.Close()
	defer func() {
		if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
			panic("a thread can't come back from a host's network: " + back.Error()) // whatever ran on it next would be elsewhere
		}
		runtime.UnlockOSThread()
	}()
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", h.PID))
	if err != nil {
		return nil, err
	}
	defer namespace.Close()
	if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("enter the network of host %s: %w", h.Name, err)
	}
	return net.Listen("tcp", address)
}
