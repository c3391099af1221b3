// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package buildpod

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"

	. "github.com/onsi/gomega"
)

// gate is a way to an address that can be held shut: what was let through is through, what comes after waits.
type gate struct {
	port int
	// up and down are how many bytes more are let through towards the address and back from it.
	up, down atomic.Int64
	shut     sync.Cond
}

func newGate(t *testing.T, to string) *gate {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	w := &gate{port: listener.Addr().(*net.TCPAddr).Port, shut: sync.Cond{L: &sync.Mutex{}}}
	w.open()
	t.Cleanup(func() { _ = listener.Close(); w.open() })
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			go w.copy(out, in, &w.up)
			go w.copy(in, out, &w.down)
		}
	}()
	return w
}

// open lets everything through.
func (w *gate) open() {
	w.up.Store(1 << 50)
	w.down.Store(1 << 50)
	w.shut.Broadcast()
}

// after lets n bytes through, and then holds one direction.
func (w *gate) after(direction *atomic.Int64, n int64) { direction.Store(n) }

// held says whether a direction has let through what it may.
func (w *gate) held(direction *atomic.Int64) func() bool {
	return func() bool { return direction.Load() <= 0 }
}

func (w *gate) copy(to, from net.Conn, left *atomic.Int64) {
	defer func() { _ = to.Close() }()
	defer func() { _ = from.Close() }()
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		w.shut.L.Lock()
		for left.Load() <= 0 {
			w.shut.Wait()
		}
		w.shut.L.Unlock()
		left.Add(int64(-n))
		if _, werr := to.Write(buffer[:n]); err != nil || werr != nil {
			return
		}
	}
}
