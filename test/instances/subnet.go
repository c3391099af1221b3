// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

// Package instances makes EC2 instances for tests and demonstrations on one Linux machine. Each is a Debian of its own, booted
// by systemd in namespaces of its own, on a disk that outlives reboots; cloud-init sets it up from a metadata service at
// 169.254.169.254. It needs root, mmdebstrap, iproute2 and util-linux.
package instances

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options of a Subnet.
type Options struct {
	// Dir keeps everything: disks, consoles. Required.
	Dir string
	// Metadata serves an instance's metadata at a listener, which it closes when it is closed. Default: there is none.
	Metadata func(listener net.Listener, instanceID string) (io.Closer, error)
}

// Subnet is a network of instances that this machine is the gateway of.
type Subnet struct {
	// Bridge is the network's device, Gateway this machine's address on it: what instances reach this machine by.
	Bridge  string
	Gateway string

	options Options
	network string
	groups  *os.File

	mu        sync.Mutex
	instances map[string]*Instance
	last      int
}

// bridgeName and a number name the bridge of a subnet.
const bridgeName = "slwec2"

// Available says what is missing to make instances on this machine, or nil.
func Available() error {
	if os.Geteuid() != 0 {
		return errors.New("instances in namespaces need root")
	}
	for _, tool := range []string{"ip", "iptables", "nsenter", "mount", "pivot_root", "setpriv", "mmdebstrap"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("instances in namespaces need %s: apt-get install iproute2 iptables util-linux mmdebstrap", tool)
		}
	}
	groups, err := mountCgroups()
	if err != nil {
		return err
	}
	return groups.Close()
}

// NewSubnet makes a bridge with a free network 10.214.X.0/24. Close ends it.
func NewSubnet(options Options) (*Subnet, error) {
	if err := Available(); err != nil {
		return nil, err
	}
	var err error
	s := &Subnet{options: options, instances: map[string]*Instance{}, last: 10}
	if s.options.Dir, err = filepath.Abs(options.Dir); err != nil {
		return nil, err
	}
	for x := 1; x < 250; x++ {
		name := fmt.Sprintf("%s%d", bridgeName, x)
		if _, err := net.InterfaceByName(name); err == nil {
			continue
		}
		if err := run("ip", "link", "add", name, "type", "bridge"); err != nil {
			continue // taken in between
		}
		s.Bridge, s.network = name, fmt.Sprintf("10.214.%d", x)
		s.Gateway = s.network + ".1"
		if s.groups, err = mountCgroups(); err != nil {
			return nil, errors.Join(err, run("ip", "link", "delete", name))
		}
		return s, errors.Join(run("ip", "address", "add", s.Gateway+"/24", "dev", name), run("ip", "link", "set", name, "up"))
	}
	return nil, fmt.Errorf("all bridges %s1 to %s249 are taken", bridgeName, bridgeName)
}

// Address is one that no instance has had yet.
func (s *Subnet) Address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	return fmt.Sprintf("%s.%d", s.network, s.last)
}

// Launch makes an instance with an empty disk on top of an image, and boots it.
func (s *Subnet) Launch(ctx context.Context, image *Image, id, address string) (*Instance, error) {
	i := &Instance{ID: id, Address: address, Dir: filepath.Join(s.options.Dir, id), subnet: s, image: image}
	s.mu.Lock()
	_, taken := s.instances[id]
	if !taken {
		s.instances[id] = i
	}
	s.mu.Unlock()
	if taken {
		return nil, fmt.Errorf("there is an instance %s already", id)
	}
	for _, dir := range []string{"disk", "work", "root"} {
		if err := os.MkdirAll(filepath.Join(i.Dir, dir), 0o755); err != nil {
			return nil, err
		}
	}
	uuid, err := os.ReadFile("/proc/sys/kernel/random/uuid")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(i.Dir, "uuid"), uuid, 0o644); err != nil {
		return nil, err
	}
	return i, i.Boot(ctx)
}

// Instance by id, or nil.
func (s *Subnet) Instance(id string) *Instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.instances[id]
}

// Close ends all instances and removes the network. Consoles stay.
func (s *Subnet) Close() error {
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.instances))
	s.mu.Unlock()
	var errs []error
	for _, i := range all {
		errs = append(errs, i.Terminate())
	}
	return errors.Join(append(errs, run("ip", "link", "delete", s.Bridge), s.groups.Close())...)
}

// run runs a program and returns what it complained of.
func run(name string, args ...string) error { return feed("", name, args...) }

// feed runs a program with a text to read.
func feed(text, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// until waits for a condition.
func until(ctx context.Context, limit time.Duration, condition func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
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
