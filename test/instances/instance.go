// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package instances

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

//go:embed boot.sh
var bootScript string

// Instance is one instance. Its disk is kept from boot to boot, until Terminate.
type Instance struct {
	ID      string
	Address string
	// Dir holds the instance's disk and the file console: what it printed since it was launched.
	Dir string

	subnet *Subnet
	image  *Image

	// mu guards power: one boot or stop at a time.
	mu sync.Mutex
	on *power
}

// power is an instance from boot to stop.
type power struct {
	pid      int
	ended    chan struct{}
	console  *os.File
	copied   chan struct{}
	metadata io.Closer
}

// metadataAddress is where every instance finds its metadata service. It listens at metadataListener: its real address and port
// would keep an instance's web server from listening at port 80 of all addresses.
const (
	metadataAddress  = "169.254.169.254"
	metadataPort     = "8775"
	metadataListener = "127.0.0.1:" + metadataPort
)

func (i *Instance) disk() string { return filepath.Join(i.Dir, "disk") }

// Console is the file of what the instance printed on its console, cloud-init's words included, since it was launched.
func (i *Instance) Console() string { return filepath.Join(i.Dir, "console") }

// PID is the machine's id of the instance's first process; 0 while it is off.
func (i *Instance) PID() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.on == nil {
		return 0
	}
	return i.on.pid
}

// Boot starts an instance that is off. It returns once systemd has been started: Ready waits for more.
func (i *Instance) Boot(ctx context.Context) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.on != nil {
		return fmt.Errorf("instance %s is on", i.ID)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := i.boot(); err != nil {
		return errors.Join(fmt.Errorf("boot instance %s: %w", i.ID, err), i.stop())
	}
	return nil
}

