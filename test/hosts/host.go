// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package hosts

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

//go:embed host.sh
var hostScript string

// UID of the user deploy on every host.
const UID = 3001

// Host is one host. Its /var/www is the directory www below Dir, and so on.
type Host struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Port    int    `json:"port"`
	// Dir holds the host's private directories: www (/var/www), srv, home, tmp, run.
	Dir string `json:"dir"`
	// PID of the process that holds the host's namespaces; 0 while it is off.
	PID int `json:"pid"`

	fleet   *Fleet
	index   int
	process *exec.Cmd
	ended   chan struct{}
	// life closes with this process, however it ends, and the host ends with it.
	life *os.File
}

// prepare lays out the host's directories.
func (h *Host) prepare() error {
	o := &h.fleet.options
	config := filepath.Join(h.Dir, "run", "host")
	for _, dir := range []string{"www", "srv", "home/deploy", "tmp", "run/sshd", "run/host"} {
		if err := os.MkdirAll(filepath.Join(h.Dir, dir), 0o755); err != nil {
			return err
		}
	}
	user := fmt.Sprintf("deploy:x:%d:%d::/home/deploy:%s\n", UID, UID, o.Shell)
	account := map[string]string{"passwd": user, "group": fmt.Sprintf("deploy:x:%d:\n", UID), "shadow": "deploy:*:19000::::::\n"}
	for name, line := range account {
		text, err := os.ReadFile(filepath.Join("/etc", name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(h.Dir, name), append(text, line...), 0o644); err != nil {
			return err
		}
	}
	authorized, err := os.ReadFile(h.fleet.PrivateKey + ".pub")
	if err != nil {
		return err
	}
	sshd := strings.Join(append([]string{
		"Port 22", "HostKey /run/host/key", "AuthorizedKeysFile /run/host/authorized_keys", "StrictModes no", "UsePAM no",
		"PasswordAuthentication no", "KbdInteractiveAuthentication no", "UseDNS no", "PidFile none", "MaxStartups 100",
		"PermitRootLogin prohibit-password",
	}, o.SSHD...), "\n") + "\n"
	files := map[string]string{"sshd_config": sshd, "authorized_keys": string(authorized), "docroot": o.Docroot}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(config, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if o.Busybox {
		if err := busybox(filepath.Join(config, "bin")); err != nil {
			return err
		}
	}
	if err := tools(filepath.Join(config, "bin"), o.Tools); err != nil {
		return err
	}
	if o.Docroot != "" {
		if err := copyProgram(o.Server, filepath.Join(config, "serve")); err != nil {
			return err
		}
	}
	if err := makeKey(filepath.Join(config, "key")); err != nil {
		return err
	}
	if err := h.moreKeys(config); err != nil {
		return err
	}
	for _, dir := range []string{"www", "srv", "home/deploy"} {
		if err := os.Chown(filepath.Join(h.Dir, dir), UID, UID); err != nil {
			return err
		}
	}
	return os.Chmod(filepath.Join(h.Dir, "tmp"), 0o777|fs.ModeSticky)
}

// moreKeys makes an RSA host key and a certificate of the first host key, for sshd_config lines that name them.
func (h *Host) moreKeys(config string) error {
	rsa, ca, key := filepath.Join(config, "rsa"), filepath.Join(config, "ca"), filepath.Join(config, "key")
	if _, err := os.Stat(key + "-cert.pub"); err == nil {
		return nil
	}
	return errors.Join(
		run("ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", rsa),
		makeKey(ca),
		run("ssh-keygen", "-q", "-s", ca, "-h", "-I", h.Name, "-n", h.Name+","+h.Address, key+".pub"))
}

// Boot starts the host, at first or after Kill: its files are what they were.
func (h *Host) Boot(ctx context.Context) error {
	outside := h.link()
	h.process = exec.Command("unshare", "--net", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
		"sh", "-c", hostScript, "host", h.Dir, h.Name, h.Address+"/24", h.fleet.Gateway, h.fleet.options.Disk)
	h.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	log, err := os.Create(filepath.Join(h.Dir, "boot.log"))
	if err != nil {
		return err
	}
	h.process.Stdout, h.process.Stderr = log, log
	watched, life, err := os.Pipe()
	if err != nil {
		return err
	}
	h.life = life
	h.process.ExtraFiles = []*os.File{watched}
	err = h.process.Start()
	_, _ = log.Close(), watched.Close()
	if err != nil {
		return err
	}
	h.PID = h.process.Process.Pid
	h.ended = make(chan struct{})
	go func(process *exec.Cmd, ended chan struct{}) {
		_ = process.Wait()
		close(ended)
	}(h.process, h.ended)
	if !until(ctx, 10*time.Second, h.separated) {
		return errors.New("the namespaces did not come about: " + h.log())
	}
	pid := strconv.Itoa(h.PID)
	err = errors.Join(
		run("ip", "link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", pid),
		run("ip", "link", "set", outside, "master", h.fleet.Bridge, "up"))
	if err != nil {
		return err
	}
	// After a boot the address has another Ethernet address, which this machine would learn late.
	_ = run("ip", "neighbour", "flush", "to", h.Address, "dev", h.fleet.Bridge)
	if !until(ctx, 20*time.Second, h.answers) {
		return errors.New("sshd does not answer: " + h.log())
	}
	return nil
}

// link is the name of this machine's end of the host's cable.
func (h *Host) link() string {
	return fmt.Sprintf("slw%sv%d", strings.TrimPrefix(h.fleet.Bridge, bridgeName), h.index)
}

// separated says whether the host has a network of its own by now.
func (h *Host) separated() bool {
	mine, err1 := os.Readlink("/proc/self/ns/net")
	its, err2 := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", h.PID))
	return err1 == nil && err2 == nil && mine != its
}

func (h *Host) answers() bool {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(h.Address, strconv.Itoa(h.Port)), time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

func (h *Host) log() string {
	boot, _ := os.ReadFile(filepath.Join(h.Dir, "boot.log"))
	sshd, _ := os.ReadFile(filepath.Join(h.Dir, "run/host/sshd.log"))
	return strings.TrimSpace(string(boot) + string(sshd))
}

// Kill ends the host as a power cut does. Its files stay.
func (h *Host) Kill() error {
	if h.PID == 0 {
		return nil
	}
	pid := h.PID
	h.PID = 0
	_ = h.signal(pid, syscall.SIGCONT)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("end host %s: %w", h.Name, err)
	}
	if h.ended != nil {
		<-h.ended
		_ = h.life.Close()
	}
	// The kernel takes its time to remove a network namespace, and the cable with it.
	if _, err := net.InterfaceByName(h.link()); err == nil {
		_ = run("ip", "link", "delete", h.link())
	}
	return nil
}

// Freeze stops all that runs on the host: it still answers at the network's level, and no further. Thaw continues it.
func (h *Host) Freeze() error { return h.signal(h.PID, syscall.SIGSTOP) }

// Thaw continues a frozen host.
func (h *Host) Thaw() error { return h.signal(h.PID, syscall.SIGCONT) }

// signal reaches every process of the host.
func (h *Host) signal(holder int, signal syscall.Signal) error {
	space, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid_for_children", holder))
	if err != nil {
		return err
	}
	entries, err := filepath.Glob("/proc/[0-9]*/ns/pid")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if own, err := os.Readlink(entry); err != nil || own != space {
			continue
		}
		if pid, err := strconv.Atoi(strings.Split(entry, "/")[2]); err == nil {
			_ = syscall.Kill(pid, signal)
		}
	}
	return nil
}

// HostKey is the public key of the host's sshd in authorized_keys format.
func (h *Host) HostKey() string {
	text, _ := os.ReadFile(filepath.Join(h.Dir, "run/host/key.pub"))
	return strings.TrimSpace(string(text))
}

// Command prepares a command that runs on the host as root, past sshd.
func (h *Host) Command(ctx context.Context, args ...string) *exec.Cmd {
	// The holder's child is the first process in the host's PID namespace: it has all of them.
	child, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", h.PID, h.PID))
	return exec.CommandContext(ctx, "nsenter", append([]string{"--target", strings.TrimSpace(string(child)), "--all", "--"}, args...)...)
}

// Shell runs a shell script on the host as user deploy (or as root) and returns what it printed.
func (h *Host) Shell(ctx context.Context, user, script string) (string, error) {
	args := []string{"sh", "-c", script}
	if user != "root" {
		args = append([]string{"/usr/bin/setpriv", "--reuid", user, "--regid", user, "--init-groups", "--"}, args...)
	}
	out, err := h.Command(ctx, args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("on %s: %w: %s", h.Name, err, out)
	}
	return string(out), nil
}

// Path is where a path of the host lies on this machine: only for what lies in /var/www, /srv, /home, /tmp and /run,
// and not for /var/www of a host with a disk of its own.
func (h *Host) Path(path string) string {
	for _, pair := range [][2]string{{"/var/www", "www"}, {"/srv", "srv"}, {"/home", "home"}, {"/tmp", "tmp"}, {"/run", "run"}} {
		if path == pair[0] || strings.HasPrefix(path, pair[0]+"/") {
			return filepath.Join(h.Dir, pair[1], strings.TrimPrefix(path, pair[0]))
		}
	}
	return ""
}
