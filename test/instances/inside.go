// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package instances

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// listenInside opens a listener in the network namespace of a process. Its thread comes back: ending it would end the processes
// that it started and that are to end with their parent (Pdeathsig), whoever they belong to.
func listenInside(pid int, address string) (listener net.Listener, err error) {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	defer home.Close()
	defer func() {
		if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
			panic("a thread can't come back from a network namespace: " + back.Error()) // whatever ran on it next would be elsewhere
		}
		runtime.UnlockOSThread()
	}()
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, err
	}
	defer namespace.Close()
	if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("enter the network of process %d: %w", pid, err)
	}
	return net.Listen("tcp", address)
}

// console opens a terminal: an instance's end of it, and this machine's, where what the instance prints comes out.
func console() (instance, machine *os.File, err error) {
	machine, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			_ = machine.Close()
		}
	}()
	raw, err := machine.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	var number int
	var failed error
	err = raw.Control(func(fd uintptr) {
		if failed = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); failed == nil {
			number, failed = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, nil, err
	}
	instance, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	return instance, machine, err
}

// record writes down what comes out of a console until its instance has ended. While no process has the other end open, as when
// systemd makes it afresh, reading fails.
func record(log io.Writer, machine io.Reader, ended <-chan struct{}) {
	for {
		_, _ = io.Copy(log, machine)
		select {
		case <-ended:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}