func (i *Instance) boot() error {
	log, err := os.OpenFile(i.Console(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	terminal, machine, err := console()
	if err != nil {
		return errors.Join(err, log.Close())
	}
	wait, proceed, err := os.Pipe()
	if err != nil {
		return errors.Join(err, log.Close(), terminal.Close(), machine.Close())
	}
	defer proceed.Close()
	i.on = &power{ended: make(chan struct{}), console: machine, copied: make(chan struct{})}
	go func(on *power) {
		defer close(on.copied)
		record(log, machine, on.ended)
		_ = log.Close()
	}(i.on)
	err = i.start(terminal, wait)
	_, _ = terminal.Close(), wait.Close()
	if err != nil {
		close(i.on.ended)
		return err
	}
	if err := i.connect(); err != nil {
		return err
	}
	return i.serveMetadata()
}

// start starts the first process, which ends with this one, however this one ends.
func (i *Instance) start(terminal, wait *os.File) error {
	if err := os.Mkdir(i.group(), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	group, err := os.Open(i.group())
	if err != nil {
		return err
	}
	defer group.Close()
	cmd := exec.Command("sh", "-c", bootScript, "boot", i.Dir, i.image.lowerdir(), i.ID)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=dumb"}
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = terminal, terminal, terminal, []*os.File{wait}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		// The namespace's root is the cgroup that its maker is in: the process enters it first.
		Unshareflags: unix.CLONE_NEWCGROUP, UseCgroupFD: true, CgroupFD: int(group.Fd()),
		Setsid: true, Pdeathsig: syscall.SIGKILL,
	}
	started := make(chan error)
	go func(on *power) {
		runtime.LockOSThread() // Pdeathsig comes when this thread ends: not before the process has
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			on.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(on.ended)
		}
	}(i.on)
	return <-started
}

// connect gives the instance its network.
func (i *Instance) connect() error {
	pid := strconv.Itoa(i.on.pid)
	inside := strings.Join([]string{
		"link set lo up", "link set eth0 address " + mac(i.Address) + " up", "address add " + i.Address + "/24 dev eth0", "route add default via " + i.subnet.Gateway,
	}, "\n")
	for _, step := range []func() error{
		func() error {
			return run("ip", "link", "add", i.link(), "type", "veth", "peer", "name", "eth0", "netns", pid)
		},
		func() error { return run("ip", "link", "set", i.link(), "master", i.subnet.Bridge, "up") },
		func() error { return feed(inside, "nsenter", "--net", "--target", pid, "ip", "-batch", "-") },
		func() error {
			return run("nsenter", "--net", "--target", pid, "iptables", "-w", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-d", metadataAddress,
				"--dport", "80", "-j", "REDIRECT", "--to-ports", metadataPort)
		},
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (i *Instance) serveMetadata() error {
	if i.subnet.options.Metadata == nil {
		return nil
	}
	listener, err := listenInside(i.on.pid, metadataListener)
	if err != nil {
		return err
	}
	i.on.metadata, err = i.subnet.options.Metadata(listener, i.ID)
	return err
}

// group is the instance's cgroup.
func (i *Instance) group() string { return inside(i.subnet.groups, i.subnet.Bridge+"-"+i.ID) }

// link is the name of this machine's end of the instance's cable: at most 15 characters.
func (i *Instance) link() string {
	return fmt.Sprintf("%sv%s", i.subnet.Bridge, i.Address[strings.LastIndexByte(i.Address, '.')+1:])
}

// mac is the address that the metadata service tells of too.
func mac(address string) string {
	var a, b, c, d byte
	_, _ = fmt.Sscanf(address, "%d.%d.%d.%d", &a, &b, &c, &d)
	return fmt.Sprintf("0a:00:%02x:%02x:%02x:%02x", a, b, c, d)
}

// Stop ends the instance as a power cut does. Its disk stays.
func (i *Instance) Stop() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.stop()
}

func (i *Instance) stop() error {
	if i.on == nil {
		return nil
	}
	on := i.on
	i.on = nil
	var errs []error
	if on.pid != 0 {
		if err := syscall.Kill(on.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("end instance %s: %w", i.ID, err)
		}
	}
	<-on.ended // and with the first process all others
	<-on.copied
	errs = append(errs, on.console.Close())
	if on.metadata != nil {
		errs = append(errs, on.metadata.Close())
	}
	_ = run("ip", "link", "delete", i.link()) // the kernel may have removed it with the namespace
	return errors.Join(append(errs, removeGroups(i.group()))...)
}

// Shutdown ends the instance as "systemctl poweroff" does: units are stopped in their order.
func (i *Instance) Shutdown(ctx context.Context) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.on == nil {
		return nil
	}
	const poweroff = 34 + 4 // SIGRTMIN+4, by systemd(1)
	if err := syscall.Kill(i.on.pid, syscall.Signal(poweroff)); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	select {
	case <-i.on.ended:
	case <-time.After(30 * time.Second): // EC2 loses patience too
	case <-ctx.Done():
	}
	return i.stop()
}

// Reboot ends the instance in order and boots it again: the same disk, another boot id.
func (i *Instance) Reboot(ctx context.Context) error {
	if err := i.Shutdown(ctx); err != nil {
		return err
	}
	return i.Boot(ctx)
}

// Terminate ends the instance and removes its disk. The console stays.
func (i *Instance) Terminate() error {
	if err := i.Stop(); err != nil {
		return err
	}
	i.subnet.mu.Lock()
	delete(i.subnet.instances, i.ID)
	i.subnet.mu.Unlock()
	var errs []error
	for _, dir := range []string{"disk", "work", "root", "firmware", "devices"} {
		errs = append(errs, os.RemoveAll(filepath.Join(i.Dir, dir)))
	}
	return errors.Join(errs...)
}

// Path is where a path of a running instance lies on this machine.
func (i *Instance) Path(path string) string {
	return filepath.Join(fmt.Sprintf("/proc/%d/root", i.PID()), path)
}

// Ready waits until cloud-init has done all of its stages in this boot, and returns what went wrong in them.
func (i *Instance) Ready(ctx context.Context) error {
	result := i.Path("/run/cloud-init/result.json")
	if !until(ctx, 3*time.Minute, func() bool { _, err := os.Stat(result); return err == nil }) {
		return fmt.Errorf("cloud-init of instance %s did not finish: see %s", i.ID, i.Console())
	}
	text, err := os.ReadFile(result)
	if err != nil {
		return err
	}
	return cloudInitErrors(text)
}

// Command prepares a command that runs on the instance as root, past sshd.
func (i *Instance) Command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"--target", strconv.Itoa(i.PID()), "--all", "--"}, args...)...)
}

// Shell runs a shell script on the instance as root and returns what it printed.
func (i *Instance) Shell(ctx context.Context, script string) (string, error) {
	out, err := i.Command(ctx, "sh", "-c", script).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("on %s: %w: %s", i.ID, err, out)
	}
	return string(out), nil
}
