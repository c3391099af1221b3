// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"k8s.io/client-go/rest"

	"github.com/slipway-dev/slipway/internal/standalone/controlplane"
)

// Ready is the content of the file ready.json in the state directory. The file is there only while all is ready.
type Ready struct {
	PID        int    `json:"pid"`
	Kubeconfig string `json:"kubeconfig"`
	DepotHost  string `json:"depotHost"`
	DepotPort  int    `json:"depotPort"`
	Node       string `json:"node"`
}

// DefaultDir is ~/.local/state/slipway, or below $XDG_STATE_HOME.
func DefaultDir() string {
	if state := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "slipway")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "slipway-state"
	}
	return filepath.Join(home, ".local", "state", "slipway")
}

// openState makes the state directory and locks it. The kernel gives the lock up when this process ends, however it ends.
func openState(dir string) (absolute string, unlock func(), err error) {
	if absolute, err = filepath.Abs(dir); err != nil {
		return "", nil, err
	}
	if err := os.MkdirAll(filepath.Join(absolute, "controlplane"), 0o700); err != nil {
		return "", nil, fmt.Errorf("make the state directory: %w", err)
	}
	if err := os.Chmod(absolute, 0o700); err != nil { // it holds keys
		return "", nil, err
	}
	lock, err := os.OpenFile(filepath.Join(absolute, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return "", nil, fmt.Errorf("another slipway standalone runs on %s: stop it, or name another directory with --dir", absolute)
	}
	readyFile := filepath.Join(absolute, "ready.json")
	if err := os.Remove(readyFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		_ = lock.Close()
		return "", nil, err
	}
	return absolute, func() {
		_ = os.Remove(readyFile)
		_ = lock.Close()
	}, nil
}

func writeKubeconfig(dir string, admin *rest.Config) (string, error) {
	content, err := controlplane.Kubeconfig(admin)
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "kubeconfig")
	return file, controlplane.WriteFile(file, content, 0o600)
}

func writeReady(dir, kubeconfig string, house House) error {
	content, err := json.Marshal(Ready{
		PID: os.Getpid(), Kubeconfig: kubeconfig, DepotHost: house.DepotAddress, DepotPort: house.DepotPort, Node: house.NodeName,
	})
	if err != nil {
		return err
	}
	return controlplane.WriteFile(filepath.Join(dir, "ready.json"), append(content, '\n'), 0o644)
}

// nodeName makes this machine's name one that a Node may have.
func nodeName() (string, error) {
	name, err := os.Hostname()
	if err != nil {
		return "", err
	}
	name = strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '.':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, name), "-.")
	if name == "" {
		name = "localhost"
	}
	return name, nil
}

// depotAddress says where the depot listens. Its port is kept: hosts and builds know the depot by it.
func depotAddress(dir, address string, port int) (string, int, error) {
	if address == "" {
		address = ownAddress()
	}
	file := filepath.Join(dir, "depot-port")
	if port == 0 {
		content, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", 0, err
		}
		port, _ = strconv.Atoi(strings.TrimSpace(string(content)))
	}
	if port == 0 {
		picked, err := controlplane.PickPort(address)
		if err != nil {
			return "", 0, fmt.Errorf("%w; is %s an address of this machine? (--advertise-address)", err, address)
		}
		port = picked
	}
	if !controlplane.Free(address, port) {
		return "", 0, fmt.Errorf("the depot cannot listen on %s:%d: free the port, or choose with --advertise-address and --depot-port", address, port)
	}
	return address, port, controlplane.WriteFile(file, []byte(strconv.Itoa(port)+"\n"), 0o644)
}

// ownAddress is the address this machine would use towards others. Nothing is sent to find it.
func ownAddress() string {
	if conn, err := net.Dial("udp4", "192.0.2.1:9"); err == nil {
		defer conn.Close()
		return conn.LocalAddr().(*net.UDPAddr).IP.String()
	}
	addresses, err := net.InterfaceAddrs()
	if err == nil {
		for _, a := range addresses {
			if network, ok := a.(*net.IPNet); ok && network.IP.IsGlobalUnicast() && network.IP.To4() != nil {
				return network.IP.String()
			}
		}
	}
	return "127.0.0.1"
}
