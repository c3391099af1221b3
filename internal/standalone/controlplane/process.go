// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const maxLog = 64 << 20

// process is a child that dies with this process.
type process struct {
	name string
	log  string
	cmd  *exec.Cmd
	// done is closed when the child has ended; err then says how.
	done chan struct{}
	err  error
}

// spawner starts all children on one thread that lives as long as the process: the kernel sends Pdeathsig when the
// *thread* that forked ends, and Go ends threads at its own discretion.
var spawner = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// startProcess starts a program with its output in logs/<name>.log.
func startProcess(dir, path, name string, args ...string) (*process, error) {
	logFile := filepath.Join(dir, "logs", name+".log")
	if err := os.MkdirAll(filepath.Dir(logFile), 0o700); err != nil {
		return nil, err
	}
	if info, err := os.Stat(logFile); err == nil && info.Size() > maxLog {
		if err := os.Rename(logFile, logFile+".old"); err != nil {
			return nil, err
		}
	}
	out, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p := &process{name: name, log: logFile, done: make(chan struct{})}
	p.cmd = exec.Command(path, args...)
	p.cmd.Args[0] = name // one binary serves several names
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir = out, out, dir
	// A group of its own: Ctrl-C in a terminal reaches this process alone, which then stops the children in order.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error)
	spawner() <- func() { started <- p.cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// stop asks the child to end and kills it after grace.
func (p *process) stop(grace time.Duration) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// ended says how the child ended, with the last lines of its log.
func (p *process) ended() error {
	return fmt.Errorf("%s has ended (%w); its log is %s and ends with:\n%s", p.name, p.err, p.log, tail(p.log, 8))
}

func tail(file string, lines int) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(string(bytes.TrimSpace(content)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
