// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package awstest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// The mock is run as a program and not imported: as a module, or a tool, of go.mod it would bring fifteen others along. The version
// is fixed here and its checksum by Go's checksum database, as for the tools of the Makefile, beside which it is kept.
const (
	mockVersion = "v1.13.0"
	mockModule  = "github.com/aws/amazon-ec2-metadata-mock/cmd/ec2-metadata-mock"
)

// patience with a program on the same machine.
const patience = 30 * time.Second

// mock is a running amazon-ec2-metadata-mock.
type mock struct {
	url     string
	client  *http.Client
	process *os.Process
	log     *lastBytes
	ended   chan struct{}
}

// startMock starts the mock on loopback and returns once it answers.
func startMock(tokensRequired bool) (*mock, error) {
	program, err := mockProgram()
	if err != nil {
		return nil, err
	}
	var last error
	for range 3 { // another program may take the port first
		var m *mock
		if m, last = tryMock(program, tokensRequired); last == nil {
			return m, nil
		}
	}
	return nil, last
}

func tryMock(program string, tokensRequired bool) (*mock, error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	m := &mock{
		url: "http://" + address, client: &http.Client{Transport: &http.Transport{}, Timeout: patience}, log: &lastBytes{}, ended: make(chan struct{}),
	}
	cmd := exec.Command(program, "--hostname", "127.0.0.1", "--port", port, fmt.Sprintf("--imdsv2=%t", tokensRequired))
	cmd.Env = []string{"HOME=/nonexistent"} // where it would look for its settings
	cmd.Stdout, cmd.Stderr = m.log, m.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the kernel sends Pdeathsig when this thread ends: not before the mock has
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		m.process = cmd.Process
		started <- err
		if err == nil {
			_ = cmd.Wait() // killed
			close(m.ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("awstest: start %s: %w", program, err)
	}
	if err := m.wait(); err != nil {
		_ = m.stop()
		return nil, err
	}
	return m, nil
}

// wait waits until the mock answers.
func (m *mock) wait() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		if answer, err := m.ask(ctx, http.MethodGet, alwaysThere, nil); err == nil {
			return answer.Body.Close()
		}
		select {
		case <-ticker.C:
		case <-m.ended:
			return fmt.Errorf("awstest: the metadata mock has ended; it said:\n%s", m.log)
		case <-ctx.Done():
			return fmt.Errorf("awstest: the metadata mock does not answer; it said:\n%s", m.log)
		}
	}
}

// stop ends the mock.
func (m *mock) stop() error {
	m.client.CloseIdleConnections()
	select {
	case <-m.ended:
		return nil
	default:
	}
	if err := m.process.Kill(); err != nil {
		return fmt.Errorf("awstest: end the metadata mock: %w", err)
	}
	<-m.ended
	return nil
}

// mockProgram is the mock's file, compiled by Go if an earlier run has not left it: about 20 seconds, once.
func mockProgram() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "slipway", "tools", mockVersion)
	program := filepath.Join(dir, filepath.Base(mockModule))
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", err
	}
	staging, err := os.MkdirTemp(dir, ".staging") // several tests may compile it at once
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(staging)
	install := exec.Command("go", "install", mockModule+"@"+mockVersion)
	install.Dir = staging // outside of every module
	install.Env = append(os.Environ(), "GOBIN="+staging, "GOFLAGS=-trimpath -buildvcs=false", "CGO_ENABLED=0")
	if output, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("awstest: go install %s@%s: %w\n%s", mockModule, mockVersion, err, output)
	}
	return program, os.Rename(filepath.Join(staging, filepath.Base(program)), program)
}

// lastBytes keeps the end of what is written to it.
type lastBytes struct {
	mu   sync.Mutex
	kept bytes.Buffer
}

// Write implements io.Writer.
func (l *lastBytes) Write(p []byte) (int, error) {
	const limit = 4 << 10
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept.Write(p)
	if over := l.kept.Len() - limit; over > 0 {
		l.kept.Next(over)
	}
	return len(p), nil
}

func (l *lastBytes) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept.String()
}
