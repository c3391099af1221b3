// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package hosts makes hosts for tests and demonstrations on one Linux machine: each has a network namespace with an
// address of its own, private /var/www, /srv, /home, /tmp and /run, a user "deploy", and a real sshd. It needs root,
// sshd, rsync, iproute2 and util-linux.
package hosts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Options of a Fleet.
type Options struct {
	// Dir keeps everything of the fleet. Required.
	Dir string
	// Names of the hosts. Default: web-1, web-2 … up to Count.
	Names []string
	Count int
	// Disk limits /var/www of each host, such as "16m". Default: the machine's disk.
	Disk string
	// Docroot is served over HTTP on port 80 of each host by Server, a program with a command
	// "serve --listen ADDRESS --docroot DIR". Default: no HTTP.
	Docroot string
	Server  string
	// SSHD are further lines for each sshd_config.
	SSHD []string
	// Busybox gives the hosts busybox's sh and tools instead of the machine's own.
	Busybox bool
	// Tools are programs in /usr/local/bin of each host, by name. A text "-> PATH" makes a link.
	Tools map[string]string
	// Shell of the user deploy. Default /bin/sh.
	Shell string
}

// bridgeName and a number name the bridge of a fleet.
const bridgeName = "slwhost"

// Fleet is a set of hosts on one bridge.
type Fleet struct {
	// Hosts in the order of their names.
	Hosts []*Host `json:"hosts"`
	// Bridge is the network's device, Gateway this machine's address on it: what hosts reach this machine by.
	Bridge  string `json:"bridge"`
	Gateway string `json:"gateway"`
	// PrivateKey is the path of the key that opens user deploy on each host; KnownHosts that of their host keys.
	PrivateKey string `json:"privateKey"`
	KnownHosts string `json:"knownHosts"`

	options Options
}

// Available says what is missing to make hosts on this machine, or nil.
func Available() error {
	if os.Geteuid() != 0 {
		return errors.New("hosts in namespaces need root")
	}
	for _, tool := range []string{"ip", "unshare", "nsenter", "ssh", "ssh-keygen", "rsync", "flock", "mount", "/usr/sbin/sshd"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("hosts in namespaces need %s: apt-get install openssh-server openssh-client rsync iproute2 util-linux", tool)
		}
	}
	return nil
}

// Start makes the hosts and returns when each accepts connections.
func Start(ctx context.Context, options Options) (*Fleet, error) {
	if err := Available(); err != nil {
		return nil, err
	}
	if len(options.Names) == 0 {
		for i := 1; i <= max(options.Count, 1); i++ {
			options.Names = append(options.Names, fmt.Sprintf("web-%d", i))
		}
	}
	if options.Shell == "" {
		options.Shell = "/bin/sh"
	}
	dir, err := filepath.Abs(options.Dir)
	if err != nil {
		return nil, err
	}
	options.Dir = dir
	f := &Fleet{options: options, PrivateKey: filepath.Join(dir, "id"), KnownHosts: filepath.Join(dir, "known_hosts")}
	if err := f.start(ctx); err != nil {
		return nil, errors.Join(err, f.Stop())
	}
	return f, nil
}

func (f *Fleet) start(ctx context.Context) error {
	if err := os.MkdirAll(f.options.Dir, 0o755); err != nil {
		return err
	}
	if err := makeKey(f.PrivateKey); err != nil {
		return err
	}
	network, err := f.bridge()
	if err != nil {
		return err
	}
	for i, name := range f.options.Names {
		h := &Host{Name: name, Address: fmt.Sprintf("%s.%d", network, 11+i), Port: 22, Dir: filepath.Join(f.options.Dir, name), fleet: f, index: i}
		f.Hosts = append(f.Hosts, h)
		if err := h.prepare(); err != nil {
			return fmt.Errorf("prepare host %s: %w", name, err)
		}
		if err := h.Boot(ctx); err != nil {
			return fmt.Errorf("start host %s: %w", name, err)
		}
	}
	return os.WriteFile(f.KnownHosts, []byte(f.KnownHostsText()), 0o644)
}

// bridge makes a bridge with a free network 10.213.X.0/24.
func (f *Fleet) bridge() (network string, err error) {
	for x := 1; x < 250; x++ {
		name := fmt.Sprintf("%s%d", bridgeName, x)
		if _, err := net.InterfaceByName(name); err == nil {
			continue
		}
		if err := run("ip", "link", "add", name, "type", "bridge"); err != nil {
			continue // taken in between
		}
		f.Bridge, network = name, fmt.Sprintf("10.213.%d", x)
		f.Gateway = network + ".1"
		return network, errors.Join(run("ip", "address", "add", f.Gateway+"/24", "dev", name), run("ip", "link", "set", name, "up"))
	}
	return "", errors.New("all bridges slwhost1 to slwhost249 are taken")
}

// Host by name, or nil.
func (f *Fleet) Host(name string) *Host {
	for _, h := range f.Hosts {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// KnownHostsText lists the hosts' keys by name and by address.
func (f *Fleet) KnownHostsText() string {
	var text strings.Builder
	for _, h := range f.Hosts {
		fmt.Fprintf(&text, "%s,%s %s\n", h.Name, h.Address, h.HostKey())
	}
	return text.String()
}

// Stop ends the hosts and removes their network. Their files stay.
func (f *Fleet) Stop() error {
	var errs []error
	for _, h := range f.Hosts {
		errs = append(errs, h.Kill())
	}
	if f.Bridge != "" {
		errs = append(errs, run("ip", "link", "delete", f.Bridge))
	}
	return errors.Join(errs...)
}

// run runs a program and returns what it complained of.
func run(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// makeKey makes an ed25519 key unless there is one.
func makeKey(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	return run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", filepath.Base(path), "-f", path)
}

// until waits for a condition.
func until(ctx context.Context, limit time.Duration, condition func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
	return true
}
