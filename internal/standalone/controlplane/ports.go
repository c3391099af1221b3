// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// ports are picked once and kept, so that kubeconfigs in people's hands go on working.
type ports struct {
	API               int `json:"api"`
	Etcd              int `json:"etcd"`
	EtcdPeer          int `json:"etcdPeer"`
	ControllerManager int `json:"controllerManager"`
}

// loadPorts reads the kept ports and replaces those that somebody else has taken meanwhile.
func loadPorts(dir, bind string) (ports, error) {
	var p ports
	file := filepath.Join(dir, "ports.json")
	content, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(content, &p)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return p, fmt.Errorf("read %s: %w", file, err)
	}
	taken := map[int]bool{}
	for _, slot := range []struct {
		port *int
		host string
	}{{&p.API, bind}, {&p.Etcd, "127.0.0.1"}, {&p.EtcdPeer, "127.0.0.1"}, {&p.ControllerManager, "127.0.0.1"}} {
		for *slot.port == 0 || taken[*slot.port] || !Free(slot.host, *slot.port) {
			if *slot.port, err = PickPort(slot.host); err != nil {
				return p, err
			}
		}
		taken[*slot.port] = true
	}
	if content, err = json.Marshal(p); err != nil {
		return p, err
	}
	return p, WriteFile(file, content, 0o644)
}

// Free says whether a TCP port can be listened on.
func Free(host string, port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return false
	}
	_ = l.Close()
	return true
}

// PickPort returns a free TCP port.
func PickPort(host string) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return 0, fmt.Errorf("find a free port on %s: %w", host, err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
