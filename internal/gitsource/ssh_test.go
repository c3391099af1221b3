// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package gitsource

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
	"golang.org/x/crypto/ssh"

	"github.com/slipway-dev/slipway/internal/depot"
)

// gitHost is a real sshd that serves one repository to one deploy key.
type gitHost struct {
	url string
	// key opens it; known is its line of known_hosts, and other one with another key.
	key, known, other []byte
}

// sshKey makes a key: PEM, and its public half in authorized_keys format.
func sshKey(t *testing.T) (private []byte, public string) {
	t.Helper()
	g := NewWithT(t)
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	g.Expect(err).NotTo(HaveOccurred())
	block, err := ssh.MarshalPrivateKey(key, "test")
	g.Expect(err).NotTo(HaveOccurred())
	line, err := ssh.NewPublicKey(pub)
	g.Expect(err).NotTo(HaveOccurred())
	return pem.EncodeToMemory(block), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(line)))
}

func startGitHost(t *testing.T, repository string) gitHost {
	t.Helper()
	g, dir := NewWithT(t), t.TempDir()
	sshd, err := exec.LookPath("sshd")
	if err != nil {
		sshd = "/usr/sbin/sshd"
	}
	if _, err := os.Stat(sshd); err != nil || os.Geteuid() != 0 {
		if os.Getenv("SLIPWAY_REQUIRE_ALL") == "1" {
			t.Fatal("no sshd, or not root")
		}
		t.Skip("no sshd, or not root")
	}
	g.Expect(os.MkdirAll("/run/sshd", 0o755)).To(Succeed())
	hostKey, hostLine := sshKey(t)
	_, otherLine := sshKey(t)
	deployKey, deployLine := sshKey(t)
	g.Expect(os.WriteFile(filepath.Join(dir, "host_key"), hostKey, 0o600)).To(Succeed())
	g.Expect(os.WriteFile(filepath.Join(dir, "authorized_keys"), []byte("restrict "+deployLine+"\n"), 0o600)).To(Succeed())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	port := listener.Addr().(*net.TCPAddr).Port
	g.Expect(listener.Close()).To(Succeed())
	config := fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey %s/host_key\nAuthorizedKeysFile %s/authorized_keys\nStrictModes no\nUsePAM no\n"+
		"PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPidFile none\n", port, dir, dir)
	g.Expect(os.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o600)).To(Succeed())
	cmd := exec.Command(sshd, "-D", "-e", "-f", filepath.Join(dir, "config"))
	log, err := os.Create(filepath.Join(dir, "log"))
	g.Expect(err).NotTo(HaveOccurred())
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	g.Expect(cmd.Start()).To(Succeed())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if said, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("sshd: %s", said)
		}
	})
	g.Eventually(func() error {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = conn.Close()
		}
		return err
	}, "10s", "20ms").Should(Succeed())
	known := func(line string) []byte { return fmt.Appendf(nil, "[127.0.0.1]:%d %s\n", port, line) }
	return gitHost{url: fmt.Sprintf("ssh://root@127.0.0.1:%d%s", port, repository), key: deployKey, known: known(hostLine), other: known(otherLine)}
}

func TestASourceOverSSH(t *testing.T) {
	dir := t.TempDir()
	_, second := repository(t, dir)
	host := startGitHost(t, dir+"/.git")
	strange, _ := sshKey(t)
	for name, test := range map[string]struct {
		credentials depot.GitCredentials
		says        []string
	}{
		"the deploy key":   {depot.GitCredentials{PrivateKey: host.key, KnownHosts: host.known}, nil},
		"another host key": {depot.GitCredentials{PrivateKey: host.key, KnownHosts: host.other}, []string{"127.0.0.1", "another host key", "known_hosts"}},
		"no known host":    {depot.GitCredentials{PrivateKey: host.key}, []string{"127.0.0.1", "known_hosts"}},
		"no key":           {depot.GitCredentials{KnownHosts: host.known}, []string{"needs a key", "ssh-privatekey"}},
		"another key":      {depot.GitCredentials{PrivateKey: strange, KnownHosts: host.known}, []string{"does not accept the key"}},
		"no readable key":  {depot.GitCredentials{PrivateKey: []byte("garbage"), KnownHosts: host.known}, []string{"no private key that ssh can read"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			request := depot.MirrorRequest{Service: "svc", URL: host.url, Commit: second, Ref: "refs/heads/main", Credentials: test.credentials}
			mirrors := t.TempDir()
			m := NewMirrors(mirrors, Options{})
			got, err := NewResolver(Options{}).Resolve(t.Context(), host.url, "main", test.credentials)
			if test.says == nil {
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(got.Commit).To(Equal(second))
				g.Expect(m.Fetch(t.Context(), request)).To(Succeed())
				out, _ := exec.CommandContext(t.Context(), "grep", "-r", "-l", "OPENSSH PRIVATE KEY", mirrors).Output()
				g.Expect(string(out)).To(BeEmpty(), "the mirror must not keep the key")
				return
			}
			for _, err := range []error{err, m.Fetch(t.Context(), request)} {
				g.Expect(err).To(MatchError(ErrUnreachable))
				for _, part := range test.says {
					g.Expect(err.Error()).To(ContainSubstring(part))
				}
				g.Expect(err.Error()).NotTo(ContainSubstring("\n"))
				g.Expect(err.Error()).NotTo(ContainSubstring(os.TempDir()), "no path of a file that is gone")
			}
		})
	}
}

// TestTheKeysOfWhoRunsThisAreNotUsed asks ssh itself where it would look for keys.
func TestTheKeysOfWhoRunsThisAreNotUsed(t *testing.T) {
	g := NewWithT(t)
	command, err := sshCommand(t.TempDir(), depot.GitCredentials{})
	g.Expect(err).NotTo(HaveOccurred())
	out, err := exec.CommandContext(t.Context(), "sh", "-c", command+" -G 127.0.0.1").Output()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(out)).To(ContainSubstring("\nidentityfile none\n"))
	g.Expect(string(out)).To(ContainSubstring("\nidentityagent none\n"))
	g.Expect(string(out)).NotTo(ContainSubstring(".ssh/id_"))
}
